import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { ELF_HEADER_BYTES, loadSegments, programHeadersOf } from './elf-core.ts';

interface Segment {
  readonly type: number;
  readonly offset: bigint;
  readonly physical: bigint;
  readonly bytes: bigint;
}

const NOTE: Segment = { type: 4, offset: 0x190n, physical: 0n, bytes: 0x5b4n };
/** As QEMU 7.2 dumps a q35 guest of 64 MiB: the hole of the VGA memory splits its RAM. */
const LOW: Segment = { type: 1, offset: 0x744n, physical: 0n, bytes: 0xa0000n };
const REST: Segment = { type: 1, offset: 0xa0744n, physical: 0xc0000n, bytes: 0x3f40000n };

function elf(segments: readonly Segment[]): Buffer {
  const file = Buffer.alloc(ELF_HEADER_BYTES + 0x38 * segments.length);
  file.write('\x7fELF\x02\x01\x01', 'latin1');
  file.writeUInt16LE(4, 0x10);
  file.writeUInt16LE(62, 0x12);
  file.writeBigUInt64LE(BigInt(ELF_HEADER_BYTES), 0x20);
  file.writeUInt16LE(0x38, 0x36);
  file.writeUInt16LE(segments.length, 0x38);
  for (const [index, { type, offset, physical, bytes }] of segments.entries()) {
    const at = ELF_HEADER_BYTES + 0x38 * index;
    file.writeUInt32LE(type, at);
    file.writeBigUInt64LE(offset, at + 0x08);
    file.writeBigUInt64LE(physical, at + 0x18);
    file.writeBigUInt64LE(bytes, at + 0x20);
  }
  return file;
}

function read(file: Buffer) {
  const { offset, length } = programHeadersOf(file.subarray(0, ELF_HEADER_BYTES), '/dump');
  return loadSegments(file.subarray(offset, offset + length), '/dump');
}

const isMalformed = (error: unknown) => isSevHarnessError(error, 'MEMORY_DUMP_MALFORMED');

describe('a core file', () => {
  test('gives its segments of memory by ascending address, and leaves its notes out', () => {
    expect(read(elf([NOTE, REST, LOW]))).toEqual([
      { fileOffset: 0x744, guestAddress: 0, bytes: 0xa0000 },
      { fileOffset: 0xa0744, guestAddress: 0xc0000, bytes: 0x3f40000 },
    ]);
  });

  test.each([
    ['nothing', () => Buffer.alloc(0)],
    ['a cut header', () => elf([LOW]).subarray(0, 63)],
    ['another magic', () => Buffer.from(elf([LOW])).fill('KDUMP   ', 0, 8)],
    ['32 bits', () => elf([LOW]).fill(1, 4, 5)],
    ['big-endian', () => elf([LOW]).fill(2, 5, 6)],
    ['a program instead of a core', () => elf([LOW]).fill(2, 0x10, 0x11)],
    ['segment headers of another size', () => elf([LOW]).fill(0x20, 0x36, 0x37)],
    ['more segments than the field holds', () => elf([LOW]).fill(0xff, 0x38, 0x3a)],
    ['no segment of memory', () => elf([NOTE])],
    ['an address beyond 2 to the 53', () => elf([{ ...LOW, physical: 2n ** 60n }])],
  ])('with %s is refused', (_, make) => {
    expect(() => read(make())).toThrow(expect.toSatisfy(isMalformed));
  });

  test('of any bytes is read or refused with a code', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.nat(200), (bytes, at) => {
        const file = elf([LOW, REST]);
        file.set(bytes.subarray(0, Math.max(0, file.length - at)), Math.min(at, file.length));
        try {
          read(file);
        } catch (error) {
          expect(error).toSatisfy(isMalformed);
        }
      }),
    );
  });
});
