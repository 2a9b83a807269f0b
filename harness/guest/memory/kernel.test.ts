import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FINDING_BYTES, FINDING_WORDS, PAGE_BYTES, SAMPLED_OF, SUSPECT, startKernel, ZEROS } from './kernel.ts';

const MAX_PAGES = 512;
const FINDINGS_AT = MAX_PAGES * PAGE_BYTES;
const HISTOGRAM_AT = FINDINGS_AT + MAX_PAGES * FINDING_BYTES;
const { lookAt, memory } = startKernel(HISTOGRAM_AT + 1024);

function look(pages: Uint8Array, onePair = 0x4141, otherPair = 0x4242) {
  new Uint8Array(memory, 0, pages.length).set(pages);
  const histogram = new Uint32Array(memory, HISTOGRAM_AT, 256).fill(0);
  lookAt(0, pages.length, FINDINGS_AT, HISTOGRAM_AT, onePair, otherPair);
  const findings = Array.from({ length: pages.length / PAGE_BYTES }, (_, page) => {
    const [low = 0, high = 0, kind] = new Uint32Array(memory, FINDINGS_AT + page * FINDING_BYTES, FINDING_WORDS);
    return { low, high, kind };
  });
  return { findings, histogram: [...histogram] };
}

const nameOf = ({ low, high }: { low: number; high: number }) => `${high.toString(16)} ${low.toString(16)}`;
const differentOf = (pages: readonly Uint8Array[]) => new Set(look(Buffer.concat(pages)).findings.map(nameOf)).size;

/** The fingerprint as it is defined, in numbers of 64 bits: eight chains of two numbers, which are mixed in the end. */
function definedFingerprint(page: Uint8Array): string {
  const mask32 = 0xffff_ffffn;
  const factors = [0x9e3779b1n, 0x85ebca6bn, 0xc2b2ae35n, 0x27d4eb2fn];
  const ofWords = (words: readonly bigint[]) => [0, 2].map((at) => ((words[at + 1] ?? 0n) << 32n) | (words[at] ?? 0n));
  const wordsOf = (numbers: readonly bigint[]) => numbers.flatMap((number) => [number & mask32, number >> 32n]);
  const perWord = (a: readonly bigint[], b: readonly bigint[], op: (x: bigint, y: bigint) => bigint) =>
    ofWords(wordsOf(a).map((word, lane) => op(word, wordsOf(b)[lane] ?? 0n) & mask32));
  const mixed = (numbers: readonly bigint[]) =>
    perWord(numbers, ofWords(factors), (x, y) => x * y).map((number) =>
      BigInt.asUintN(64, (number << 23n) | (number >> 41n)),
    );
  const xor = (a: readonly bigint[], b: readonly bigint[]) => perWord(a, b, (x, y) => x ^ y);
  const folded = (numbers: readonly bigint[]) =>
    xor(
      numbers,
      numbers.map((number) => number >> 29n),
    );

  const view = new DataView(page.buffer, page.byteOffset, PAGE_BYTES);
  const chains = Array.from({ length: 8 }, (_, chain) => ofWords([1, 2, 3, 4].map((lane) => BigInt(4 * chain + lane))));
  let before = [0n, 0n];
  for (let index = 0; index < PAGE_BYTES / 16; index++) {
    const vector = [0, 8].map((at) => view.getBigUint64(index * 16 + at, true));
    chains[index % 8] = perWord(mixed(xor(chains[index % 8] ?? [], vector)), before, (x, y) => x + y);
    before = vector;
  }
  const joined = chains.reduce((sum, chain) => xor(mixed(sum), chain));
  const [one = 0n, other = 0n] = folded(mixed(folded(mixed(folded(joined)))));
  return nameOf({ low: Number((one ^ other) & mask32), high: Number((one ^ other) >> 32n) });
}

/** Pages as memory has them: noise, few different words, zeros with a little, nothing. */
const somePage = fc.oneof(
  fc.uint8Array({ minLength: PAGE_BYTES, maxLength: PAGE_BYTES }),
  fc.uint8Array({ minLength: 4, maxLength: 64 }).map((bytes) => new Uint8Array(Buffer.alloc(PAGE_BYTES, bytes))),
  fc.tuple(fc.nat(PAGE_BYTES - 1), fc.integer({ min: 1, max: 255 })).map(([at, byte]) => {
    const page = new Uint8Array(PAGE_BYTES);
    page[at] = byte;
    return page;
  }),
  fc.constant(new Uint8Array(PAGE_BYTES)),
);

