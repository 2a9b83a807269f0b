import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { PAGE_BYTES } from './kernel.ts';
import { MemoryScanner, type ScanResult } from './scanner.ts';

const TOKEN = Buffer.from('00ff41414141c3a900112233445566ff0102030405', 'hex');

/** Bytes without a pattern, the same for the same seed. */
function noise(length: number, seed: string | number): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < length; at += 64) parts.push(createHash('sha512').update(`${seed} ${at}`).digest());
  return Buffer.concat(parts).subarray(0, length);
}

/** Scans `bytes` in pieces that end at the given numbers of pages. */
function scan(bytes: Buffer, cuts: readonly number[] = [], token: Uint8Array | undefined = TOKEN): ScanResult {
  const scanner = new MemoryScanner({ sizeBytes: bytes.length, ...(token === undefined ? {} : { token }) });
  const ends = [...cuts.map((pages) => pages * PAGE_BYTES), bytes.length];
  let start = 0;
  for (const end of ends) {
    scanner.push({ bytes: bytes.subarray(start, end), guestAddress: start, position: start });
    start = end;
  }
  return scanner.result();
}

/** Every offset, found by comparing at every offset. */
function offsetsOf(bytes: Buffer, token: Buffer): number[] {
  const found: number[] = [];
  for (let at = 0; at + token.length <= bytes.length; at++) {
    if (bytes.compare(token, 0, token.length, at, at + token.length) === 0) found.push(at);
  }
  return found;
}

const cutsOf = (pages: number) =>
  fc
    .uniqueArray(fc.integer({ min: 1, max: pages - 1 }), { maxLength: pages - 1 })
    .map((cuts) => cuts.sort((a, b) => a - b));

describe('the token', () => {
  test('is found at any offset, also across the border of two pieces, as often as a search at every offset finds it', () => {
    const offsets = fc.array(fc.integer({ min: 0, max: 8 * PAGE_BYTES - TOKEN.length }), { maxLength: 20 });
    const nearBorders = fc.array(
      fc
        .tuple(fc.integer({ min: 1, max: 7 }), fc.integer({ min: -TOKEN.length, max: 2 }))
        .map(([page, by]) => page * PAGE_BYTES + by),
      { maxLength: 6 },
    );
    fc.assert(
      fc.property(offsets, nearBorders, cutsOf(8), fc.nat(99), (anywhere, borders, cuts, seed) => {
        const bytes = noise(8 * PAGE_BYTES, seed);
        for (const at of [...anywhere, ...borders]) TOKEN.copy(bytes, at);
        const expected = offsetsOf(bytes, TOKEN);
        const { token } = scan(bytes, cuts);
        expect(token?.hits).toBe(expected.length);
        const pages = new Set(expected.map((at) => Math.floor(at / PAGE_BYTES)));
        const named = token?.runs.flatMap(({ guestAddress, bytes: length }) =>
          Array.from({ length: length / PAGE_BYTES }, (_, index) => guestAddress / PAGE_BYTES + index),
        );
        expect(named).toEqual([...pages].sort((a, b) => a - b));
      }),
      { numRuns: 100 },
    );
  });

  test('that overlaps itself is found at each of its places', () => {
    const token = Buffer.alloc(20, 0x41);
    const bytes = Buffer.alloc(2 * PAGE_BYTES);
    bytes.fill(0x41, PAGE_BYTES - 24, PAGE_BYTES + 5);
    expect(scan(bytes, [1], token).token?.hits).toBe(10);
    expect(scan(bytes, [], token).token?.hits).toBe(10);
  });

  test('of 32 bytes is found, and its first 20 bytes alone are not', () => {
    const token = noise(32, 'long');
    const bytes = Buffer.alloc(2 * PAGE_BYTES);
    token.copy(bytes, PAGE_BYTES - 9);
    token.copy(bytes, 77, 0, 20);
    expect(scan(bytes, [1], token).token?.hits).toBe(1);
  });

  test('is not put together from pieces between which something is missing', () => {
    const scanner = new MemoryScanner({ sizeBytes: 3 * PAGE_BYTES, token: TOKEN });
    const bytes = Buffer.alloc(2 * PAGE_BYTES);
    TOKEN.copy(bytes, PAGE_BYTES - 8);
    scanner.push({ bytes: bytes.subarray(0, PAGE_BYTES), guestAddress: 0, position: 0 });
    scanner.push({ bytes: bytes.subarray(PAGE_BYTES), guestAddress: 2 * PAGE_BYTES, position: PAGE_BYTES });
    expect(scanner.result().token?.hits).toBe(0);
  });

  test('in bytes that stand at an odd place of their buffer is found all the same', () => {
    const bytes = Buffer.alloc(PAGE_BYTES + 3).subarray(3);
    TOKEN.copy(bytes, 100);
    expect(scan(bytes).token?.hits).toBe(1);
  });

  test('of zeros is found in pages of zeros, also where they end', () => {
    const bytes = Buffer.alloc(4 * PAGE_BYTES).fill(0x55, PAGE_BYTES + 30, 2 * PAGE_BYTES + 1);
    const token = Buffer.alloc(20);
    expect(scan(bytes, [1, 2], token).token?.hits).toBe(offsetsOf(bytes, token).length);
    expect(scan(bytes, [], Buffer.from([...token, 0x55])).token?.hits).toBe(1);
  });

  test('is found around the borders within a piece of many pages, and in a last page that is not whole', () => {
    const border = 128 * PAGE_BYTES;
    const bytes = Buffer.alloc(3 * border + 100);
    const places = [
      border - 21,
      border,
      2 * border - 1,
      3 * border - 43,
      3 * border - 22,
      3 * border - 1,
      3 * border + 79,
    ];
    for (const at of places) TOKEN.copy(bytes, at);
    expect(offsetsOf(bytes, TOKEN)).toEqual(places);
    expect(scan(bytes).token?.hits).toBe(places.length);
    expect(scan(Buffer.concat([Buffer.alloc(1), bytes]).subarray(1)).token?.hits).toBe(places.length);
  });

  test('of 19 bytes is refused', () => {
    expect(() => scan(Buffer.alloc(PAGE_BYTES), [], TOKEN.subarray(2))).toThrow(
      expect.toSatisfy((error) => isSevHarnessError(error, 'MEMORY_TOKEN')),
    );
  });
});

