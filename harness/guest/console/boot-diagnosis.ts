import { withoutControls } from '../../../core/text.ts';

/** What a console says of a boot that went wrong. */
export interface BootDiagnosis {
  readonly id: string;
  readonly cause: string;
  readonly fix: string;
  /** The line that says it. */
  readonly line: string;
  /** Nothing more will come of this guest. */
  readonly isFinal: boolean;
}

/** One line of the table. */
export interface BootFailure {
  readonly id: string;
  readonly pattern: RegExp;
  readonly isFinal?: true;
  readonly cause: string;
  readonly fix: string;
  /** A line of a console, as printed. */
  readonly example: string;
  /** Where it was seen, or who prints it. */
  readonly source: string;
}

const SEEN = 'seen with OVMF 2022.11 and Linux 6.1 on QEMU 7.2';
const KERNEL = 'Linux';
const REBUILD = 'Remove the folder of guest images, so that the image is built anew, or name another --kernel.';
const MEMORY = 'Give the guest more memory: OVMF and our image need 192 MiB, encrypted 256 MiB.';

/**
 * What firmware and kernels print when they fail, causes before what follows from them: of several that a console shows
 * the first one in this table counts.
 */
export const BOOT_FAILURES: readonly BootFailure[] = [
  {
    id: 'kernel-not-decompressed',
    pattern: /Decompression failed|Failed to decompress kernel|compressed data is corrupt/i,
    isFinal: true,
    cause: 'The kernel image is damaged: it does not decompress.',
    fix: 'Compare the kernel file with its package, and name an intact one with --kernel.',
    example: 'EFI stub: ERROR: Failed to decompress kernel',
    source: SEEN,
  },
  {
    id: 'initrd-not-loaded',
    pattern: /EFI stub: ERROR: Failed to load initrd/,
    isFinal: true,
    cause: 'The guest firmware did not hand the initrd to the kernel.',
    fix: 'The initrd must be readable for QEMU, and fit into memory beside the kernel.',
    example: 'EFI stub: ERROR: Failed to load initrd: 0x8000000000000009',
    source: `${KERNEL} drivers/firmware/efi/libstub/x86-stub.c`,
  },
  {
    id: 'efi-out-of-memory',
    pattern: /EFI stub: ERROR: Failed to allocate/,
    isFinal: true,
    cause: 'The guest has too little memory for this kernel.',
    fix: MEMORY,
    example: 'EFI stub: ERROR: Failed to allocate usable memory for kernel.',
    source: `${KERNEL} drivers/firmware/efi/libstub`,
  },
  {
    id: 'blob-not-measured',
    pattern: /VerifyBlob: (?:Hash comparison failed|Verifier called but no hashes table)/,
    isFinal: true,
    cause: 'The guest firmware refuses a kernel, initrd or command line that is not the measured one.',
    fix: 'Launch with the files that were measured; the line names the one that differs.',
    example: 'VerifyBlob: Hash comparison failed for "kernel"',
    source: 'edk2 OvmfPkg/AmdSev/BlobVerifierLibSevHashes',
  },
  {
    id: 'secure-boot-refused',
    pattern: /BdsDxe: failed to load .*: Access Denied|Security Violation/,
    isFinal: true,
    cause: 'The guest firmware enforces Secure Boot, and nobody that it trusts has signed what it should boot.',
    fix: 'Use guest firmware without Secure Boot (OVMF_CODE_4M.fd); most with it require SMM, which SEV-ES and SEV-SNP guests cannot have.',
    example:
      'BdsDxe: failed to load Boot0001 "UEFI Non-Block Boot Device" from VenMedia(1428F772-B64A-441E-B8C3-9EBDD7F893C7): Access Denied',
    source: 'edk2 MdeModulePkg/Universal/BdsDxe',
  },
  {
    id: 'kernel-not-loaded',
    pattern: /BdsDxe: failed to (?:load|start) .*: (?!Access Denied|Security Violation)/,
    cause: 'The guest firmware could not load what it was to boot.',
    fix: 'The end of the line says why: Not Found and Unsupported mean that the file is no kernel with an EFI stub, or a damaged one.',
    example:
      'BdsDxe: failed to load Boot0001 "UEFI Non-Block Boot Device" from VenMedia(1428F772-B64A-441E-B8C3-9EBDD7F893C7): Not Found',
    source: SEEN,
  },
  {
    id: 'firmware-exception',
    pattern: /!!!! X64 Exception Type - /,
    isFinal: true,
    cause: 'The guest firmware, or a kernel that it was starting, met a processor exception.',
    fix: 'Give the guest at least 160 MiB: below, OVMF ends like this. Otherwise try another build of OVMF.',
    example: '!!!! X64 Exception Type - 03(#BP - Breakpoint)  CPU Apic ID - 00000000 !!!!',
    source: SEEN,
  },
  {
    id: 'firmware-assertion',
    pattern: /^ASSERT(?:_EFI_ERROR)? [[/(]|DXE_ASSERT!/m,
    isFinal: true,
    cause: 'The guest firmware stopped at an assertion of its own.',
    fix: 'The line names the file in edk2. Try a release build of OVMF, or another version.',
    example: 'ASSERT [DxeCore] /build/edk2-2022.11/MdeModulePkg/Core/Dxe/Mem/Page.c(1237): !EFI_ERROR (Status)',
    source: 'edk2 MdePkg/Library/BaseDebugLibSerialPort',
  },
  {
    id: 'no-bootable-device',
    pattern: /No bootable device|BdsDxe: No bootable option/,
    isFinal: true,
    cause: 'The guest firmware found nothing to boot: it got no kernel, and no disk with a boot loader.',
    fix: 'Give the guest a kernel and initrd (<kernel>, <initrd>), or a bootable disk.',
    example: 'BdsDxe: No bootable option or device was found.',
    source: 'edk2 MdeModulePkg/Universal/BdsDxe; SeaBIOS boot.c',
  },
  {
    id: 'firmware-shell',
    pattern: /UEFI Interactive Shell/,
    isFinal: true,
    cause: 'The guest firmware booted nothing and offers its own shell: it got no kernel that it can start.',
    fix: 'Look at the lines before: "failed to load" names what it tried. Without such a line the guest has no <kernel>.',
    example: 'UEFI Interactive Shell v2.2',
    source: SEEN,
  },
  {
    id: 'initramfs-damaged',
    pattern: /Initramfs unpacking failed: (?!write error)/,
    cause:
      'The kernel cannot unpack the initramfs: it is cut off, damaged, or in a format that this kernel does not read.',
    fix: REBUILD,
    example: 'Initramfs unpacking failed: invalid magic at start of compressed archive',
    source: SEEN,
  },
  {
    id: 'initramfs-too-large',
    pattern: /Initramfs unpacking failed: write error/,
    cause: 'The contents of the initramfs do not fit into the memory of the guest.',
    fix: MEMORY,
    example: 'Initramfs unpacking failed: write error',
    source: SEEN,
  },
  {
    id: 'init-not-executable',
    pattern: /Failed to execute \/init \(error -13\)/,
    cause: 'The first process of the initramfs is not executable.',
    fix: REBUILD,
    example: 'Failed to execute /init (error -13)',
    source: SEEN,
  },
  {
    id: 'init-wrong-format',
    pattern: /Failed to execute \/init \(error -8\)/,
    cause: 'The first process of the initramfs is neither a program of this processor nor a script.',
    fix: REBUILD,
    example: 'Failed to execute /init (error -8)',
    source: SEEN,
  },
  {
    id: 'init-without-interpreter',
    pattern: /Failed to execute \/init \(error -2\)/,
    cause: 'The first process of the initramfs, or what it is run by (busybox, a library loader), is missing.',
    fix: REBUILD,
    example: 'Failed to execute /init (error -2)',
    source: SEEN,
  },
  {
    id: 'no-init',
    pattern: /Kernel panic - not syncing: No working init found/,
    isFinal: true,
    cause: 'The kernel found no first process in the initramfs.',
    fix: REBUILD,
    example:
      'Kernel panic - not syncing: No working init found.  Try passing init= option to kernel. See Linux Documentation/admin-guide/init.rst for guidance.',
    source: SEEN,
  },
  {
    id: 'no-root',
    pattern: /Kernel panic - not syncing: VFS: Unable to mount root fs/,
    isFinal: true,
    cause: 'The kernel got no initramfs with an /init, and has no disk to boot from.',
    fix: 'Name the initrd of our image (<initrd>); another one must hold an executable /init.',
    example: 'Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)',
    source: SEEN,
  },
  {
    id: 'init-ended',
    pattern: /Kernel panic - not syncing: Attempted to kill init! exitcode=/,
    isFinal: true,
    cause: 'The first process of the guest ended or was killed.',
    fix: 'The lines before say why. With our image: report it, with the console of the report.',
    example: 'Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100',
    source: SEEN,
  },
  {
    id: 'out-of-memory',
    pattern: /Out of memory: Killed process|System is deadlocked on memory|Out of memory and no killable processes/,
    cause: 'The guest ran out of memory.',
    fix: 'Give it more memory, or ask the agent for a smaller canary or fewer pages.',
    example:
      'Out of memory: Killed process 87 (agent) total-vm:270000kB, anon-rss:150000kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:340kB oom_score_adj:0',
    source: `${KERNEL} mm/oom_kill.c`,
  },
  {
    id: 'bounce-buffers-missing',
    pattern: /software IO TLB: Cannot allocate buffer|Can not allocate SWIOTLB buffer/,
    cause: 'The kernel found no memory for bounce buffers, without which an encrypted guest can use no virtio device.',
    fix: MEMORY,
    example: 'software IO TLB: Cannot allocate buffer',
    source: `${KERNEL} kernel/dma/swiotlb.c`,
  },
  {
    id: 'bounce-buffers-full',
    pattern: /swiotlb buffer is full/,
    cause: 'The bounce buffers through which an encrypted guest talks to its devices are used up.',
    fix: 'Give the guest more memory, of which they are a share, or swiotlb=<slots> on its command line.',
    example: 'virtio_blk virtio2: swiotlb buffer is full (sz: 1048576 bytes), total 32768 (slots), used 32751 (slots)',
    source: `${KERNEL} kernel/dma/swiotlb.c`,
  },
  {
    id: 'stuck-processor',
    pattern: /watchdog: BUG: soft lockup|self-detected stall on CPU/,
    cause: 'A processor of the guest does not get on: the host is overloaded, or runs it in software.',
    fix: 'Run fewer guests at a time, or give the boot more time.',
    example: 'watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [swapper/0:1]',
    source: `${KERNEL} kernel/watchdog.c`,
  },
  {
    id: 'kernel-panic',
    pattern: /Kernel panic - not syncing: /,
    isFinal: true,
    cause: 'The kernel of the guest gave up.',
    fix: 'The lines before the panic say why; try the kernel of the distribution with --kernel.',
    example: 'Kernel panic - not syncing: Fatal exception in interrupt',
    source: `${KERNEL} kernel/panic.c`,
  },
  {
    id: 'kernel-halted',
    pattern: /^-- System halted/m,
    isFinal: true,
    cause: 'The kernel stopped while it was unpacking itself.',
    fix: 'The line before says why; often the kernel file is damaged or the guest has too little memory.',
    example: ' -- System halted',
    source: `${KERNEL} arch/x86/boot/compressed/error.c`,
  },
  {
    id: 'boot-loader',
    pattern: /^grub(?: rescue)?>|error: file `.*' not found/m,
    isFinal: true,
    cause: 'A boot loader on the disk waits for a decision, or does not find its kernel.',
    fix: 'Boot our image directly (<kernel>, <initrd>), or repair the disk.',
    example: 'grub rescue> ',
    source: 'GRUB kern/rescue_reader.c',
  },
];

const SILENT: BootDiagnosis = {
  id: 'silent',
  cause: 'It printed nothing at all: it does not run, has no serial console, or its firmware and kernel do not use it.',
  fix: "See whether it is paused, whether its kernel command line has console=ttyS0, and QEMU's log on the host; too little memory also ends like this.",
  line: '',
  isFinal: false,
};

/** A line as terminals and reports of ours can show it. */
export function printable(line: string): string {
  return withoutControls(line).trim();
}

/** Whether nothing more will come of a guest that prints this, whatever else it shows. */
export function isEndOfBoot(text: string): boolean {
  const shown = text.split('\n').map(printable).join('\n');
  return BOOT_FAILURES.some(({ pattern, isFinal }) => isFinal === true && pattern.test(shown));
}

/** What a console shows of a boot that fails, or `undefined` when it shows nothing of the kind. */
export function diagnoseBoot(text: string): BootDiagnosis | undefined {
  const shown = text.split('\n').map(printable).join('\n');
  if (shown.trim() === '') return SILENT;
  for (const { id, pattern, cause, fix, isFinal } of BOOT_FAILURES) {
    const match = pattern.exec(shown);
    if (match === null) continue;
    const end = shown.indexOf('\n', match.index);
    const line = shown.slice(shown.lastIndexOf('\n', match.index) + 1, end < 0 ? undefined : end);
    return { id, cause, fix, line, isFinal: isFinal === true };
  }
  return undefined;
}
