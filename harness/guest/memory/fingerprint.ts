export const PAGE_BYTES = 4096;
export const PAGE_WORDS = PAGE_BYTES / 4;

export interface Fingerprint {
  readonly low: number;
  readonly high: number;
}

/**
 * 64 bits of a page of 1024 words, by four chains of multiply and rotate that are mixed in the end.
 *
 * For pages that nobody made in order to collide. The rotation matters: without it, a difference in the highest bit of two words
 * of one chain would vanish.
 */
export function fingerprint(words: Int32Array, from: number): Fingerprint {
  let a = 1;
  let b = 2;
  let c = 3;
  let d = 4;
  for (let i = from; i < from + PAGE_WORDS; i += 4) {
    a = Math.imul(a ^ (words[i] as number), 0x9e3779b1);
    a = (a << 13) | (a >>> 19);
    b = Math.imul(b ^ (words[i + 1] as number), 0x85ebca6b);
    b = (b << 13) | (b >>> 19);
    c = Math.imul(c ^ (words[i + 2] as number), 0xc2b2ae35);
    c = (c << 13) | (c >>> 19);
    d = Math.imul(d ^ (words[i + 3] as number), 0x27d4eb2f);
    d = (d << 13) | (d >>> 19);
  }
  return {
    low: mixed(mixed(mixed(mixed(0x3c6ef372, a), b), c), d),
    high: mixed(mixed(mixed(mixed(0x1f83d9ab, d), c), b), a),
  };
}

/** The finalizer of MurmurHash3 (A. Appleby, public domain): every bit of the input reaches every bit of the output. */
function mixed(state: number, word: number): number {
  let h = Math.imul(state, 5) ^ word;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
