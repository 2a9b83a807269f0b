import { createHash } from 'node:crypto';
import { OVMF_GUID } from './ovmf-table.ts';

const IMAGE_BYTES = 128 * 1024;
const TAIL_BYTES = 32;
/** Where AmdSev builds of OVMF have these areas (OvmfPkg/AmdSev/AmdSevX64.fdf). */
const HASHES_AREA = [0x0080_dc00, 0x400] as const;
const SECRET_AREA = [0x0080_d000, 0xc00] as const;
const RESET_EIP = 0x0080_b004;

const NO_AREA = [0, 0] as const;

const images = new Map<string, Uint8Array>();

/**
 * What an emulated host has where this machine has no such file: an image that no CPU could run, another one for each
 * name and the same each time.
 *
 * Its table is that of an AmdSev build of OVMF where the name says so, else that of the usual one, which has no place for
 * kernel hashes or a secret.
 */
export function builtinFirmware(path = 'OVMF.amdsev.fd'): Uint8Array {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const made = images.get(name) ?? build(name);
  images.set(name, made);
  return made;
}

function build(name: string): Uint8Array {
  const bytes = noise(`sev-harness emulated firmware ${name}`, IMAGE_BYTES);
  const isAmdSev = /amdsev/i.test(name);
  const entries = [
    entry(OVMF_GUID.hashes, isAmdSev ? HASHES_AREA : NO_AREA),
    entry(OVMF_GUID.secret, isAmdSev ? SECRET_AREA : NO_AREA),
    entry(OVMF_GUID.reset, [RESET_EIP]),
  ];
  const length = entries.reduce((sum, one) => sum + one.length, trailer(0, OVMF_GUID.footer).length);
  const table = Buffer.concat([...entries, trailer(length, OVMF_GUID.footer)]);
  bytes.set(table, IMAGE_BYTES - TAIL_BYTES - table.length);
  return bytes;
}

/** Content of a kernel or initrd of the emulated host that this machine does not have: its own for each path. */
export function builtinFile(path: string): Uint8Array {
  return noise(`sev-harness emulated file ${path}`, 4096);
}

function noise(seed: string, length: number): Uint8Array {
  const blocks = Array.from({ length: length / 64 }, (_, index) =>
    createHash('sha512').update(`${seed} ${index}`).digest(),
  );
  return new Uint8Array(Buffer.concat(blocks));
}

function entry(id: Buffer, values: readonly number[]): Buffer {
  const data = Buffer.from(Uint32Array.from(values).buffer);
  return Buffer.concat([data, trailer(data.length + id.length + 2, id)]);
}

function trailer(length: number, id: Buffer): Buffer {
  return Buffer.concat([Uint8Array.of(length & 0xff, length >> 8), id]);
}
