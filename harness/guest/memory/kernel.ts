import {
  type I32,
  i16x8,
  i32,
  i32x4,
  i64x2,
  type Local,
  Locals,
  moduleOf,
  repeatWhile,
  type Statement,
  type V128,
  v128,
  when,
} from './assembler.ts';

export const PAGE_BYTES = 4096;
/** Of every so many bytes one enters the histograms: a prime, so that no field of a structure is met in every copy of it. */
export const SAMPLED_OF = 61;

/** What the kernel writes about each page: two words of fingerprint, its kind, and a word of nothing. */
export const FINDING_WORDS = 4;
export const FINDING_BYTES = FINDING_WORDS * 4;
/** All bytes are zeros; the fingerprint is not written. */
export const ZEROS = 0;
/** Not all zeros, and one of the two pairs stands in it. */
export const SUSPECT = 2;
const UNSUSPECT = 1;

/**
 * Looks once at the pages in `[from, to)` of its memory: writes a finding about each to `findings`, and counts sampled bytes of
 * those that are not all zeros in the 256 words at `histogram`.
 *
 * A pair is two bytes, the first in the low bits; pairs are looked for at even places.
 *
 * The fingerprint has 64 bits, for pages that nobody made in order to collide. Eight chains of two times 64 bits take every eighth
 * vector of the page, as in xxHash: multiply, rotate, and add the vector before, so that every vector enters two chains. They are
 * mixed in the end. Each step can be undone, so that pages that differ in one vector never look the same before the last fold to
 * 64 bits.
 */
export type PageKernel = (
  from: number,
  to: number,
  findings: number,
  histogram: number,
  onePair: number,
  otherPair: number,
) => void;

/** What we use of what Node has; its types come with a browser's library only. */
declare const WebAssembly: {
  readonly Memory: new (size: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: { readonly run: PageKernel } };
};
const WASM_PAGE_BYTES = 64 * 1024;

const VECTOR_BYTES = 16;
/** As many as hide the time that a multiplication takes. */
const CHAINS = 8;
const ROW_BYTES = CHAINS * VECTOR_BYTES;
const UNROLLED_SAMPLES = 4;
/** Odd, so that no two words have the same product: constants of xxHash and MurmurHash3, chosen there for their bits. */
const FACTORS = v128.ofI32x4([0x9e3779b1, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f]);
const ROTATED_BITS = 23;
const FOLDED_BITS = 29;

function assembleKernel() {
  const locals = new Locals();
  const from = locals.i32();
  const to = locals.i32();
  const findings = locals.i32();
  const histogram = locals.i32();
  const onePair = locals.i32();
  const otherPair = locals.i32();
  const parameters = locals.count;

  const at = locals.i32();
  const end = locals.i32();
  const one = locals.v128();
  const other = locals.v128();
  const seen = locals.v128();
  const chains = Array.from({ length: CHAINS }, () => locals.v128());
  const vectors = [locals.v128(), locals.v128()] as const;

  const move = (place: Local<I32>, by: number) => place.set(i32.add(place.get, i32.of(by)));
  const mix = (chain: Local<V128>): Statement[] => [
    chain.set(i32x4.mul(chain.get, FACTORS)),
    chain.set(v128.or(i64x2.shiftLeft(chain.get, ROTATED_BITS), i64x2.shiftRight(chain.get, 64 - ROTATED_BITS))),
  ];
  const isPair = (vector: V128) => v128.or(i16x8.equal(vector, one.get), i16x8.equal(vector, other.get));
  const indices = chains.map((_, index) => index);

  /** Rows up to the first that is not all zeros. */
  const skipZeros = repeatWhile(i32.and(i32.isZero(v128.isAnyBitSet(seen.get)), i32.isBelow(at.get, end.get)), [
    seen.set(indices.map((index) => v128.load(at.get, index * VECTOR_BYTES)).reduce(v128.or)),
    move(at, ROW_BYTES),
  ]);

  const fingerprintAndPairs = repeatWhile(i32.isBelow(at.get, end.get), [
    ...chains.flatMap((chain, index) => {
      const [vector, before] = index % 2 === 0 ? vectors : [vectors[1], vectors[0]];
      return [
        vector.set(v128.load(at.get, index * VECTOR_BYTES)),
        chain.set(v128.xor(chain.get, vector.get)),
        ...mix(chain),
        chain.set(i32x4.add(chain.get, before.get)),
        seen.set(v128.or(seen.get, isPair(vector.get))),
      ];
    }),
    move(at, ROW_BYTES),
  ]);

  const [mixed, ...others] = chains as [Local<V128>, ...Local<V128>[]];
  const fold = mixed.set(v128.xor(mixed.get, i64x2.shiftRight(mixed.get, FOLDED_BITS)));
  const halves = (index: number) => i32.xor(i32x4.lane(mixed.get, index), i32x4.lane(mixed.get, index + 2));
  const writeFinding = [
    ...others.flatMap((chain) => [...mix(mixed), mixed.set(v128.xor(mixed.get, chain.get))]),
    ...[fold, ...mix(mixed), fold, ...mix(mixed), fold],
    i32.store(findings.get, halves(0)),
    i32.store(findings.get, halves(1), 4),
    i32.store(findings.get, i32.add(v128.isAnyBitSet(seen.get), i32.of(UNSUSPECT)), 8),
  ];

  const bin = locals.i32();
  const sample = (offset: number) => [
    bin.set(i32.add(histogram.get, i32.shiftLeft(i32.loadByte(at.get, offset), i32.of(2)))),
    i32.store(bin.get, i32.add(i32.load(bin.get), i32.of(1))),
  ];
  const countSamples = repeatWhile(i32.isBelow(at.get, end.get), [
    ...Array.from({ length: UNROLLED_SAMPLES }, (_, index) => sample(index * SAMPLED_OF)).flat(),
    move(at, UNROLLED_SAMPLES * SAMPLED_OF),
  ]);

  const nothing = v128.ofI32x4([0, 0, 0, 0]);
  const lookAtPage = [
    ...[seen.set(nothing), ...vectors.map((vector) => vector.set(nothing))],
    ...chains.map((chain, index) => chain.set(v128.ofI32x4([1, 2, 3, 4].map((lane) => 4 * index + lane)))),
    at.set(from.get),
    fingerprintAndPairs,
    ...writeFinding,
    at.set(from.get),
    countSamples,
  ];

  return moduleOf(parameters, locals, [
    one.set(i16x8.splat(onePair.get)),
    other.set(i16x8.splat(otherPair.get)),
    repeatWhile(i32.isBelow(from.get, to.get), [
      at.set(from.get),
      end.set(i32.add(from.get, i32.of(PAGE_BYTES))),
      seen.set(nothing),
      skipZeros,
      when(v128.isAnyBitSet(seen.get), lookAtPage, [i32.store(findings.get, i32.of(ZEROS), 8)]),
      move(findings, FINDING_BYTES),
      from.set(end.get),
    ]),
  ]);
}

let compiled: object | undefined;

/** The kernel on a memory of `bytes` bytes or a little more, which begins as zeros. */
export function startKernel(bytes: number): { readonly lookAt: PageKernel; readonly memory: ArrayBuffer } {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE_BYTES) });
  compiled ??= new WebAssembly.Module(assembleKernel());
  const instance = new WebAssembly.Instance(compiled, { env: { memory } });
  return { lookAt: instance.exports.run, memory: memory.buffer };
}
