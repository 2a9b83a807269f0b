import { guestMemoryError } from './errors.ts';

/** Shorter ones occur by chance, and may lie between two words without holding one whole. */
const MIN_TOKEN_BYTES = 20;
/** One word is looked at in every so many bytes; a token has a whole word at one of these places. */
const STEP_BYTES = 16;
/** Enough that other words seldom end in them, few enough that the table stays in the level-1 cache. */
const LOW_BITS = 0xfff;
const STEP_WORDS = STEP_BYTES / 4;

/**
 * Finds a byte string at any offset in memory that comes piece by piece.
 *
 * Of every 16 bytes it looks at one: a token of 20 bytes or more covers a whole 32-bit word that starts at a multiple of 16, and that
 * word is one of sixteen. Comparing every byte is left for the places where one of the sixteen may stand.
 */
export class TokenSearch {
  readonly #token: Buffer;
  /** The word that stands at a multiple of 16 when the token began `index` bytes before it. */
  readonly #words: Int32Array;
  /** 1 for the lowest bits of those words. */
  readonly #lowBits = new Uint8Array(LOW_BITS + 1);
  /** The last bytes of the piece before, one less than the token has. */
  #carry: Buffer = Buffer.alloc(0);

  /** Throws `MEMORY_TOKEN`. */
  constructor(token: Uint8Array) {
    if (token.length < MIN_TOKEN_BYTES)
      throw guestMemoryError(
        'MEMORY_TOKEN',
        `a token to search for has ${MIN_TOKEN_BYTES} bytes or more, got ${token.length}`,
      );
    this.#token = Buffer.from(token);
    this.#words = Int32Array.from({ length: STEP_BYTES }, (_, phase) => this.#token.readInt32LE(phase));
    for (const word of this.#words) this.#lowBits[word & LOW_BITS] = 1;
  }

  /** Calls back with the offset of every token that began in the piece before and ends in this one; offsets are negative. */
  acrossBorder(piece: Uint8Array, found: (offset: number) => void): void {
    const overlap = this.#token.length - 1;
    const joined = Buffer.concat([this.#carry, piece.subarray(0, overlap)]);
    for (let at = joined.indexOf(this.#token); at >= 0; at = joined.indexOf(this.#token, at + 1)) {
      if (at < this.#carry.length) found(at - this.#carry.length);
    }
    // A piece shorter than the overlap does not push everything before it out of reach.
    const tail = piece.length >= overlap ? piece.subarray(piece.length - overlap) : Buffer.concat([this.#carry, piece]);
    this.#carry = Buffer.from(tail.subarray(Math.max(0, tail.length - overlap)));
  }

  /** What comes next does not follow on what came last. */
  forget(): void {
    this.#carry = Buffer.alloc(0);
  }

  /**
   * Calls back with the byte offset in `bytes` of every token whose first whole word is among `words[from, to)`, in ascending
   * order. `words` is a view of the same bytes; `from` and `to` are multiples of 16 words.
   */
  within(bytes: Buffer, words: Int32Array, from: number, to: number, found: (offset: number) => void): void {
    const low = this.#lowBits;
    for (let i = from; i < to; i += 4 * STEP_WORDS) {
      const hit =
        (low[(words[i] as number) & LOW_BITS] as number) |
        (low[(words[i + STEP_WORDS] as number) & LOW_BITS] as number) |
        (low[(words[i + 2 * STEP_WORDS] as number) & LOW_BITS] as number) |
        (low[(words[i + 3 * STEP_WORDS] as number) & LOW_BITS] as number);
      if (hit !== 0) this.#lookAround(bytes, words, i, found);
    }
  }

  #lookAround(bytes: Buffer, words: Int32Array, from: number, found: (offset: number) => void): void {
    for (let i = from; i < from + 4 * STEP_WORDS; i += STEP_WORDS) {
      for (let phase = STEP_BYTES - 1; phase >= 0; phase--) {
        if (words[i] !== this.#words[phase]) continue;
        const start = i * 4 - phase;
        const end = start + this.#token.length;
        if (start >= 0 && end <= bytes.length && bytes.compare(this.#token, 0, this.#token.length, start, end) === 0)
          found(start);
      }
    }
  }
}
