import { type CountsRoom, copyOf, countsOf, mergeInto, roomFor, type SortedCounts, sampleOf } from './sorted-counts.ts';

/** As many as 3 GiB of different pages have: 9 MiB. */
const MAX_CONTENTS = 3 * 2 ** 18;
/** Fingerprints that wait to be sorted, in one go: 1 MiB. */
const MAX_WAITING = 2 ** 17;
/** 128 MiB. */
const LARGE_PAGES = 2 ** 15;

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

/** Counts of those fingerprints whose lowest `level` bits are zeros. */
export interface PackedPages extends SortedCounts {
  readonly level: number;
}

/**
 * Counts how often each content of a page occurs, in 10 MiB, whatever the size of the memory.
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

  /** Large memories, and those of unknown size, all need the same room; small ones as much as they have pages. */
  constructor(expectedPages = Number.POSITIVE_INFINITY) {
    const isLarge = expectedPages >= LARGE_PAGES;
    this.#known = roomFor(isLarge ? MAX_CONTENTS : expectedPages);
    this.#waiting = new Uint32Array((isLarge ? MAX_WAITING : Math.max(1, expectedPages)) * 2);
    if (!isLarge) return;
    // Until it is written, an array has no memory of its own.
    for (const array of [this.#known.words, this.#known.pages, this.#waiting]) array.fill(0);
  }

  add(low: number, high: number): void {
    if ((low & ((1 << this.#level) - 1)) !== 0) return;
    this.#waiting[this.#waitingPages * 2] = low;
    this.#waiting[this.#waitingPages * 2 + 1] = high;
    this.#waitingPages++;
    if (this.#waitingPages * 2 === this.#waiting.length) this.#settle();
  }

  /** Adds what another table has counted. */
  merge({ level, ...counts }: PackedPages): void {
    this.#settle();
    while (level > this.#level) this.#raiseLevel();
    this.#addCounts(counts);
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

  /** The table as it can be sent to another thread. */
  pack(): PackedPages {
    this.#settle();
    return { level: this.#level, ...copyOf(this.#known) };
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
