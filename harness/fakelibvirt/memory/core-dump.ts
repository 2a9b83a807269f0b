import type { GuestMachine } from '../qemu/guest.ts';
import type { Machine } from '../state/machine.ts';
import { readByWay } from './reading-ways.ts';
import { SparseFile } from './sparse-file.ts';
import { PAGE_BYTES } from './tweak.ts';

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
const ET_CORE = 4;
const EM_X86_64 = 62;
const PT_LOAD = 1;

/**
 * What `dump-guest-memory` writes, as the host sees the guest: an ELF core with one PT_LOAD segment for the RAM. The notes with the
 * registers of the vCPUs, which a debugger needs, are left out: the model guest has no registers.
 */
export function coreDump(machine: Machine, guest: GuestMachine): SparseFile {
  const file = new SparseFile(PAGE_BYTES + guest.ramBytes);
  file.put(0, headers(guest.ramBytes));
  for (const address of guest.touchedPages()) {
    file.put(PAGE_BYTES + address, readByWay(machine, guest, 'dump', address, PAGE_BYTES));
  }
  return file;
}

/** elf(5), 64 bits, little-endian. */
function headers(ramBytes: number): Uint8Array {
  const elf = Buffer.alloc(HEADER_BYTES + PROGRAM_HEADER_BYTES);
  elf.write('\x7fELF\x02\x01\x01', 'latin1');
  elf.writeUInt16LE(ET_CORE, 0x10);
  elf.writeUInt16LE(EM_X86_64, 0x12);
  elf.writeUInt32LE(1, 0x14);
  elf.writeBigUInt64LE(BigInt(HEADER_BYTES), 0x20);
  elf.writeUInt16LE(HEADER_BYTES, 0x34);
  elf.writeUInt16LE(PROGRAM_HEADER_BYTES, 0x36);
  elf.writeUInt16LE(1, 0x38);
  elf.writeUInt32LE(PT_LOAD, HEADER_BYTES);
  elf.writeBigUInt64LE(BigInt(PAGE_BYTES), HEADER_BYTES + 0x08);
  elf.writeBigUInt64LE(BigInt(ramBytes), HEADER_BYTES + 0x20);
  elf.writeBigUInt64LE(BigInt(ramBytes), HEADER_BYTES + 0x28);
  return elf;
}
