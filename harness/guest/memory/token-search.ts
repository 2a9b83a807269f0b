import { guestMemoryError } from './errors.ts';

/** Shorter ones occur by chance. */
const MIN_TOKEN_BYTES = 20;
const USUAL_BYTES = [0x00, 0xff];

/**
 * Finds a byte string at any offset in memory that comes piece by piece.
 *
 * Three neighbouring bytes of the token are two pairs, of which one stands at an even place wherever the token begins: only where a
 * pair was seen at an even place is the token looked for.
 */
export class TokenSearch {
  readonly #token: Buffer;
  /** Where in the token the first pair begins; the other begins one byte later. */
  readonly #pairAt: number;
  /** The pairs as numbers, the first byte in the low bits. */
  readonly pairs: readonly [number, number];
  /** The last bytes of the piece before, one less than the token has, and room for as many of the piece that follows. */
  readonly #joined: Buffer;
  #carried = 0;

  /** Throws `MEMORY_TOKEN`. */
  constructor(token: Uint8Array) {
    if (token.length < MIN_TOKEN_BYTES)
      throw guestMemoryError(
        'MEMORY_TOKEN',
        `a token to search for has ${MIN_TOKEN_BYTES} bytes or more, got ${token.length}`,
      );
    this.#token = Buffer.from(token);
    this.#joined = Buffer.alloc(2 * (token.length - 1));
    this.#pairAt = rareTriple(this.#token);
    this.pairs = [this.#token.readUInt16LE(this.#pairAt), this.#token.readUInt16LE(this.#pairAt + 1)];
  }

  /** Whether a page of zeros may hold a token, or a part of one. */
  get isInZeros(): boolean {
    return this.pairs.includes(0);
  }

  /** Calls back with the offset of every token that began in the piece before and ends in this one; offsets are negative. */
  acrossBorder(piece: Uint8Array, found: (offset: number) => void): void {
    const [joined, token, carried] = [this.#joined, this.#token, this.#carried];
    const overlap = token.length - 1;
    joined.set(piece.subarray(0, overlap), carried);
    const end = carried + Math.min(overlap, piece.length);
    for (let at = joined.indexOf(token); at >= 0 && at < carried; at = joined.indexOf(token, at + 1)) {
      if (at + token.length <= end) found(at - carried);
    }
    this.#carried = Math.min(overlap, carried + piece.length);
    // A piece shorter than the overlap does not push everything before it out of reach.
    if (piece.length >= overlap) joined.set(piece.subarray(piece.length - overlap));
    else joined.copyWithin(0, end - this.#carried, end);
  }

  /** What comes next does not follow on what came last. */
  forget(): void {
    this.#carried = 0;
  }

  /** Calls back with the offset in `piece` of every token one of whose pairs stands at an even place in `[from, to)`, ascending; both are even. */
  within(piece: Buffer, from: number, to: number, found: (offset: number) => void): void {
    const first = Math.max(0, from - 1 - this.#pairAt);
    const end = Math.min(piece.length, to - 2 - this.#pairAt + this.#token.length);
    const bytes = piece.subarray(first, end);
    for (let at = bytes.indexOf(this.#token); at >= 0; at = bytes.indexOf(this.#token, at + 1)) found(first + at);
  }
}

/** Where three bytes stand of which memory is not full; any three find the token, these are just met less often by chance. */
function rareTriple(token: Buffer): number {
  for (let at = 0; at + 3 <= token.length; at++) {
    const bytes = [...token.subarray(at, at + 3)];
    if (new Set([...bytes, ...USUAL_BYTES]).size === bytes.length + USUAL_BYTES.length) return at;
  }
  return 0;
}
