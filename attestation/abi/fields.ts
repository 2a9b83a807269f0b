import type { SevHarnessError } from '../../core/errors.ts';

/** Turns a broken rule into the caller's coded error. */
export type Malformed = (rule: string) => SevHarnessError;

/**
 * Fixed offsets of one structure, as AMD's tables list them.
 *
 * All SEV integers are little-endian. Multi-byte numbers leave here big-endian, as `node:crypto` wants them.
 */
export interface FieldReader {
  u8(offset: number): number;
  u32(offset: number): number;
  /** A copy: later writes to the input do not reach what was checked. */
  bytes(offset: number, length: number): Uint8Array;
  /** A little-endian number of `length` bytes, most significant byte first. */
  number(offset: number, length: number): Uint8Array;
  requireZero(offset: number, length: number, name: string): void;
}

export function fieldReader(input: Uint8Array, length: number, malformed: Malformed): FieldReader {
  if (input.length !== length) {
    throw malformed(`expected exactly ${length} bytes, got ${input.length}${textHint(input)}`);
  }
  const source = Uint8Array.from(input);
  const view = new DataView(source.buffer);
  return {
    u8: (offset) => view.getUint8(offset),
    u32: (offset) => view.getUint32(offset, true),
    bytes: (offset, size) => source.slice(offset, offset + size),
    number: (offset, size) => source.slice(offset, offset + size).reverse(),
    requireZero: (offset, size, name) => {
      const at = source.subarray(offset, offset + size).findIndex((byte) => byte !== 0);
      if (at >= 0) {
        const found = hexNumber(source[offset + at] ?? 0, 2);
        throw malformed(`${name} must be zero, found ${found} at ${hexNumber(offset + at, 3)}`);
      }
    },
  };
}

export interface FieldWriter {
  u8(offset: number, value: number): void;
  u32(offset: number, value: number): void;
  bytes(offset: number, value: Uint8Array): void;
  /** Writes a big-endian number little-endian, its least significant byte at `offset`. */
  number(offset: number, bigEndian: Uint8Array): void;
  finish(): Uint8Array;
}

export function fieldWriter(length: number): FieldWriter {
  const target = new Uint8Array(length);
  const view = new DataView(target.buffer);
  return {
    u8: (offset, value) => view.setUint8(offset, value),
    u32: (offset, value) => view.setUint32(offset, value, true),
    bytes: (offset, value) => target.set(value, offset),
    number: (offset, bigEndian) => target.set(Uint8Array.from(bigEndian).reverse(), offset),
    finish: () => target,
  };
}

/** `0x0013`: at least `digits` hex digits. */
export function hexNumber(value: number | bigint, digits: number): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** Says so when bytes of the wrong length are text, because libvirt and QEMU hand out base64 and other tools PEM. */
function textHint(input: Uint8Array): string {
  const start = String.fromCharCode(...input.subarray(0, 64));
  if (start.startsWith('-----BEGIN')) return ' of PEM text; this form has no PEM, give the binary file';
  if (/^[A-Za-z0-9+/]{64}$/.test(start)) return ' that look like base64 text; decode them first';
  return '';
}
