/** A text as users meet it, the first finding that it must lead to, and words that its explanation must hold. */
export type FieldMessage = readonly [text: string, id: string, words?: RegExp];

const STAMP = '2026-11-23T03:12:45.123456Z qemu-system-x86_64: ';
const DIED = 'error: internal error: process exited while connecting to monitor: ';
const CLOSED = "error: internal error: QEMU unexpectedly closed the monitor (vm='guest1'): ";
const EPERM = `${STAMP}-accel kvm: failed to initialize kvm: Operation not permitted`;
const dmesg = (text: string) => `[   12.345678] ${text}`;

export const fieldMessages: readonly FieldMessage[] = [
  // Slots, in the words of every QEMU, and what only looks like it.
  [`${DIED}${STAMP}sev_guest_init: failed to initialize ret=-16 fw_error=0 ''`, 'no-free-slot', /every slot is in use/],
  [`${DIED}${STAMP}-accel kvm: sev_kvm_init: failed to initialize ret=-16 fw_error=0 ''\n${EPERM}`, 'no-free-slot'],
  [`${CLOSED}${STAMP}sev_common_kvm_init: failed to initialize ret=-16 fw_error=0 ''\n${EPERM}`, 'no-free-slot'],
  [`${STAMP}sev_kvm_init: failed to initialize ret=-25 fw_error=0 ''`, 'no-such-pool', /ASID Space Limit|ENOTTY/],
  [`${STAMP}sev_common_kvm_init: failed to initialize ret=-95 fw_error=0 ''`, 'kernel-lacks-guest-type', /EOPNOTSUPP/],
  [`${STAMP}sev_snp_kvm_init: failed to initialize ret=-22 fw_error=0 ''`, 'init-invalid-argument', /pflash/],
  [`${STAMP}sev_kvm_init: failed to initialize ret=-5 fw_error=19 'Hardware error'`, 'init-hardware-error', /Auto/],
  [`${STAMP}sev_kvm_init: failed to initialize ret=-5 fw_error=1 'Platform state is invalid'`, 'init-platform-state'],
  [
    `${STAMP}sev_kvm_init: failed to initialize ret=-5 fw_error=20 'Hardware unsafe'`,
    'sev-init-failed',
    /EIO.*HWERROR_UNSAFE/,
  ],
  // Kernels since 6.4 leave -1 in the firmware's error where they never called it.
  [`${STAMP}sev_common_kvm_init: failed to initialize ret=-16 fw_error=-1 'unknown error'`, 'no-free-slot'],
  [`${STAMP}sev_common_kvm_init: failed to initialize ret=-25 fw_error=-1 'unknown error'`, 'no-such-pool'],
  [
    `${STAMP}sev_common_kvm_init: failed to initialize ret=-12 fw_error=-1 'unknown error'`,
    'sev-init-failed',
    /ENOMEM.*NO_FW_CALL/,
  ],
  [`${STAMP}sev_launch_start: LAUNCH_START ret=1 fw_error=-1 'unknown error'`, 'launch-start-kernel-refused'],
  [`${STAMP}sev_launch_update_data: LAUNCH_UPDATE ret=-14 fw_error=-1 'unknown error'`, 'kernel-refused', /EFAULT/],
  // The domain.
  [`${STAMP}sev_kvm_init: cbitpos check failed, host '51' requested '47'`, 'cbitpos-wrong', /cbitpos 47.*51/],
  [`${STAMP}sev_kvm_init: cbitpos check failed, host '0' requested '47'`, 'cbitpos-wrong', /no SEV at all/],
  [`${STAMP}sev_kvm_init: reduced_phys_bits check failed, it should be >=1, requested '0'`, 'reduced-phys-bits-wrong'],
  [
    `${STAMP}sev_common_kvm_init: reduced_phys_bits check failed, it should be in the range of 1 to 63, requested '64'`,
    'reduced-phys-bits-wrong',
    /64/,
  ],
  [`${STAMP}sev_kvm_init: guest policy requires SEV-ES, but host SEV-ES support unavailable`, 'es-not-available'],
  ['error: XML error: failed to get launch security policy', 'policy-missing'],
  [
    "error: XML error: Invalid value for attribute 'type' in element 'launchSecurity': 'sev-snp'.",
    'snp-too-new-for-libvirt',
    /10\.5\.0/,
  ],
  [
    "error: XML error: Invalid value for attribute 'type' in element 'launchSecurity': 'bogus'.",
    'launch-security-type',
  ],
  ['error: XML error: only one RNG backend is supported', 'rng-backend', /exactly one/],
  [
    'error: unsupported configuration: IDE controllers are unsupported for this QEMU binary or machine type',
    'ide-unsupported',
  ],
  ["../../softmmu/vl.c:2590: qemu_machine_creation_done: Assertion `machine->cgs->ready' failed.", 'sev-without-kvm'],
  // The device and the host.
  [`${STAMP}sev_kvm_init: Failed to open /dev/sev 'No such file or directory'\n${EPERM}`, 'dev-sev-missing', /ccp/],
  [`${STAMP}sev_kvm_init: Failed to open /dev/sev 'Permission denied'`, 'dev-sev-denied', /SELinux/],
  ["error: Path '/dev/sev' is not accessible: No such file or directory", 'dev-sev-missing'],
  [
    `${STAMP}sev_kvm_init: failed to get platform status ret=-1 fw_error='32511: unknown error'`,
    'not-a-sev-device',
    /no firmware was reached/,
  ],
  [
    'error: unsupported configuration: SEV launch security is not supported with this QEMU binary',
    'sev-unsupported',
    /capabilities/,
  ],
  ["error: unsupported configuration: 'sev' launch security is not supported with this QEMU binary", 'sev-unsupported'],
  [
    'error: Unable to get host SEV information\nerror: Operation not supported: QEMU does not support SEV guest',
    'sev-info-unsupported',
  ],
  // The launch. ret=1 is on every one of these lines, and says nothing on any.
  [
    `${STAMP}sev_launch_start: LAUNCH_START ret=1 fw_error=4 'Buffer too small'`,
    'session-length',
    /ret of this line says nothing/,
  ],
  [`${STAMP}sev_launch_start: LAUNCH_START ret=1 fw_error=11 'Bad measurement'`, 'session-of-another-platform', /PDH/],
  [
    `${STAMP}sev_launch_start: LAUNCH_START ret=1 fw_error=7 'Policy is not allowed'\n${STAMP}sev_kvm_init: failed to create encryption context`,
    'policy-refused',
  ],
  [
    `${STAMP}sev_launch_start: LAUNCH_START ret=1 fw_error=21 'Feature not supported'`,
    'es-refused-while-snp-is-on',
    /CVE-2025-48514/,
  ],
  [
    `${STAMP}sev_launch_start: LAUNCH_START ret=1 fw_error=0 ''`,
    'launch-start-kernel-refused',
    /kernel refused.*by itself/,
  ],
  [
    `${STAMP}sev_launch_start: LAUNCH_START ret=1 fw_error=25 'unknown error'`,
    'launch-refused-by-firmware',
    /INVALID_PAGE_SIZE/,
  ],
  [`${STAMP}sev_launch_update_data: LAUNCH_UPDATE ret=-14 fw_error=0 ''`, 'kernel-refused', /EFAULT/],
  [
    `${STAMP}sev_launch_update_vmsa: LAUNCH_UPDATE_VMSA ret=-5 fw_error=3 'Platform configuration is invalid'`,
    'vmsa-on-old-firmware',
    /0\.17/,
  ],
  [
    `${STAMP}sev_launch_get_measure: LAUNCH_MEASURE ret=-5 fw_error=2 'Platform is already owned'`,
    'launch-measure-failed',
    /INVALID_GUEST_STATE[\s\S]*looked up by errno/,
  ],
  [`${STAMP}sev_snp_launch_finish: SNP_LAUNCH_FINISH ret=-5 fw_error=11 'Bad measurement'`, 'id-block-digest'],
  [
    `${STAMP}SEV-SNP: CPUID validation failed for function 0x80000001, index: 0x0, provided: eax:0x00800f12`,
    'snp-cpuid-refused',
  ],
  // Memory, firmware, secrets, life.
  [
    `${STAMP}sev_ram_block_added: failed to register region (0x7f6c00000000+0x80000000) error 'Cannot allocate memory'`,
    'memory-not-pinned',
    /locked/,
  ],
  [dmesg('SEV: 131072 locked pages exceed the lock limit of 16384.'), 'memory-lock-limit'],
  [`${STAMP}SEV: kernel specified but guest firmware has no hashes table GUID`, 'firmware-without-hashes', /AmdSevX64/],
  [`${STAMP}Failed to locate SEV metadata header`, 'firmware-not-encrypted'],
  [
    "error: internal error: unable to execute QEMU command 'sev-inject-launch-secret': SEV: Not in correct state. (LSECRET) 5",
    'secret-wrong-state',
  ],
  [
    'error: Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented',
    'migration-blocked',
  ],
  [`${STAMP}cpus are not resettable, terminating`, 'not-resettable'],
  ['error: kvm run failed Invalid argument', 'kvm-run-failed'],
  [
    "error: Failed to start domain 'guest1'\nerror: internal error: Process exited prior to exec: libvirt:  error : cannot limit locked memory of process 8554 to 9007199254740991: Operation not permitted",
    'memory-lock-not-permitted',
    /CAP_SYS_RESOURCE/,
  ],
  [`${STAMP}terminating on signal 15 from pid 3060 (/usr/sbin/libvirtd)`, 'qemu-stopped-by-libvirt', /normal/],
  [`${STAMP}terminating on signal 15 from pid 1 (/sbin/init)`, 'qemu-stopped-by-signal', /process 1 \(\/sbin\/init\)/],
  // What a guest is made of.
  [
    `error: internal error: process exited while connecting to monitor: qemu: error reading initrd /srv/initrd: Failed to open file “/srv/initrd”: open() failed: Permission denied`,
    'guest-file-denied',
    /\/srv\/initrd/,
  ],
  [
    "error: Cannot access storage file '/srv/disk.img': No such file or directory",
    'guest-file-missing',
    /\/srv\/disk\.img/,
  ],
  [
    "error: Cannot access storage file '/srv/disk.img' (as uid:64055, gid:108): Permission denied",
    'guest-file-denied',
    /may not open \/srv\/disk\.img/,
  ],
  [
    `${STAMP}-blockdev {"driver":"file","filename":"/srv/OVMF.fd","node-name":"libvirt-pflash0-storage"}: Could not open '/srv/OVMF.fd': No such file or directory`,
    'guest-file-missing',
    /no file \/srv\/OVMF\.fd/,
  ],
  ['qemu: linux kernel too old to load a ram disk', 'not-a-kernel'],
  [`${STAMP}system firmware block device  has invalid size 512`, 'guest-firmware-size', /512 bytes/],
  ['2026-11-23 05:00:44.513+0000: shutting down, reason=crashed', 'qemu-killed', /dmesg/],
  [`${STAMP}-accel kvm: System Management Mode not supported by this hypervisor.`, 'es-smm', /SEV alone/],
  ['2026-11-23 05:00:44.513+0000: shutting down, reason=failed', 'start-gave-up', /journalctl/],
  // The kernel's log.
  [dmesg('ccp 0000:22:00.1: SEV: failed to INIT error 0x13, rc -5'), 'init-hardware-error'],
  [dmesg('ccp 0000:23:00.2: SEV: failed to INIT error 0x8003, rc -5'), 'init-bootloader'],
  [dmesg('ccp 0000:22:00.1: SEV: memory encryption not enabled by BIOS'), 'not-enabled-by-bios', /CPUID/],
  [dmesg('ccp 0000:22:00.1: sev command 0x4 timed out, disabling PSP'), 'psp-timed-out', /0x4/],
  [dmesg('kvm_amd: SEV: DF_FLUSH failed, ret=-5, error=0xe'), 'wbinvd-required'],
  [dmesg('kvm_amd: SEV-ES disabled (ASIDs 0 - 0)'), 'es-or-snp-off-in-kernel', /SEV-ES is off/],
  [dmesg('kvm_amd: SEV unusable (ASIDs 16 - 15)'), 'sev-off-in-kernel', /16 - 15/],
  [
    dmesg('cgroup: charge rejected by the misc controller for sev resource in /machine.slice/x'),
    'misc-cgroup-full',
    /x/,
  ],
  [
    dmesg('AMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, SNP cannot be supported.'),
    'snp-refused-by-iommu',
    /iommu=pt/,
  ],
  [dmesg('AMD-Vi: SNP: RMP initialization failed, SNP cannot be supported.'), 'snp-refused-by-iommu', /RMP/],
  [
    'type=AVC msg=audit(1563362710.123:456): avc:  denied  { open } for  pid=1 comm="qemu-kvm" path="/dev/sev" tclass=chr_file permissive=0',
    'dev-sev-denied-by-selinux',
    /audit2allow/,
  ],
  [
    dmesg(
      'audit: type=1400 audit(1.2:3): apparmor="DENIED" operation="open" profile="libvirt-1" name="/dev/sev" pid=7',
    ),
    'dev-sev-denied-by-apparmor',
  ],
  [dmesg('Memory Encryption Features active: AMD SEV SEV-ES SEV-SNP'), 'guest-is-encrypted'],
  [dmesg('SEV: Using SNP CPUID table, 31 entries present.'), 'guest-is-encrypted'],
  [dmesg('Memory cgroup out of memory: Killed process 4711 (qemu-system-x86) total-vm:5300000kB'), 'out-of-memory'],
  [dmesg('ccp 0000:22:00.1: Direct firmware load for amd/sev.fw failed with error -2'), 'firmware-file-absent'],
  [dmesg('ccp 0000:22:00.1: no command queues available'), 'no-command-queues'],
  ['SNP_PLATFORM_STATUS failed: SEV_RET_INVALID_PAGE_SIZE (0x28)', 'shifted-status-name', /SHUTDOWN_INCOMPLETE/],
  ['firmware error 0x20 (INVALID_MDATA_ENTRY)', 'shifted-status-name', /RMP_INIT_REQUIRED/],
  // Starts of the firmware that failed, in the words of Linux before 6.15 and since.
  [
    [
      dmesg('ccp 0000:47:00.1: SEV-SNP: failed to INIT rc -5, error 0x3'),
      dmesg('ccp 0000:47:00.1: SEV: failed to INIT error 0x1, rc -5'),
      dmesg('ccp 0000:47:00.1: SEV API:1.55 build:7'),
      dmesg('kvm_amd: SEV enabled (ASIDs 100 - 509)'),
    ].join('\n'),
    'init-config',
    /UEFI/,
  ],
  [dmesg('ccp 0000:47:00.5: SEV: INIT failed 0x13, rc -5'), 'init-hardware-error'],
  [dmesg('ccp 0000:47:00.5: SEV: INIT_EX failed 0x1, rc -5'), 'init-platform-state', /boot loader/],
  [dmesg('ccp 0000:47:00.5: SEV-SNP: SNP_INIT_EX failed rc -5, error 0x3'), 'init-config'],
  [dmesg('ccp 0000:47:00.5: SEV-SNP: SNP_DF_FLUSH failed rc -5, error 0x5'), 'init-failed', /ALREADY_OWNED/],
  [dmesg('ccp 0000:02:00.5: SEV: failed to get status. Error: 0x8003'), 'init-bootloader'],
  [dmesg('ccp 0000:02:00.5: sev command 0x20 timed out, disabling PSP'), 'psp-timed-out'],
  // What else keeps SEV off, or SEV-SNP.
  [dmesg('SEV-SNP: Memory for the RMP table has not been reserved by BIOS'), 'rmp-not-reserved', /Coverage/],
  [
    dmesg('SEV-SNP: Memory reserved for the RMP table does not cover full system RAM (expected 0x4 got 0x2)'),
    'rmp-not-reserved',
  ],
  [dmesg('kvm: disabled by bios'), 'svm-off-in-bios'],
  [dmesg('kvm_amd: SVM disabled (by BIOS) in MSR_VM_CR on CPU 0'), 'svm-off-in-bios'],
  [dmesg('kvm_amd: SEV-SNP requires private memory support via guest_memfd.'), 'guest-memfd-missing', /6\.11/],
  [dmesg('kvm_amd: SEV-ES guest requested termination: 0x0:0x1'), 'guest-ended-itself', /reason 0x1 of set 0x0/],
  [dmesg('virtio_blk virtio1: device must provide VIRTIO_F_ACCESS_PLATFORM'), 'device-without-iommu', /lint:domain/],
  [
    "qemu-system-x86_64: -object sev-snp-guest,id=lsec0: Parameter 'qom-type' does not accept value 'sev-snp-guest'",
    'object-unknown',
    /no object sev-snp-guest[\s\S]*9\.1/,
  ],
  ['qemu-kvm: -object sev-snp-guest,id=lsec0: invalid object type: sev-snp-guest', 'object-unknown'],
  ['qemu-system-x86_64: KVM does not support guest_memfd', 'guest-memfd-missing'],
  ['qemu-system-x86_64: sev_kvm_init: kernel does not support restricted guest memory', 'guest-memfd-missing'],
  ['qemu-system-x86_64: Error creating KVM guest_memfd: Permission denied', 'guest-memfd-not-created', /SELinux/],
  ['qemu-system-x86_64: -accel kvm: vm-type SEV-SNP not supported by KVM', 'vm-type-unsupported', /type SEV-SNP/],
  [
    'Could not access KVM kernel module: Permission denied\nqemu-system-x86_64: -accel kvm: failed to initialize kvm: Permission denied',
    'kvm-inaccessible',
    /Permission denied/,
  ],
  ['qemu-system-x86_64: pflash with kvm requires KVM readonly memory support', 'read-only-memory-refused', /rom/],
  [
    'qemu-system-x86_64: kvm_set_user_memory_region: KVM_SET_USER_MEMORY_REGION2 failed, slot=2, start=0xffc84000, size=0x37c000, flags=0x2, guest_memfd=-1, guest_memfd_offset=0x0: Invalid argument',
    'read-only-memory-refused',
  ],
  [
    'qemu-system-x86_64: -device virtio-net-pci,iommu_platform=on: VIRTIO_F_IOMMU_PLATFORM was supported by neither legacy nor transitional device',
    'iommu-on-transitional',
    /virtio-non-transitional/,
  ],
  [
    `${STAMP}-device vhost-user-fs-pci: iommu_platform=true is not supported by the device`,
    'iommu-not-in-backend',
    /vhost-user/,
  ],
  ['mlockall: Cannot allocate memory\nqemu-kvm: locking memory failed', 'memory-not-locked', /hard_limit/],
  [
    `${STAMP}-device vfio-pci,host=0000:07:00.0,id=hostdev0: VFIO_MAP_DMA failed: Cannot allocate memory`,
    'device-memory-not-pinned',
  ],
  [
    'vfio 0000:21:00.0: failed to setup container for group 44: Cannot set discarding of RAM broken: Device or resource busy',
    'device-against-discard',
  ],
  // Policies of SEV-SNP, which KVM looks at before the firmware does.
  [`${STAMP}sev_snp_launch_start: SNP_LAUNCH_START ret=-22 fw_error=0 ''`, 'snp-policy-refused-by-kvm', /bit 17/],
  [`${STAMP}sev_snp_launch_start: SNP_LAUNCH_START ret=-22 fw_error=-1 'x'`, 'snp-policy-refused-by-kvm'],
  [`${STAMP}sev_snp_launch_start: SNP_LAUNCH_START ret=-5 fw_error=7 'Policy is not allowed'`, 'snp-policy-refused'],
  // The device, by those who are not QEMU.
  [
    "error: unable to set user and group to '64055:108' on '/dev/sev': Operation not permitted",
    'dev-sev-not-given',
    /CAP_CHOWN/,
  ],
  ['Error: could not open /dev/sev: Permission denied (os error 13)', 'dev-sev-denied-to-tool', /as root/],
  // Two texts of which one is the beginning of the other.
  [
    "error: internal error: unable to execute QEMU command 'query-sev-attestation-report': SEV is not enabled",
    'guest-without-sev',
  ],
  ["unable to execute QEMU command 'query-sev-capabilities': SEV is not enabled in KVM", 'sev-off-in-kvm'],
  // nova and tools.
  ["INFO nova.virt.libvirt.host QEMU doesn't support AMD SEV-ES", 'nova-es-needs-newer-qemu', /8\.0\.0/],
  ["WARNING nova.virt.libvirt.host kernel doesn't support AMD SEV-SNP", 'nova-kernel-without-sev'],
  [
    'WARNING AMD SEV-ES support is detected, but ignored because AMD SEV-SNP support is detected',
    'nova-es-hidden-by-snp',
  ],
  ["INFO nova.virt.libvirt.host Libvirt or QEMU doesn't support AMD SEV-SNP", 'nova-snp-not-offered', /10\.5\.0/],
  ['nova.exception.UEFINotSupported: UEFI is not supported', 'nova-host-without-uefi'],
  ['Error: failed to fill whole buffer', 'partial-chain-exported'],
  [
    "Machine type 'pc' is not compatible with image cirros (155d900f): q35 type is required for SEV to work",
    'nova-needs-q35',
  ],
  ["Operation 'suspend' not supported for SEV-enabled instance (838a72b0).", 'nova-operation-refused', /suspend/],
];
