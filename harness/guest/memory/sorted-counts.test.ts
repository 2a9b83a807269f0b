import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Counts, keepSample, mergeInto, roomFor, sortAndCount } from './sorted-counts.ts';

/** Few different words, so that many are equal in part or whole, and the ends of their range. */
const word = fc.oneof(fc.nat(3), fc.constantFrom(0x7fff_ffff, 0x8000_0000, 0xffff_ffff));
const fingerprints = fc.array(fc.tuple(word, word), { maxLength: 40 });

type Pair = readonly [low: number, high: number];
const numberOf = ([low, high]: Pair) => (BigInt(high) << 32n) | BigInt(low);
function counted(pairs: readonly Pair[]): Counts {
  const counts = roomFor(pairs.length + 1);
  counts.words.set(pairs.flat());
  counts.pages.fill(99);
  counts.used = pairs.length;
  sortAndCount(counts);
  return counts;
}

function listOf({ words, pages, used }: Counts): [bigint, number][] {
  return [...pages.subarray(0, used)].map((count, index) => [
    numberOf([words[index * 2] ?? 0, words[index * 2 + 1] ?? 0]),
    count,
  ]);
}

/** The same by a map. */
function expectedOf(pairs: readonly Pair[]): [bigint, number][] {
  const counts = new Map<bigint, number>();
  for (const pair of pairs) counts.set(numberOf(pair), (counts.get(numberOf(pair)) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1));
}

test('fingerprints are sorted as numbers of 64 bits and counted', () => {
  fc.assert(
    fc.property(fingerprints, (pairs) => {
      expect(listOf(counted(pairs))).toEqual(expectedOf(pairs));
    }),
  );
});

test('counts merged into a room are those of all; a room that is too small stays as it is', () => {
  fc.assert(
    fc.property(fingerprints, fingerprints, fc.nat(60), (some, others, contents) => {
      const room = roomFor(contents);
      const stand = expectedOf(some).length <= contents ? some : [];
      expect(mergeInto(room, counted(some))).toBe(expectedOf(some).length <= contents);
      const all = expectedOf([...stand, ...others]);
      const fits = all.length <= contents;
      expect(mergeInto(room, counted(others))).toBe(fits);
      expect(listOf(room)).toEqual(fits ? all : expectedOf(stand));
    }),
  );
});

test('a sample has those with zeros in their lowest bits, with all their pages', () => {
  fc.assert(
    fc.property(fingerprints, fc.nat(3), (pairs, bits) => {
      const expected = expectedOf(pairs).filter(([value]) => value % 2n ** BigInt(bits) === 0n);
      const counts = counted(pairs);
      keepSample(counts, bits);
      expect(listOf(counts)).toEqual(expected);
    }),
  );
});
