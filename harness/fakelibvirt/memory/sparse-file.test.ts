import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SparseFile } from './sparse-file.ts';
import { PAGE_BYTES } from './tweak.ts';

test('reads at any place what a whole copy has there, and nothing behind its end', () => {
  const page = fc.oneof(fc.constant(undefined), fc.nat(255));
  fc.assert(
    fc.property(
      fc.array(page, { maxLength: 5 }),
      fc.nat(PAGE_BYTES),
      fc.nat(7 * PAGE_BYTES),
      fc.nat(7 * PAGE_BYTES),
      (pages, tail, offset, length) => {
        const parts = pages.map((fill) => new Uint8Array(PAGE_BYTES).fill(fill ?? 0));
        const whole = Buffer.concat([...parts, new Uint8Array(tail).fill(7)]);
        const file = SparseFile.of(whole);
        expect(file.size).toBe(whole.length);
        expect(Buffer.compare(file.read(offset, length), whole.subarray(offset, offset + length))).toBe(0);
      },
    ),
  );
});

test('keeps its own copy', () => {
  const bytes = new Uint8Array(8).fill(1);
  const file = SparseFile.of(bytes);
  bytes.fill(2);
  expect(file.read(0, 8)).toEqual(new Uint8Array(8).fill(1));
});
