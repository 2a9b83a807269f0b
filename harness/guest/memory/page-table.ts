import { type CountsRoom, copyOf, countsOf, mergeInto, roomFor, type SortedCounts, sampleOf } from './sorted-counts.ts';

/** As many as 1 GiB of different pages have: 3 MiB. */
const MAX_CONTENTS = 2 ** 18;
/** Fingerprints that wait to be sorted, in one go: 2 MiB. */
const MAX_WAITING = 2 ** 18;

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

/** What a table has counted, as it can be sent to another thread. */
export interface PackedPages {
  /** Counts of those fingerprints whose lowest `level` bits are zeros. */
  readonly counts: SortedCounts;
  readonly level: number;
  /** Fingerprints that are not counted yet, two words each. */
  readonly waiting: Uint32Array<ArrayBuffer>;
}

/**
 * Counts how often each content of a page occurs, in 5 MiB, whatever the size of the memory.
 *
 * Fingerprints wait until there are enough of them to be sorted and merged into those known: that reads memory from one end to the
 * other, where a hash table would wait for memory once for each page.
 *
 * Every content is counted while there is room. When there is none, those are kept whose fingerprint ends in one zero bit, then
 * in two, and so on: a sample of contents, each with *all* its pages (P. Gibbons, "Distinct Sampling for Highly-Accurate Answers
 * to Distinct Values Queries", 2001). A content that stands in two pages is then seen twice or not at all, and the numbers are
 * multiplied with the rate of the sample.
 *
 * Fingerprints have 64 bits: among the 2 million pages of 8 GiB two different ones look the same with a probability of 1e-7.
 */
export class PageTable {
  readonly #known: CountsRoom;
  readonly #waiting: Uint32Array<ArrayBuffer>;
  #waitingPages = 0;
  /** Low bits of a fingerprint that must be zero. */
  #level = 0;

  constructor(expectedPages = Number.POSITIVE_INFINITY) {
    this.#known = roomFor(Math.min(expectedPages, MAX_CONTENTS));
    this.#waiting = new Uint32Array(Math.min(Math.max(1, expectedPages), MAX_WAITING) * 2);
  }

  add(low: number, high: number): void {
    if ((low & ((1 << this.#level) - 1)) !== 0) return;
    this.#waiting[this.#waitingPages * 2] = low;
    this.#waiting[this.#waitingPages * 2 + 1] = high;
    this.#waitingPages++;
    if (this.#waitingPages * 2 === this.#waiting.length) this.#settle();
  }

  /** Adds what another table has counted. */
  merge({ counts, level, waiting }: PackedPages): void {
    while (level > this.#level) this.#raiseLevel();
    this.#addCounts(counts);
    for (let from = 0; from < waiting.length; ) {
      const used = this.#waitingPages * 2;
      const part = waiting.subarray(from, from + this.#waiting.length - used);
      this.#waiting.set(part, used);
      this.#waitingPages += part.length / 2;
      from += part.length;
      if (this.#waitingPages * 2 === this.#waiting.length) this.#settle();
    }
  }

  result(): EqualPages {
    this.#settle();
    const rate = 2 ** this.#level;
    const { pages: pagesOf, used } = this.#known;
    let [repeated, pagesOfRepeated, most] = [0, 0, 0];
    for (let index = 0; index < used; index++) {
      const pages = pagesOf[index] as number;
      if (pages > most) most = pages;
      if (pages === 1) continue;
      repeated++;
      pagesOfRepeated += pages;
    }
    return {
      contents: used * rate,
      repeated: repeated * rate,
      pagesOfRepeated: pagesOfRepeated * rate,
      most,
      standardError: Math.sqrt((1 - 1 / rate) / Math.max(1, used)),
    };
  }

  pack(): PackedPages {
    const waiting = this.#waiting.slice(0, this.#waitingPages * 2);
    return { counts: copyOf(this.#known), level: this.#level, waiting };
  }

  /** Nothing waits any more. */
  #settle(): void {
    const counts = countsOf(this.#waiting.subarray(0, this.#waitingPages * 2));
    this.#waitingPages = 0;
    this.#addCounts(counts);
  }

  #addCounts(counts: SortedCounts): void {
    for (let sample = sampleOf(counts, this.#level); !mergeInto(this.#known, sample); ) {
      this.#raiseLevel();
      sample = sampleOf(counts, this.#level);
    }
  }

  #raiseLevel(): void {
    this.#level++;
    const sample = sampleOf(copyOf(this.#known), this.#level);
    this.#known.used = 0;
    mergeInto(this.#known, sample);
  }
}
