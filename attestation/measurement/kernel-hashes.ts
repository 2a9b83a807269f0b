import { createHash } from 'node:crypto';
import { concatBytes, equalBytes, isAllZero } from '../../core/bytes.ts';
import { attestationError } from '../errors.ts';
import { formatGuid, guidBytes } from './guid.ts';

/** SHA-256 of each part of a directly booted kernel, 32 bytes each. */
export interface KernelHashes {
  /** Over the command line with its terminating NUL. */
  readonly cmdline: Uint8Array;
  /** Over the initrd; SHA-256 of nothing when there is none. */
  readonly initrd: Uint8Array;
  readonly kernel: Uint8Array;
}

export interface KernelFiles {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
  /** As QEMU gets it, without NUL. */
  readonly cmdline?: string;
}

const TABLE_GUID = '9438d606-4f22-4cc9-b479-a793d411fd21';
/** In the order in which QEMU writes them. */
const ENTRIES = [
  { key: 'cmdline', guid: '97d02dd8-bd20-4c94-aa78-e7714d36ab2a' },
  { key: 'initrd', guid: '44baf731-3a2f-4bd7-9af1-41e29169781d' },
  { key: 'kernel', guid: '4de79437-abd2-427f-b835-d5b172d2045b' },
] as const;

const HASH_BYTES = 32;
const HEADER_BYTES = 18;
const ENTRY_BYTES = HEADER_BYTES + HASH_BYTES;
const TABLE_BYTES = HEADER_BYTES + ENTRIES.length * ENTRY_BYTES;

/** What QEMU encrypts and measures: the table of 168 bytes, padded with zeros to a multiple of 16. */
export const KERNEL_HASHES_BYTES = 176;

/**
 * Hashes of a kernel, its initrd and its command line as QEMU computes them with `kernel-hashes=on`.
 *
 * Error: `KERNEL_CMDLINE_INVALID` for a command line with a NUL in it, which QEMU could not have been given.
 */
export function computeKernelHashes(files: KernelFiles): KernelHashes {
  const cmdline = files.cmdline ?? '';
  const nul = cmdline.indexOf('\0');
  if (nul >= 0) {
    throw attestationError(
      'KERNEL_CMDLINE_INVALID',
      `kernel command line must not hold a NUL, has one at offset ${nul}`,
      {
        details: { offset: nul, length: cmdline.length },
        hint: 'Give the command line without its terminating NUL: it is added before hashing.',
      },
    );
  }
  return {
    cmdline: sha256(Buffer.from(`${cmdline}\0`, 'utf8')),
    initrd: sha256(files.initrd ?? new Uint8Array()),
    kernel: sha256(files.kernel),
  };
}

/**
 * The 176 bytes that the launch digest covers.
 *
 * Error: `KERNEL_HASHES_MALFORMED` for a hash that is not 32 bytes. Source: QEMU target/i386/sev.c, PaddedSevHashTable.
 */
export function encodeKernelHashes(hashes: KernelHashes): Uint8Array {
  const entries = ENTRIES.map(({ key, guid }) => {
    const hash = hashes[key];
    if (hash.length !== HASH_BYTES) throw malformed(`${key} hash must be ${HASH_BYTES} bytes, is ${hash.length}`);
    return concatBytes(header(guid, ENTRY_BYTES), hash);
  });
  const padding = new Uint8Array(KERNEL_HASHES_BYTES - TABLE_BYTES);
  return concatBytes(header(TABLE_GUID, TABLE_BYTES), ...entries, padding);
}

/** The inverse of `encodeKernelHashes`; refuses anything that QEMU would not write. Error: `KERNEL_HASHES_MALFORMED`. */
export function parseKernelHashes(bytes: Uint8Array): KernelHashes {
  const table = new Uint8Array(bytes);
  if (table.length !== KERNEL_HASHES_BYTES) {
    throw malformed(`table must be ${KERNEL_HASHES_BYTES} bytes, is ${table.length}`);
  }
  expectHeader(table, 0, TABLE_GUID, TABLE_BYTES);
  if (!isAllZero(table.subarray(TABLE_BYTES))) throw malformed(`padding from offset ${TABLE_BYTES} must be zero`);
  const [cmdline, initrd, kernel] = ENTRIES.map(({ guid }, index) => {
    const offset = HEADER_BYTES + index * ENTRY_BYTES;
    expectHeader(table, offset, guid, ENTRY_BYTES);
    return table.slice(offset + HEADER_BYTES, offset + ENTRY_BYTES);
  }) as [Uint8Array, Uint8Array, Uint8Array];
  return { cmdline, initrd, kernel };
}

function header(guid: string, length: number): Uint8Array {
  return concatBytes(guidBytes(guid), Uint8Array.of(length & 0xff, length >> 8));
}

function expectHeader(table: Uint8Array, offset: number, guid: string, length: number): void {
  const actual = table.subarray(offset, offset + HEADER_BYTES);
  if (equalBytes(actual, header(guid, length))) return;
  const actualLength = (actual[16] ?? 0) | ((actual[17] ?? 0) << 8);
  throw malformed(
    `at offset ${offset} expected ${guid} of ${length} bytes, found ${formatGuid(actual.subarray(0, 16))} of ${actualLength}`,
  );
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

function malformed(what: string) {
  return attestationError('KERNEL_HASHES_MALFORMED', `kernel hashes table is malformed: ${what}`);
}