test('says of every page what plain loops say of it', () => {
  fc.assert(
    fc.property(
      fc.array(somePage, { minLength: 1, maxLength: 4 }),
      fc.nat(0xffff),
      fc.nat(0xffff),
      (pages, onePair, otherPair) => {
        const { findings, histogram } = look(Buffer.concat(pages), onePair, otherPair);
        const expected = Array.from({ length: 256 }, () => 0);
        for (const [index, page] of pages.entries()) {
          const isZeros = page.every((byte) => byte === 0);
          const pairs = new Uint16Array(page.slice().buffer);
          const finding = findings[index];
          if (isZeros) {
            expect(finding?.kind).toBe(ZEROS);
            continue;
          }
          expect(finding?.kind === SUSPECT).toBe(pairs.includes(onePair) || pairs.includes(otherPair));
          expect(finding && nameOf(finding)).toBe(definedFingerprint(page));
          for (let at = 0; at < PAGE_BYTES; at += SAMPLED_OF)
            expected[page[at] as number] = (expected[page[at] as number] ?? 0) + 1;
        }
        expect(histogram).toEqual(expected);
      },
    ),
    { numRuns: 60 },
  );
});

test('sees a pair at each even place, and at no odd one', () => {
  const page = new Uint8Array(PAGE_BYTES);
  for (let at = 0; at + 1 < PAGE_BYTES; at++) {
    page.fill(0x11).set([0x34, 0x12], at);
    expect(look(page, 0x1234, 0xffff).findings[0]?.kind === SUSPECT).toBe(at % 2 === 0);
    expect(look(page, 0xffff, 0x1234).findings[0]?.kind === SUSPECT).toBe(at % 2 === 0);
  }
});

describe('fingerprints differ', () => {
  const base = Buffer.alloc(PAGE_BYTES, 'some page of a guest');

  test('for pages that differ in the highest bits of two words, or in the same bits of both', () => {
    const pages = [base];
    for (let distance = 4; distance < PAGE_BYTES - 8; distance += 12) {
      const page = Buffer.from(base);
      for (const at of [3, 3 + distance]) page[at] = (page[at] ?? 0) ^ 0x80;
      pages.push(page);
    }
    expect(differentOf(pages)).toBe(pages.length);
  });

  test('for pages whose vectors stand in another order', () => {
    const ordered = Buffer.from(Uint16Array.from({ length: PAGE_BYTES / 2 }, (_, index) => index >> 3).buffer);
    const pages: Buffer[] = [ordered];
    for (let turn = 1; turn < PAGE_BYTES / 16; turn++)
      pages.push(Buffer.concat([ordered.subarray(turn * 16), ordered.subarray(0, turn * 16)]));
    for (let at = 0; at + 32 <= PAGE_BYTES; at += 16) {
      const page = Buffer.from(ordered);
      ordered.copy(page, at, at + 16, at + 32);
      ordered.copy(page, at + 16, at, at + 16);
      pages.push(page);
    }
    expect(differentOf(pages.slice(0, MAX_PAGES))).toBe(Math.min(pages.length, MAX_PAGES));
  });

  test('for pages that hold one counter, and their lowest bits are as often 0 as 1', () => {
    const ones = Array.from({ length: 8 }, () => 0);
    const seen = new Set<string>();
    for (let start = 0; start < 8192; start += MAX_PAGES) {
      const pages = Buffer.alloc(MAX_PAGES * PAGE_BYTES);
      for (let page = 0; page < MAX_PAGES; page++) pages.writeUInt32LE(start + page + 1, page * PAGE_BYTES + 0x40);
      for (const finding of look(pages).findings) {
        seen.add(nameOf(finding));
        for (const bit of ones.keys()) ones[bit] = (ones[bit] ?? 0) + ((finding.low >>> bit) & 1);
      }
    }
    expect(seen.size).toBe(8192);
    // Five standard deviations of 8192 coins.
    for (const count of ones) expect(Math.abs(count - 4096)).toBeLessThan(226);
  });
});
