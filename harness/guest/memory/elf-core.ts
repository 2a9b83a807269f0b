import { guestMemoryError } from './errors.ts';
import type { FileExtent } from './extents.ts';

/** The ELF header, elf(5). */
export const ELF_HEADER_BYTES = 0x40;
const PROGRAM_HEADER_BYTES = 0x38;
const CLASS_64 = 2;
const LITTLE_ENDIAN = 1;
const ET_CORE = 4;
const PT_LOAD = 1;
/** e_phnum when the number stands in the first section header: more segments than any guest has. */
const PN_XNUM = 0xffff;

/** Where the table of segments stands in a core file. Throws `MEMORY_DUMP_MALFORMED`. */
export function programHeadersOf(
  header: Uint8Array,
  path: string,
): { readonly offset: number; readonly length: number } {
  const elf = Buffer.from(header);
  const isCore =
    elf.length >= ELF_HEADER_BYTES &&
    elf.subarray(0, 4).equals(Buffer.from('\x7fELF', 'latin1')) &&
    elf[4] === CLASS_64 &&
    elf[5] === LITTLE_ENDIAN &&
    elf.readUInt16LE(0x10) === ET_CORE;
  if (!isCore) throw malformed(path, `it begins with ${elf.subarray(0, 18).toString('hex') || 'nothing'}`);
  const size = elf.readUInt16LE(0x36);
  const count = elf.readUInt16LE(0x38);
  if (size !== PROGRAM_HEADER_BYTES || count === PN_XNUM)
    throw malformed(path, `it has ${count} segment headers of ${size} bytes`);
  return { offset: Number(elf.readBigUInt64LE(0x20)), length: size * count };
}

/** Memory in a core file: its PT_LOAD segments, whose physical addresses are the guest's. Throws `MEMORY_DUMP_MALFORMED`. */
export function loadSegments(programHeaders: Uint8Array, path: string): FileExtent[] {
  const table = Buffer.from(programHeaders);
  const extents: FileExtent[] = [];
  for (let at = 0; at + PROGRAM_HEADER_BYTES <= table.length; at += PROGRAM_HEADER_BYTES) {
    if (table.readUInt32LE(at) !== PT_LOAD) continue;
    const number = (offset: number) => Number(table.readBigUInt64LE(at + offset));
    extents.push({ fileOffset: number(0x08), guestAddress: number(0x18), bytes: number(0x20) });
  }
  const isSane = extents.every((extent) => Object.values(extent).every(Number.isSafeInteger));
  if (!isSane || extents.length === 0) throw malformed(path, `${extents.length} segments of memory stand in it`);
  return extents.sort((a, b) => a.guestAddress - b.guestAddress);
}

function malformed(path: string, seen: string) {
  return guestMemoryError('MEMORY_DUMP_MALFORMED', `${path} is no 64-bit ELF core file of a guest: ${seen}`);
}
