import { createHash } from 'node:crypto';

/** Bytes that AES encrypts at a time; the tweak is constant within them. */
export const BLOCK_BYTES = 16;
export const PAGE_BYTES = 4096;

/** System physical addresses have 48 bits; the lowest 4 lie within a block and do not enter the tweak. */
const FIRST_BIT = 4;
const LAST_BIT = 47;
const PAGE_BIT = 12;
const WORDS = BLOCK_BYTES / 4;

/**
 * Where the constants of the tweak come from.
 *
 * - `fixed`: first-generation EPYC (Naples). Du et al., "Secure Encrypted Virtualization is Unsecure" (2017), found that
 *   the tweak is the exclusive or of one constant per set address bit and that the constants are the same on every
 *   machine; Hetzelt and Buhren, "Security Analysis of Encrypted Virtual Machines" (2017), and Wilke et al., "SEVurity"
 *   (2020), build on it. Wilke et al. describe constants made of one 32-bit word repeated.
 * - `per-boot`: second-generation EPYC (Rome) and later. Wilke et al. report constants with full entropy that a machine
 *   draws when it starts. AES-256-XTS, which Genoa and later can use, is not modelled.
 *
 * The shape is theirs, the values are ours: nothing that reads the ciphertext can depend on them.
 */
export type TweakConstants = 'fixed' | 'per-boot';

/** XEX: the tweak T(p) is added before and after AES, with T(p) the exclusive or of a constant per set bit of p. */
export class AddressTweak {
  /** Tweaks of the 256 blocks of a page, as words, for address bits 4 to 11. */
  readonly #withinPage = new Int32Array(PAGE_BYTES / 4);
  /** Constants of address bits 12 to 47, four words each. */
  readonly #ofPage: readonly Int32Array[];

  constructor(kind: TweakConstants, random: (length: number) => Uint8Array) {
    const constants: Int32Array[] = [];
    for (let bit = FIRST_BIT; bit <= LAST_BIT; bit++) {
      constants.push(kind === 'fixed' ? fixedConstant(bit) : wordsOf(random(BLOCK_BYTES)));
    }
    this.#ofPage = constants.slice(PAGE_BIT - FIRST_BIT);
    for (let block = 0; block < PAGE_BYTES / BLOCK_BYTES; block++) {
      for (let bit = 0; bit < PAGE_BIT - FIRST_BIT; bit++) {
        if ((block >> bit) & 1) xorInto(this.#withinPage, block * WORDS, constants[bit] as Int32Array);
      }
    }
  }

  /** Adds the tweaks of `address` and the blocks that follow it to `words`, in place. `address` is aligned to a block. */
  apply(words: Int32Array, address: number): void {
    let at = 0;
    let position = address;
    while (at < words.length) {
      const first = (position % PAGE_BYTES) / 4;
      const count = Math.min(words.length - at, PAGE_BYTES / 4 - first);
      const [a, b, c, d] = this.#pageTweak(Math.floor(position / PAGE_BYTES));
      const table = this.#withinPage;
      for (let i = 0; i < count; i += WORDS) {
        const to = at + i;
        const from = first + i;
        words[to] = (words[to] as number) ^ (table[from] as number) ^ a;
        words[to + 1] = (words[to + 1] as number) ^ (table[from + 1] as number) ^ b;
        words[to + 2] = (words[to + 2] as number) ^ (table[from + 2] as number) ^ c;
        words[to + 3] = (words[to + 3] as number) ^ (table[from + 3] as number) ^ d;
      }
      at += count;
      position += count * 4;
    }
  }

  #pageTweak(page: number): readonly [number, number, number, number] {
    const sum = new Int32Array(WORDS);
    let rest = page;
    for (const constant of this.#ofPage) {
      if (rest % 2 === 1) xorInto(sum, 0, constant);
      rest = Math.floor(rest / 2);
    }
    return [sum[0] as number, sum[1] as number, sum[2] as number, sum[3] as number];
  }
}

/**
 * One word, repeated. The words of the lowest 32 address bits are linearly independent, so that no two blocks below
 * 64 GiB share a tweak; 44 bits cannot all be independent in 32, a weakness that the real constants have as well.
 */
function fixedConstant(bit: number): Int32Array {
  const noise = createHash('sha256').update(`sev-harness naples tweak bit ${bit}`).digest().readInt32LE(0);
  const index = bit - FIRST_BIT;
  const word = index < 32 ? (noise & (2 ** index - 1)) | (1 << index) : noise;
  return new Int32Array(WORDS).fill(word);
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(Uint8Array.from(bytes).buffer);
}

function xorInto(target: Int32Array, offset: number, words: Int32Array): void {
  for (let i = 0; i < WORDS; i++) target[offset + i] = (target[offset + i] as number) ^ (words[i] as number);
}
