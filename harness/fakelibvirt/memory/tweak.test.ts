import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AddressTweak } from './tweak.ts';

const FIRST_BIT = 4;
const LAST_BIT = 47;

function drawn() {
  const constants: Uint8Array[] = [];
  const tweak = new AddressTweak('per-boot', (length) => {
    const constant = Uint8Array.from({ length }, (_, i) => (constants.length * 37 + i * 101 + 11) & 0xff);
    constants.push(constant);
    return constant;
  });
  return { constants, tweak };
}

function tweakOf(tweak: AddressTweak, address: number): Uint8Array {
  const words = new Int32Array(4);
  tweak.apply(words, address);
  return new Uint8Array(words.buffer);
}

test('each address bit from 4 to 47 adds its own constant, and the address 0 adds none', () => {
  const { constants, tweak } = drawn();
  expect(constants.length).toBe(LAST_BIT - FIRST_BIT + 1);
  expect(tweakOf(tweak, 0)).toEqual(new Uint8Array(16));
  for (let bit = FIRST_BIT; bit <= LAST_BIT; bit++)
    expect(tweakOf(tweak, 2 ** bit)).toEqual(constants[bit - FIRST_BIT]);
});

test('the tweak of an address is the sum of the constants of its bits', () => {
  const { constants, tweak } = drawn();
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 44n - 1n }), (block) => {
      const sum = new Uint8Array(16);
      constants.forEach((constant, index) => {
        if ((block >> BigInt(index)) & 1n) for (let i = 0; i < 16; i++) sum[i] = (sum[i] ?? 0) ^ (constant[i] ?? 0);
      });
      expect(tweakOf(tweak, Number(block * 16n))).toEqual(sum);
    }),
  );
});

test('the constants of Naples are one word repeated, and those of the lowest 32 bits are independent', () => {
  const tweak = new AddressTweak('fixed', () => {
    throw new Error('fixed constants are not drawn');
  });
  const rows: number[] = [];
  for (let bit = FIRST_BIT; bit < FIRST_BIT + 32; bit++) {
    const [a, b, c, d] = new Uint32Array(tweakOf(tweak, 2 ** bit).buffer);
    expect([b, c, d]).toEqual([a, a, a]);
    let row = a as number;
    for (const pivot of rows) row = Math.min(row, (row ^ pivot) >>> 0);
    expect(row).not.toBe(0);
    rows.push(row);
    rows.sort((x, y) => y - x);
  }
});
