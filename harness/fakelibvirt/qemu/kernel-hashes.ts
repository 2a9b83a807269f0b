import { createHash } from 'node:crypto';
import { guid } from './ovmf-table.ts';

/** Files of a direct boot; the command line as QEMU got it. */
interface DirectBoot {
  readonly kernel: Uint8Array;
  readonly initrd: Uint8Array;
  readonly cmdline: string;
}

const HASH_BYTES = 32;
const ENTRY_BYTES = 16 + 2 + HASH_BYTES;
const TABLE_BYTES = 16 + 2 + 3 * ENTRY_BYTES;
/** QEMU encrypts the table rounded up to whole AES blocks. */
const PADDED_BYTES = 176;

const TABLE_GUID = guid('9438d606-4f22-4cc9-b479-a793d411fd21');
const CMDLINE_GUID = guid('97d02dd8-bd20-4c94-aa78-e7714d36ab2a');
const INITRD_GUID = guid('44baf731-3a2f-4bd7-9af1-41e29169781d');
const KERNEL_GUID = guid('4de79437-abd2-427f-b835-d5b172d2045b');

/** The table that QEMU puts into guest memory with `kernel-hashes=on` (target/i386/sev.c, PaddedSevHashTable). */
export function kernelHashTable({ kernel, initrd, cmdline }: DirectBoot): Uint8Array {
  const rows: readonly (readonly [Buffer, Uint8Array])[] = [
    [CMDLINE_GUID, Buffer.from(`${cmdline}\0`)],
    [INITRD_GUID, initrd],
    [KERNEL_GUID, kernel],
  ];
  const table = Buffer.alloc(PADDED_BYTES);
  TABLE_GUID.copy(table);
  table.writeUInt16LE(TABLE_BYTES, 16);
  for (const [index, [id, content]] of rows.entries()) {
    const at = 18 + index * ENTRY_BYTES;
    id.copy(table, at);
    table.writeUInt16LE(ENTRY_BYTES, at + 16);
    createHash('sha256')
      .update(content)
      .digest()
      .copy(table, at + 18);
  }
  return new Uint8Array(table);
}
