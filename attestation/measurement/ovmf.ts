import { attestationError } from '../errors.ts';
import { formatGuid } from './guid.ts';

/** Where in guest memory something lies. */
export interface MemoryArea {
  readonly baseGpa: number;
  readonly sizeBytes: number;
}

/** One entry of the GUIDed table at the end of an OVMF image. */
export interface OvmfEntry {
  readonly guid: string;
  /** What the GUID stands for, when it is one that we know. */
  readonly name: string | undefined;
  /** Offset of `data` in the image. */
  readonly offset: number;
  readonly data: Uint8Array;
}

export interface OvmfTable {
  /** From the end of the image towards its start, as the firmware and QEMU walk it. */
  readonly entries: readonly OvmfEntry[];
  /** Where QEMU writes the kernel hashes; absent when the firmware has no entry, or one with base 0. */
  readonly hashesArea: MemoryArea | undefined;
  /** Where an injected secret goes by default; absent when the firmware has no entry, or an empty one. */
  readonly secretArea: MemoryArea | undefined;
  /** Where the second and later vCPUs of a SEV-ES guest start (EIP). */
  readonly resetEip: number | undefined;
  /** Distance from the end of the image to the SEV metadata that SNP needs. */
  readonly sevMetadataFromEnd: number | undefined;
  /** Where an SVSM image starts, from its first byte; in SVSM images only. */
  readonly svsmLaunchOffset: number | undefined;
}

const FOOTER_GUID = '96b582de-1fb2-45f7-baea-a366c55a082d';
const HASHES_GUID = '7255371f-3a3b-4b04-927b-1da6efa8d454';
const SECRET_GUID = '4c2eb361-7d9b-4cc3-8081-127c90d3d294';
const RESET_GUID = '00f771de-1a7e-4fcb-890e-68c77e2fb44e';
const SVSM_GUID = 'a789a612-0597-4c4b-a49f-cbb1fe9d1ddd';
const SEV_METADATA_GUID = 'dc886566-984a-4798-a75e-5585a7bf67cc';

/** Name and exact size of the data of each entry whose layout is fixed. */
const KNOWN_ENTRIES: Readonly<Record<string, { readonly name: string; readonly size: number }>> = {
  [HASHES_GUID]: { name: 'SEV hashes table', size: 8 },
  [SECRET_GUID]: { name: 'SEV secret block', size: 8 },
  [RESET_GUID]: { name: 'SEV-ES reset block', size: 4 },
  [SEV_METADATA_GUID]: { name: 'SEV metadata', size: 4 },
  'e47a6535-984a-4798-865e-4685a7bf8ec2': { name: 'TDX metadata', size: 4 },
  [SVSM_GUID]: { name: 'SVSM info', size: 4 },
};

/** The table ends 32 bytes before the image does: those hold the x86 reset vector. */
const TAIL_BYTES = 32;
/** Each entry ends with its length (u16, this trailer included) and its GUID. */
const TRAILER_BYTES = 18;

/**
 * The table of GUIDed entries at the end of an OVMF image (OVMF.fd, OVMF_CODE.fd, or their last bytes).
 *
 * Stricter than QEMU: an entry that overlaps another, leaves a remainder, repeats a GUID, or has a known GUID and an
 * unknown size is refused. Errors: `OVMF_NO_TABLE`, `OVMF_MALFORMED`.
 * Source: OvmfPkg/ResetVector/Ia16/ResetVectorVtf0.asm and QEMU hw/i386/pc_sysfw_ovmf.c.
 */
export function parseOvmfTable(image: Uint8Array): OvmfTable {
  const entries = new Map<string, OvmfEntry>();
  for (const entry of walkEntries(image)) {
    if (entries.has(entry.guid)) throw malformed(`entry ${label(entry)} appears twice`);
    const known = KNOWN_ENTRIES[entry.guid];
    if (known !== undefined && entry.data.length !== known.size) {
      throw malformed(`entry ${label(entry)} must hold ${known.size} bytes, holds ${entry.data.length}`);
    }
    entries.set(entry.guid, entry);
  }
  return {
    entries: [...entries.values()],
    hashesArea: area(entries.get(HASHES_GUID)),
    secretArea: area(entries.get(SECRET_GUID)),
    resetEip: uint32(entries.get(RESET_GUID)?.data),
    sevMetadataFromEnd: uint32(entries.get(SEV_METADATA_GUID)?.data),
    svsmLaunchOffset: uint32(entries.get(SVSM_GUID)?.data),
  };
}

function* walkEntries(image: Uint8Array): Generator<OvmfEntry> {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const tableEnd = image.length - TAIL_BYTES;
  if (tableEnd < TRAILER_BYTES || guidAt(image, tableEnd - 16) !== FOOTER_GUID) {
    throw attestationError(
      'OVMF_NO_TABLE',
      `guest firmware of ${image.length} bytes has no OVMF table: footer GUID ${FOOTER_GUID} is not 48 bytes before its end`,
      {
        details: { sizeBytes: image.length },
        hint: 'Give the OVMF code image, not a VARS file, a BIOS or a cut-off copy.',
      },
    );
  }
  const tableLength = view.getUint16(tableEnd - TRAILER_BYTES, true);
  const tableStart = tableEnd - tableLength;
  if (tableLength < TRAILER_BYTES) throw malformed(`table length must be at least ${TRAILER_BYTES}, is ${tableLength}`);
  if (tableStart < 0) throw malformed(`table of ${tableLength} bytes starts before the image of ${image.length} bytes`);

  // Each step consumes at least one trailer of a table that a u16 measures, so the walk ends.
  for (let end = tableEnd - TRAILER_BYTES; end > tableStart; ) {
    const room = end - tableStart;
    if (room < TRAILER_BYTES) throw malformed(`${room} bytes at offset ${tableStart} are too few for an entry`);
    const guid = guidAt(image, end - 16);
    const length = view.getUint16(end - TRAILER_BYTES, true);
    if (length < TRAILER_BYTES || length > room) {
      throw malformed(`entry ${guid} must be ${TRAILER_BYTES} to ${room} bytes long, says ${length}`);
    }
    const offset = end - length;
    yield {
      guid,
      name: KNOWN_ENTRIES[guid]?.name,
      offset,
      data: new Uint8Array(image.subarray(offset, end - TRAILER_BYTES)),
    };
    end = offset;
  }
}

function guidAt(image: Uint8Array, offset: number): string {
  return formatGuid(image.subarray(offset, offset + 16));
}

function area(entry: OvmfEntry | undefined): MemoryArea | undefined {
  const baseGpa = uint32(entry?.data);
  const sizeBytes = uint32(entry?.data, 4);
  return baseGpa && sizeBytes ? { baseGpa, sizeBytes } : undefined;
}

function uint32(data: Uint8Array | undefined, offset = 0): number | undefined {
  return data && new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(offset, true);
}

function label(entry: OvmfEntry): string {
  return entry.name === undefined ? entry.guid : `${entry.guid} (${entry.name})`;
}

function malformed(what: string) {
  return attestationError('OVMF_MALFORMED', `OVMF table is malformed: ${what}`, {
    hint: 'Compare the file with the package it came from: it is damaged or was made to confuse a parser.',
  });
}
