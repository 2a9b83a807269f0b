import { describe, expect, it } from 'vitest';
import { BOOT_FAILURES, diagnoseBoot, printable } from './boot-diagnosis.ts';

describe('the table of boot failures', () => {
  it('has each cause once, with what to do', () => {
    const ids = BOOT_FAILURES.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { cause, fix } of BOOT_FAILURES) {
      expect(cause).toMatch(/^[A-Z].*\.$/);
      expect(fix).toMatch(/^[A-Z].*\.$/);
    }
  });

  it.each(BOOT_FAILURES.map((entry) => [entry.id, entry] as const))('%s is told from its line', (id, entry) => {
    const text = `[    2.1] Run /init as init process\r\n\u001b[2J\u001b[01;01H${entry.example}\r\nmore\r\n`;
    expect(diagnoseBoot(text)).toEqual({
      id,
      cause: entry.cause,
      fix: entry.fix,
      line: entry.example.trim(),
      isFinal: entry.isFinal === true,
    });
  });
});

/** Consoles of guests that were broken on purpose: QEMU 7.2, OVMF 2022.11, Linux 6.1.0-56-cloud-amd64. */
const CONSOLES: Readonly<Record<string, readonly [broken: string, lines: readonly string[]]>> = {
  'init-without-interpreter': [
    'init is a script of a program that is not there',
    [
      '[    2.271847] Run /init as init process',
      '[    2.272518] Failed to execute /init (error -2)',
      '[    2.272637] Run /sbin/init as init process',
      '[    2.277969] Kernel panic - not syncing: No working init found.  Try passing init= option to kernel. See Linux Documentation/admin-guide/init.rst for guidance.',
    ],
  ],
  'initramfs-damaged': [
    'initrd of random bytes',
    [
      '[    1.510976] Initramfs unpacking failed: invalid magic at start of compressed archive',
      '[    2.406108] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)',
    ],
  ],
  'initramfs-too-large': [
    'initrd of 200 MiB in a guest of 256',
    [
      '[    2.054010] Initramfs unpacking failed: write error',
      '[    2.770112] Failed to execute /init (error -2)',
      '[    2.773474] Kernel panic - not syncing: No working init found.  Try passing init= option to kernel. See Linux Documentation/admin-guide/init.rst for guidance.',
    ],
  ],
  'init-ended': [
    'init returns 1',
    [
      '[    2.159851] Run /init as init process',
      '[    2.211199] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100',
    ],
  ],
  'kernel-not-decompressed': [
    'kernel with 400 bytes changed',
    [
      'EFI stub: WARNING: Decompression failed: Decoding failed',
      'EFI stub: ERROR: Failed to decompress kernel',
      'EFI stub: ERROR: efi_stub_entry() failed!',
      'BdsDxe: failed to load Boot0001 "UEFI Non-Block Boot Device" from VenMedia(1428F772-B64A-441E-B8C3-9EBDD7F893C7): Not Found',
      'UEFI Interactive Shell v2.2',
    ],
  ],
  'kernel-not-loaded': [
    'kernel of random bytes',
    [
      '\u001b[2J\u001b[01;01H\u001b[=3hBdsDxe: failed to load Boot0001 "UEFI Non-Block Boot Device" from VenMedia(1428F772-B64A-441E-B8C3-9EBDD7F893C7): Not Found',
      'BdsDxe: loading Boot0002 "EFI Internal Shell" from Fv(7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1)/FvFile(7C04A583-9E3E-4F1C-AD65-E05268D0B4D1)',
      'UEFI Interactive Shell v2.2',
    ],
  ],
  'firmware-shell': [
    'no kernel at all',
    [
      'BdsDxe: starting Boot0001 "EFI Internal Shell" from Fv(7CB8BDC9-F8EB-4F34-AAEA-3EE4AF6516A1)/FvFile(7C04A583-9E3E-4F1C-AD65-E05268D0B4D1)',
      '\u001b[2J\u001b[01;01HUEFI Interactive Shell v2.2',
      '\u001b[06;01H\u001b[1m\u001b[33mShell> ',
    ],
  ],
  'firmware-exception': [
    'OVMF with 128 MiB',
    [
      '\u001b[2J\u001b[01;01H!!!! X64 Exception Type - 0E(#PF - Page-Fault)  CPU Apic ID - 00000000 !!!!',
      'CR0  - 0000000080010033, CR2 - FFFFFFFF8B1777E4, CR3 - 0000000007801000',
      '!!!! Find image based on IP(0x7EA2543) (No PDB)  (ImageBase=00000000077EE000, EntryPoint=00000000077F2433) !!!!',
    ],
  ],
};

describe('a whole console', () => {
  it.each(Object.entries(CONSOLES))('%s: the cause, not what follows from it', (id, [, lines]) => {
    expect(diagnoseBoot(lines.join('\r\n'))?.id).toBe(id);
  });

  it('that is empty says that the guest is silent, and that more may come', () => {
    expect(diagnoseBoot('\r\n')).toMatchObject({ id: 'silent', isFinal: false });
  });

  it('of a good boot shows nothing, whatever warnings there are', () => {
    const lines = [
      'BdsDxe: loading Boot0001 "UEFI Non-Block Boot Device" from VenMedia(1428F772-B64A-441E-B8C3-9EBDD7F893C7)',
      'EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path',
      '[    0.000000] Command line: console=ttyS0 panic=-1',
      '[    0.128374] Initramfs unpacking started',
      '[    0.914100] platform regulatory.0: Direct firmware load for regulatory.db failed with error -2',
      'SEVH {"event":"idle"}',
    ];
    expect(diagnoseBoot(lines.join('\n'))).toBeUndefined();
  });
});

it('what moves cursors, sets colours or rings bells is not shown', () => {
  expect(printable('\u001b[2J\u001b[01;01H\u001b[=3h\u001b[1m\u0007Shell>\u001b[0m \u009b31mx')).toBe('Shell> 31mx');
});
