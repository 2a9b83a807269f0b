import { describe, expect, it } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../core/bytes.ts';

/** What makes a malformed input of a well-formed one. */
export type Edit = (bytes: Uint8Array) => Uint8Array;

export const set =
  (offset: number, ...values: number[]): Edit =>
  (bytes) => {
    const copy = Uint8Array.from(bytes);
    copy.set(values, offset);
    return copy;
  };
export const cut: Edit = (bytes) => bytes.slice(0, -1);
export const grow: Edit = (bytes) => concatBytes(bytes, Uint8Array.of(0));
export const empty: Edit = () => new Uint8Array();
export const hexOf = (hex: string) => fromHex(hex) ?? new Uint8Array();
export const edited =
  (change: (text: string) => string): Edit =>
  (bytes) =>
    Buffer.from(change(Buffer.from(bytes).toString('latin1')), 'latin1');
/** Changes DER in hex, without mending any length. */
export const inHex =
  (from: string | RegExp, to: string): Edit =>
  (bytes) =>
    hexOf(toHex(bytes).replace(from, to));

/** A parser, what it takes, and edits after which it must refuse with that text. */
export type MalformedCase = readonly [
  what: string,
  parse: (bytes: Uint8Array) => unknown,
  seed: Uint8Array,
  edits: Readonly<Record<string, readonly [Edit, RegExp]>>,
];

/** Each seed is read, and each edit of it refused with a coded error that says what is wrong. */
export function refusesEach(cases: readonly MalformedCase[]): void {
  describe.each(cases)('%s', (_, parse, seed, edits) => {
    it('is read as it is', () => {
      expect(() => parse(seed)).not.toThrow();
    });

    it.each(Object.entries(edits))('refuses %s', (_what, [edit, message]) => {
      const mutant = edit(seed);
      expect(toHex(mutant)).not.toBe(toHex(seed));
      expect(() => parse(mutant)).toThrow(
        expect.objectContaining({ name: 'SevHarnessError', message: expect.stringMatching(message) }),
      );
    });
  });
}
