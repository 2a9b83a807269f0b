import { concatBytes, equalBytes, fromHex, toHex } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';

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

/** `refused`, or what happened instead of a coded error with that text. */
export function outcomeOf(parse: MalformedCase[1], seed: Uint8Array, [edit, message]: readonly [Edit, RegExp]): string {
  const mutant = edit(seed);
  if (equalBytes(mutant, seed)) return 'the edit changed nothing';
  try {
    parse(mutant);
    return 'taken';
  } catch (error) {
    if (!isSevHarnessError(error)) return `threw ${String(error)}`;
    return message.test(error.message) ? 'refused' : `refused, but said: ${error.message}`;
  }
}