describe('equal pages', () => {
  test('are counted wherever they stand; pages of zeros are counted apart', () => {
    const bytes = Buffer.concat([
      noise(PAGE_BYTES, 'a'),
      Buffer.alloc(PAGE_BYTES),
      noise(PAGE_BYTES, 'b'),
      noise(PAGE_BYTES, 'a'),
      Buffer.alloc(PAGE_BYTES),
      noise(PAGE_BYTES, 'c'),
      noise(PAGE_BYTES, 'a'),
      noise(PAGE_BYTES, 'c'),
    ]);
    const { equalPages, pagesOfZeros } = scan(bytes);
    expect(pagesOfZeros).toBe(2);
    expect(equalPages).toEqual({ contents: 3, repeated: 2, pagesOfRepeated: 5, most: 3, standardError: 0 });
  });

  test('that differ in one bit, wherever it is, are different pages', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: PAGE_BYTES * 8 - 1 }), fc.nat(99), (bit, seed) => {
        const page = noise(PAGE_BYTES, seed);
        const other = Buffer.from(page);
        other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(scan(Buffer.concat([page, other])).equalPages.contents).toBe(2);
      }),
    );
  });

  test('that differ in the highest bit of two words are different pages', () => {
    for (const distance of [4, 16, 32, 64, 1024]) {
      const pages = Buffer.alloc(2 * PAGE_BYTES, 0x11);
      for (const at of [3, 3 + distance]) pages[at] = 0x91;
      expect(scan(pages).equalPages.contents).toBe(2);
    }
  });
});

describe('entropy', () => {
  test('is near 8 bits for noise, 0 for zeros and at most 4 for a token of 16 different bytes', () => {
    const tile = 16 * PAGE_BYTES;
    const token = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
    const { entropyMap } = scan(Buffer.concat([noise(tile, 1), Buffer.alloc(tile), Buffer.alloc(tile, token)]));
    expect(entropyMap.bytesPerTile).toBe(tile);
    const [random = 0, zeros, tokens = 0] = entropyMap.bits;
    expect(random).toBeGreaterThan(7.9);
    expect(zeros).toBe(0);
    expect(tokens).toBeGreaterThan(3.9);
    expect(tokens).toBeLessThan(4.1);
  });

  test('is told for 2048 parts at most, which cover the whole memory', () => {
    for (const MiB of [1, 256, 8192, 8193]) {
      const { entropyMap } = new MemoryScanner({ sizeBytes: MiB * 2 ** 20 }).result();
      expect(entropyMap.bits.length).toBeLessThanOrEqual(2048);
      expect(entropyMap.bits.length * entropyMap.bytesPerTile).toBeGreaterThanOrEqual(MiB * 2 ** 20);
    }
  });
});

test('what several scanners find, each of whichever pieces it took, gives what one scan gives', () => {
  const pieces = fc.tuple(cutsOf(12), fc.array(fc.nat(2), { minLength: 12, maxLength: 12 }));
  const places = fc.array(fc.integer({ min: 0, max: 12 * PAGE_BYTES - TOKEN.length }), { maxLength: 30 });
  fc.assert(
    fc.property(pieces, places, ([cuts, takers], tokensAt) => {
      const bytes = Buffer.concat([noise(6 * PAGE_BYTES, 'half'), noise(6 * PAGE_BYTES, 'half')]);
      for (const at of tokensAt) TOKEN.copy(bytes, at);
      const plan = { sizeBytes: bytes.length, token: TOKEN };
      const scanners = [0, 1, 2].map(() => new MemoryScanner(plan));
      let start = 0;
      for (const [index, end] of [...cuts.map((pages) => pages * PAGE_BYTES), bytes.length].entries()) {
        const scanner = scanners[takers[index] ?? 0];
        scanner?.push({ bytes: bytes.subarray(start, end), guestAddress: start, position: start });
        scanner?.pushBorder(bytes.subarray(end, end + TOKEN.length - 1), end);
        start = end;
      }
      const whole = new MemoryScanner(plan);
      for (const scanner of scanners) whole.merge(structuredClone(scanner.pack()));
      expect(whole.result()).toEqual(scan(bytes));
    }),
    { numRuns: 30 },
  );
});
