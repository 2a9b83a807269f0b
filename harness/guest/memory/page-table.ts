/** Three quarters of these may be in use: 786,432 contents, as 3 GiB of different pages have. */
const MAX_SLOTS = 2 ** 20;
/** A small memory needs a small table. */
const FIRST_SLOTS = 2 ** 12;
const GROWTH = 4;
/** 128 MiB. */
const LARGE_PAGES = 2 ** 15;
const SLOT_WORDS = 4;
const COUNT = 2;

/** How many pages of a memory hold the same as another page of it. */
export interface EqualPages {
  /** Different contents. */
  readonly contents: number;
  /** Contents that stand in more than one page. */
  readonly repeated: number;
  /** Pages that hold a repeated content. */
  readonly pagesOfRepeated: number;
  /** Pages that hold the content that stands most often. */
  readonly most: number;
  /** Relative standard error of the numbers above, from the sample; 0 where every page was counted. */
  readonly standardError: number;
}

/**
 * Counts how often each content of a page occurs, in 16 MiB at most, whatever the size of the memory.
 *
 * The table counts every content while there is room. When it is full, it keeps the contents whose fingerprint ends in one zero
 * bit, then in two, and so on: a sample of contents, each with *all* its pages (P. Gibbons, "Distinct Sampling for
 * Highly-Accurate Answers to Distinct Values Queries", 2001). A content that stands in two pages is then seen twice or not at all,
 * and the numbers are multiplied with the rate of the sample.
 *
 * Fingerprints have 64 bits: among the 2 million pages of 8 GiB two different ones look the same with a probability of 1e-7.
 */
export class PageTable {
  /** Low word, high word and number of pages of each slot, and one word of nothing: a slot lies within one line of the cache. */
  #slots: Int32Array<ArrayBuffer>;
  #used = 0;
  /** Low bits of a fingerprint that must be zero. */
  #level = 0;

  /** `expectedPages` decides whether it begins at its full size: large memories then all need the same room. */
  constructor(expectedPages = 0) {
    this.#slots = new Int32Array((expectedPages >= LARGE_PAGES ? MAX_SLOTS : FIRST_SLOTS) * SLOT_WORDS);
  }

  add(low: number, high: number, pages = 1): void {
    if ((low & (2 ** this.#level - 1)) !== 0) return;
    const slots = this.#slots;
    let at = (high * SLOT_WORDS) & (slots.length - 1);
    while (slots[at + COUNT] !== 0) {
      if (slots[at] === low && slots[at + 1] === high) {
        slots[at + COUNT] = (slots[at + COUNT] as number) + pages;
        return;
      }
      at = (at + SLOT_WORDS) & (slots.length - 1);
    }
    slots[at] = low;
    slots[at + 1] = high;
    slots[at + COUNT] = pages;
    this.#used++;
    if (this.#used > (slots.length / SLOT_WORDS / 4) * 3) this.#makeRoom();
  }

  /** Adds what another table has counted. */
  merge({ level, entries }: PackedPages): void {
    if (level > this.#level) this.#refill(this.#slots.length, level);
    this.#addAll(entries);
  }

  result(): EqualPages {
    const rate = 2 ** this.#level;
    let [repeated, pagesOfRepeated, most] = [0, 0, 0];
    this.#forEach((_low, _high, pages) => {
      most = Math.max(most, pages);
      if (pages === 1) return;
      repeated++;
      pagesOfRepeated += pages;
    });
    return {
      contents: this.#used * rate,
      repeated: repeated * rate,
      pagesOfRepeated: pagesOfRepeated * rate,
      most,
      standardError: Math.sqrt((1 - 1 / rate) / Math.max(1, this.#used)),
    };
  }

  /** The table as it can be sent to another thread. */
  pack(): PackedPages {
    const entries = new Int32Array(this.#used * 3);
    let at = 0;
    this.#forEach((low, high, pages) => {
      entries.set([low, high, pages], at);
      at += 3;
    });
    return { level: this.#level, entries };
  }

  #forEach(visit: (low: number, high: number, pages: number) => void): void {
    const slots = this.#slots;
    for (let at = 0; at < slots.length; at += SLOT_WORDS) {
      const pages = slots[at + COUNT] as number;
      if (pages !== 0) visit(slots[at] as number, slots[at + 1] as number, pages);
    }
  }

  #makeRoom(): void {
    const words = this.#slots.length * GROWTH;
    if (words <= MAX_SLOTS * SLOT_WORDS) this.#refill(words, this.#level);
    else this.#refill(this.#slots.length, this.#level + 1);
  }

  #refill(words: number, level: number): void {
    const { entries } = this.pack();
    this.#level = level;
    this.#used = 0;
    if (words === this.#slots.length) this.#slots.fill(0);
    else this.#slots = new Int32Array(words);
    this.#addAll(entries);
  }

  #addAll(entries: Int32Array): void {
    for (let at = 0; at < entries.length; at += 3)
      this.add(entries[at] as number, entries[at + 1] as number, entries[at + 2] as number);
  }
}

export interface PackedPages {
  readonly level: number;
  /** Low word, high word and count of each content. */
  readonly entries: Int32Array<ArrayBuffer>;
}
