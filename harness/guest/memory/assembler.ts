/**
 * As much of an assembler for WebAssembly as our kernel needs: expressions are functions, their types are TypeScript's.
 *
 * WebAssembly Core Specification 2.0, chapter 5 (binary format). An instruction that is missing is one line in the tables below.
 */
export interface I32 {
  readonly i32: Code;
}
export interface V128 {
  readonly v128: Code;
}
/** Instructions that leave nothing on the stack. */
export type Statement = Code;
type Code = readonly number[];

export interface Local<Value> {
  readonly get: Value;
  set(value: Value): Statement;
}

const I32_TYPE = 0x7f;
const V128_TYPE = 0x7b;
const NO_VALUE = 0x40;
const SIMD = 0xfd;

const onI32 = (opcode: number) => (a: I32, b: I32) => ({ i32: [...a.i32, ...b.i32, opcode] });
const onV128 = (opcode: number) => (a: V128, b: V128) => ({ v128: [...a.v128, ...b.v128, ...simd(opcode)] });
const shift = (opcode: number) => (a: V128, bits: number) => ({
  v128: [...a.v128, ...i32.of(bits).i32, ...simd(opcode)],
});
/** The alignment is a hint; 0 promises nothing. */
const at = (offset: number) => [0, ...unsigned(offset)];

export const i32 = {
  of: (value: number): I32 => ({ i32: [0x41, ...signed(value)] }),
  load: (address: I32): I32 => ({ i32: [...address.i32, 0x28, ...at(0)] }),
  loadByte: (address: I32, offset = 0): I32 => ({ i32: [...address.i32, 0x2d, ...at(offset)] }),
  store: (address: I32, value: I32, offset = 0): Statement => [...address.i32, ...value.i32, 0x36, ...at(offset)],
  isZero: (a: I32): I32 => ({ i32: [...a.i32, 0x45] }),
  isBelow: onI32(0x49),
  add: onI32(0x6a),
  and: onI32(0x71),
  xor: onI32(0x73),
  shiftLeft: onI32(0x74),
};

export const v128 = {
  load: (address: I32, offset = 0): V128 => ({ v128: [...address.i32, ...simd(0), ...at(offset)] }),
  ofI32x4: (lanes: readonly number[]): V128 => ({
    v128: [...simd(12), ...new Uint8Array(Int32Array.from(lanes).buffer)],
  }),
  or: onV128(80),
  xor: onV128(81),
  isAnyBitSet: (a: V128): I32 => ({ i32: [...a.v128, ...simd(83)] }),
};
export const i16x8 = { splat: (a: I32): V128 => ({ v128: [...a.i32, ...simd(16)] }), equal: onV128(45) };
export const i32x4 = {
  lane: (a: V128, index: number): I32 => ({ i32: [...a.v128, ...simd(27), index] }),
  add: onV128(174),
  mul: onV128(181),
};
export const i64x2 = { shiftLeft: shift(203), shiftRight: shift(205) };

/** Runs the statements, and again as long as the condition holds. */
export const repeatWhile = (condition: I32, statements: readonly Statement[]): Statement => [
  ...[0x03, NO_VALUE],
  ...statements.flat(),
  ...condition.i32,
  ...[0x0d, 0],
  END,
];

export const when = (condition: I32, yes: readonly Statement[], no: readonly Statement[]): Statement => [
  ...condition.i32,
  ...[0x04, NO_VALUE],
  ...yes.flat(),
  0x05,
  ...no.flat(),
  END,
];

const END = 0x0b;

/** Locals of a function, and its parameters, which are declared first. */
export class Locals {
  readonly #types: number[] = [];

  i32(): Local<I32> {
    const index = this.#declare(I32_TYPE);
    return { get: { i32: [0x20, ...index] }, set: (value) => [...value.i32, 0x21, ...index] };
  }

  v128(): Local<V128> {
    const index = this.#declare(V128_TYPE);
    return { get: { v128: [0x20, ...index] }, set: (value) => [...value.v128, 0x21, ...index] };
  }

  get count(): number {
    return this.#types.length;
  }

  /** The types of those that are not parameters, one after the other. */
  after(parameters: number): readonly number[] {
    return this.#types.slice(parameters);
  }

  #declare(type: number): number[] {
    return unsigned(this.#types.push(type) - 1);
  }
}

/** A module with one function of `parameters` numbers, exported as `run`, on the memory that it imports as `env.memory`. */
export function moduleOf(parameters: number, locals: Locals, body: readonly Statement[]): Uint8Array<ArrayBuffer> {
  const declared = locals.after(parameters).map((type) => [1, type]);
  const code = [...vector(declared), ...body.flat(), END];
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [0x60, ...vector(Array.from({ length: parameters }, () => [I32_TYPE])), 0]),
    ...section(2, [...text('env'), ...text('memory'), 0x02, 0x00, 1]),
    ...section(3, [0]),
    ...section(7, [...text('run'), 0x00, 0]),
    ...section(10, [...unsigned(code.length), ...code]),
  ]);
}

/** A section with one entry. */
function section(id: number, entry: Code): Code {
  const content = vector([entry]);
  return [id, ...unsigned(content.length), ...content];
}

function vector(entries: readonly Code[]): Code {
  return [...unsigned(entries.length), ...entries.flat()];
}

function text(ascii: string): Code {
  return vector([...Buffer.from(ascii, 'latin1')].map((byte) => [byte]));
}

function simd(opcode: number): Code {
  return [SIMD, ...unsigned(opcode)];
}

/** LEB128, section 5.2.2. */
function unsigned(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...unsigned(value >>> 7)];
}

function signed(value: number): number[] {
  const isLast = value >= -0x40 && value < 0x40;
  return isLast ? [value & 0x7f] : [(value & 0x7f) | 0x80, ...signed(value >> 7)];
}
