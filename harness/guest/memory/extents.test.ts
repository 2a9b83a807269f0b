import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type FileExtent, fileOffsetOf, inPieces } from './extents.ts';
import { mappingsOfSize } from './process-mappings.ts';
import { ramOfQ35 } from './target.ts';

const someExtents = fc
  .array(fc.record({ gap: fc.nat(5), bytes: fc.integer({ min: 1, max: 20 }), skip: fc.nat(5) }), {
    minLength: 1,
    maxLength: 6,
  })
  .map((parts) => {
    let [guestAddress, fileOffset] = [0, 0];
    return parts.map(({ gap, bytes, skip }): FileExtent => {
      guestAddress += gap * 8;
      fileOffset += skip;
      const extent = { guestAddress, fileOffset, bytes: bytes * 8 };
      guestAddress += extent.bytes;
      fileOffset += extent.bytes;
      return extent;
    });
  });

/** Guest address and file offset of every byte. */
const bytesOf = (extents: readonly FileExtent[]) =>
  extents.flatMap(({ guestAddress, fileOffset, bytes }) =>
    Array.from({ length: bytes }, (_, at) => `${guestAddress + at}@${fileOffset + at}`),
  );

test('pieces cover every byte once, in order, and know how much stands before them', () => {
  fc.assert(
    fc.property(someExtents, fc.integer({ min: 1, max: 100 }), (extents, length) => {
      const pieces = [...inPieces(extents, length)];
      expect(bytesOf(pieces)).toEqual(bytesOf(extents));
      let position = 0;
      for (const piece of pieces) {
        expect(piece.position).toBe(position);
        position += piece.bytes;
      }
      expect(Math.max(...pieces.map(({ bytes }) => bytes))).toBeLessThanOrEqual(length);
    }),
  );
});

test('an address is found in a file where its whole range stands in one extent', () => {
  const extents = [
    { guestAddress: 0, bytes: 100, fileOffset: 1000 },
    { guestAddress: 100, bytes: 100, fileOffset: 5000 },
  ];
  expect(fileOffsetOf(extents, 20, 80)).toBe(1020);
  expect(fileOffsetOf(extents, 100, 100)).toBe(5000);
  expect(fileOffsetOf(extents, 20, 81)).toBeUndefined();
  expect(fileOffsetOf(extents, 200, 1)).toBeUndefined();
});

test('q35 keeps RAM in one piece below 2816 MiB and splits it at 2 GiB from there on', () => {
  const MiB = 2 ** 20;
  expect(ramOfQ35(2815 * MiB)).toEqual([{ guestAddress: 0, bytes: 2815 * MiB }]);
  expect(ramOfQ35(2816 * MiB)).toEqual([
    { guestAddress: 0, bytes: 2048 * MiB },
    { guestAddress: 4096 * MiB, bytes: 768 * MiB },
  ]);
});

test('a mapping of the size of the RAM is found among those of a QEMU: writable, anonymous or a file that stands for memory', () => {
  const maps = `55d0aa000000-55d0aa2f3000 r--p 00000000 fe:00 271843                     /usr/bin/qemu-system-x86_64
55d0ba000000-55d0ba150000 rw-p 00000000 00:00 0                          [heap]
7f1a00000000-7f1a04000000 r--p 00000000 00:00 0 
7f1b3be00000-7f1b3fe00000 rw-p 00000000 00:00 0 
7f1b40000000-7f1b40021000 rw-p 00000000 00:00 0 
7f1b50000000-7f1b58000000 rw-s 00000000 00:01 2050                       /memfd:memory-backend-memfd (deleted)
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
`;
  expect(mappingsOfSize(maps, 0x400_0000)).toEqual([{ address: 0x7f1b_3be0_0000, bytes: 0x400_0000 }]);
  expect(mappingsOfSize(maps, 0x800_0000)).toEqual([{ address: 0x7f1b_5000_0000, bytes: 0x800_0000 }]);
  expect(mappingsOfSize(maps, 0x1000_0000)).toEqual([]);
  expect(mappingsOfSize('', 0)).toEqual([]);
});
