import { createHash } from 'node:crypto';
import { guid } from './ovmf-table.ts';

export type BlobName = 'kernel' | 'initrd' | 'cmdline';

/** What QEMU hands to the guest firmware for a direct boot: two files, and the command line with its NUL. */
export type BootBlobs = Readonly<Record<BlobName, Uint8Array>>;

const HASH_BYTES = 32;
/** GUID and length, of the table and of each entry. */
const HEADER_BYTES = 16 + 2;
const ENTRY_BYTES = HEADER_BYTES + HASH_BYTES;
const TABLE_BYTES = HEADER_BYTES + 3 * ENTRY_BYTES;
/** QEMU encrypts the table rounded up to whole AES blocks. */
const PADDED_BYTES = 176;

const TABLE_GUID = guid('9438d606-4f22-4cc9-b479-a793d411fd21');
/** GUIDs of the entries, in the order in which QEMU writes them. */
export const BLOB_GUIDS: Readonly<Record<BlobName, string>> = {
  cmdline: '97d02dd8-bd20-4c94-aa78-e7714d36ab2a',
  initrd: '44baf731-3a2f-4bd7-9af1-41e29169781d',
  kernel: '4de79437-abd2-427f-b835-d5b172d2045b',
};

export function isBlobName(text: string): text is BlobName {
  return Object.hasOwn(BLOB_GUIDS, text);
}

/** The table that QEMU puts into guest memory with `kernel-hashes=on` (target/i386/sev.c, PaddedSevHashTable). */
export function kernelHashTable(blobs: BootBlobs): Uint8Array {
  const table = Buffer.alloc(PADDED_BYTES);
  TABLE_GUID.copy(table);
  table.writeUInt16LE(TABLE_BYTES, 16);
  for (const [index, name] of (['cmdline', 'initrd', 'kernel'] as const).entries()) {
    const at = HEADER_BYTES + index * ENTRY_BYTES;
    guid(BLOB_GUIDS[name]).copy(table, at);
    table.writeUInt16LE(ENTRY_BYTES, at + 16);
    table.set(sha256(blobs[name]), at + HEADER_BYTES);
  }
  return new Uint8Array(table);
}

/** The hashes in a table that begins here, by the GUID's hex digits; `undefined` where there is none. */
export function readHashTable(bytes: Uint8Array): ReadonlyMap<string, Uint8Array> | undefined {
  const table = Buffer.from(bytes);
  const length = table.length < HEADER_BYTES ? 0 : table.readUInt16LE(16);
  if (!table.subarray(0, 16).equals(TABLE_GUID) || length < HEADER_BYTES || length > table.length) return undefined;
  const hashes = new Map<string, Uint8Array>();
  for (let at = HEADER_BYTES; at + HEADER_BYTES <= length; ) {
    const size = table.readUInt16LE(at + 16);
    if (size < HEADER_BYTES || at + size > length) break;
    hashes.set(table.toString('hex', at, at + 16), table.subarray(at + HEADER_BYTES, at + size));
    at += size;
  }
  return hashes;
}

export function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
