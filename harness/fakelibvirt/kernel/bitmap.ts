const WORD_BITS = 32;

/** A set of small integers that finds the lowest free one by looking at 32 at a time. */
export class AsidBitmap {
  readonly #words: Uint32Array;

  constructor(size: number) {
    this.#words = new Uint32Array(Math.ceil(size / WORD_BITS));
  }

  has(bit: number): boolean {
    return (this.#word(bit >>> 5) & (1 << (bit & 31))) !== 0;
  }

  set(bit: number): void {
    this.#words[bit >>> 5] = this.#word(bit >>> 5) | (1 << (bit & 31));
  }

  /** Removes every member of `other`. */
  clearAll(other: AsidBitmap): void {
    for (let index = 0; index < this.#words.length; index++) {
      this.#words[index] = this.#word(index) & ~other.#word(index);
    }
  }

  reset(): void {
    this.#words.fill(0);
  }

  firstSet(first: number, last: number): number | undefined {
    return this.#find(first, last, (word) => word);
  }

  firstClear(first: number, last: number): number | undefined {
    return this.#find(first, last, (word) => ~word);
  }

  #find(first: number, last: number, candidates: (word: number) => number): number | undefined {
    for (let index = first >>> 5; index <= last >>> 5; index++) {
      let word = candidates(this.#word(index));
      if (index === first >>> 5) word &= -1 << (first & 31);
      if (word === 0) continue;
      const bit = index * WORD_BITS + (31 - Math.clz32(word & -word));
      return bit <= last ? bit : undefined;
    }
    return undefined;
  }

  #word(index: number): number {
    return this.#words[index] ?? 0;
  }
}
