import type { Entry } from '../entry.ts';

const RECORDED = 'recorded with libvirt 9.0 and QEMU 7.2';
/** QEMU's ways to name a file that it cannot open, and libvirt's for a disk. */
const OPENING =
  /(?:could not open kernel file|error reading initrd [^:]*: Failed to open file|Could not open|Cannot access storage file) ['“](?<file>[^'”]+)['”]/;

function opening(errno: RegExp): RegExp {
  return new RegExp(`${OPENING.source}.*?: ${errno.source}`);
}

/** Files that a guest is made of: kernel, initrd, disk images, guest firmware. */
export const guestFileEntries: readonly Entry[] = [
  {
    id: 'guest-file-missing',
    kind: 'cause',
    pattern: opening(/No such file or directory/),
    confidence: 'certain',
    cause: 'The host has no file {file}, of which the guest is to be made.',
    fix: 'Put the file on the host itself, where libvirt and QEMU run, or correct its path in the domain.',
    example:
      "internal error: qemu unexpectedly closed the monitor: qemu: could not open kernel file '/boot/vmlinuz': No such file or directory",
    source: RECORDED,
    refusal: 'guest-file',
  },
  {
    id: 'guest-file-denied',
    kind: 'cause',
    pattern: opening(/Permission denied/),
    confidence: 'certain',
    cause: 'QEMU may not open {file}, of which the guest is to be made.',
    fix: 'Let the user that QEMU runs as (libvirt-qemu or qemu; for qemu:///session your own) read the file and enter every folder above it; look for SELinux or AppArmor denials too.',
    example:
      'qemu-system-x86_64: -blockdev {"driver":"file","filename":"/srv/disk.img"}: Could not open \'/srv/disk.img\': Permission denied',
    source: RECORDED,
    refusal: 'guest-file',
  },
  {
    id: 'not-a-kernel',
    kind: 'cause',
    pattern: /qemu: (?:invalid kernel header|linux kernel too old to load a ram disk)/,
    confidence: 'certain',
    cause: 'The file given as kernel is no Linux kernel for x86.',
    fix: 'Give a bzImage (vmlinuz), complete and not compressed once more.',
    example: 'internal error: process exited while connecting to monitor: qemu: invalid kernel header',
    source: RECORDED,
    refusal: 'guest-file',
  },
  {
    id: 'not-an-image',
    kind: 'cause',
    pattern: /Image is not in (?<format>\w+) format|not a valid (?<format2>\w+) image/,
    confidence: 'certain',
    cause: 'A disk image is not in the format that the domain says.',
    fix: "Compare with 'qemu-img info FILE', and correct <driver type=…/> of the disk.",
    example: '-blockdev {"driver":"qcow2"}: Image is not in qcow2 format',
    source: 'QEMU block/qcow2.c',
    refusal: 'guest-file',
  },
  {
    id: 'guest-firmware-size',
    kind: 'cause',
    pattern: /system firmware block device\s+(?:\S+ )?has invalid size (?<bytes>\d+)/,
    confidence: 'certain',
    cause:
      'The guest firmware has {bytes} bytes, which is no whole number of pages: it is no firmware image, or cut off.',
    fix: 'Give OVMF as the distribution ships it, and compare its size with the package.',
    example: 'qemu-system-x86_64: system firmware block device  has invalid size 512',
    source: RECORDED,
    refusal: 'guest-file',
  },
  {
    id: 'guest-firmware-unreadable',
    kind: 'cause',
    pattern: /could not load PC BIOS '(?<file>[^']+)'/,
    confidence: 'likely',
    cause: 'QEMU cannot read the guest firmware {file}: it is missing, may not be read, or is too large for a ROM.',
    fix: 'Check that the file is on the host and readable for the user that QEMU runs as; OVMF of 4 MiB with variables goes into pflash.',
    example: "qemu: could not load PC BIOS '/usr/share/OVMF/OVMF.amdsev.fd'",
    source: RECORDED,
    refusal: 'guest-file',
  },
  {
    id: 'emulator-missing',
    kind: 'cause',
    pattern: /Cannot check QEMU binary (?<file>\S+): No such file or directory/,
    confidence: 'certain',
    cause: 'The host has no QEMU at {file}.',
    fix: 'Install qemu-system-x86, or correct <emulator> in the domain.',
    example: 'Cannot check QEMU binary /usr/bin/qemu-kvm: No such file or directory',
    source: RECORDED,
    refusal: 'guest-file',
  },
  {
    id: 'guest-memory-refused',
    kind: 'cause',
    pattern: /cannot set up guest memory '(?<what>[^']+)': Cannot allocate memory/,
    confidence: 'certain',
    cause: 'The host cannot give the guest its memory.',
    fix: 'Give the guest less <memory>, free memory on the host, or raise the limit of machine.slice.',
    example: "qemu-system-x86_64: cannot set up guest memory 'pc.ram': Cannot allocate memory",
    source: RECORDED,
  },
  {
    id: 'qemu-killed',
    kind: 'cause',
    pattern: /shutting down, reason=crashed/,
    confidence: 'possible',
    cause: 'QEMU ended without being asked to: the kernel killed it for lack of memory, somebody did, or it crashed.',
    fix: "Look in the host's dmesg for 'Out of memory: Killed process' and for a segfault of qemu-system-x86 at that time.",
    example: '2026-11-23 05:00:44.513+0000: shutting down, reason=crashed',
    source: 'libvirt src/qemu/qemu_process.c; recorded by killing QEMU',
  },
  {
    id: 'qemu-stopped-by-libvirt',
    kind: 'benign',
    pattern:
      /terminating on signal 15 from pid \d+ \((?:\S*\/)?(?:libvirtd|virtqemud)\b|shutting down, reason=(?:destroyed|shutdown)/,
    confidence: 'certain',
    cause: 'libvirt ended QEMU, because somebody destroyed the guest or it shut down. This is normal.',
    fix: 'Nothing.',
    example: 'qemu-system-x86_64: terminating on signal 15 from pid 3060 (libvirtd)',
    source: RECORDED,
  },
  {
    id: 'qemu-stopped-by-signal',
    kind: 'cause',
    pattern: /terminating on signal (?<signal>\d+) from pid (?<pid>\d+) \((?<program>[^)]*)\)/,
    confidence: 'likely',
    cause: 'QEMU was ended by signal {signal} of process {pid} ({program}).',
    fix: 'Find out who sent it: a person, a service manager at the shutdown of the host, a script.',
    example: 'qemu-system-x86_64: terminating on signal 15 from pid 1 (/sbin/init)',
    source: 'QEMU, qemu_kill_report',
    isFallback: true,
  },
];
