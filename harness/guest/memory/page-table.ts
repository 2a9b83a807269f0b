import { type Counts, keepSample, mergeInto, roomFor, sortAndCount } from './sorted-counts.ts';

/** As many as 1 GiB of different pages have: 3 MiB. */
const MAX_CONTENTS = 2 ** 18;
/** Fingerprints that wait to be sorted, in one go: 3 MiB. */
const MAX_WAITING = 2 ** 18;
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

/** What a table has counted, as it can be sent to another thread. */
export interface PackedPages {
  /** Counts of those fingerprints whose lowest `level` bits are zeros. */
  readonly counts: Counts;
  readonly level: number;
  /** Fingerprints that are not counted yet. */
  readonly waiting: Counts;
}

/**
 * Counts how often each content of a page occurs, in 6 MiB, whatever the size of the memory.
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
  readonly #known: Counts;
  /** Not sorted yet. */
  readonly #waiting: Counts;
  /** Low bits of a fingerprint that must be zero. */
  #level = 0;

  /** Large memories, and those of unknown size, all need the same room; small ones as much as they have pages. */
  constructor(expectedPages = Number.POSITIVE_INFINITY) {
    const isLarge = expectedPages >= LARGE_PAGES;
    this.#known = roomFor(isLarge ? MAX_CONTENTS : expectedPages);
    this.#waiting = roomFor(isLarge ? MAX_WAITING : Math.max(1, expectedPages));
  }

  add(low: number, high: number): void {
    if ((low & ((1 << this.#level) - 1)) !== 0) return;
    const waiting = this.#waiting;
    waiting.words[waiting.used * 2] = low;
    waiting.words[waiting.used * 2 + 1] = high;
    waiting.used++;
    if (waiting.used === waiting.pages.length) this.#settle();
  }

  /** Adds what another table has counted. */
  merge({ counts, level, waiting }: PackedPages): void {
    if (level > this.#level) this.#raiseLevel(level);
    this.#addCounts(counts);
    const fingerprints = waiting.words.subarray(0, waiting.used * 2);
    for (let from = 0; from < fingerprints.length; ) {
      const { words, used } = this.#waiting;
      const part = fingerprints.subarray(from, from + words.length - used * 2);
      words.set(part, used * 2);
      this.#waiting.used += part.length / 2;
      from += part.length;
      if (this.#waiting.used * 2 === words.length) this.#settle();
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

  /** Gives away what it has: nothing can be added any more. */
  pack(): PackedPages {
    return { counts: this.#known, level: this.#level, waiting: this.#waiting };
  }

  /** Nothing waits any more. */
  #settle(): void {
    sortAndCount(this.#waiting);
    this.#addCounts(this.#waiting);
    this.#waiting.used = 0;
  }

  /** Adds counts, or as many of them as the sample has. */
  #addCounts(counts: Counts): void {
    keepSample(counts, this.#level);
    while (!mergeInto(this.#known, counts)) {
      this.#raiseLevel(this.#level + 1);
      keepSample(counts, this.#level);
    }
  }

  #raiseLevel(level: number): void {
    this.#level = level;
    keepSample(this.#known, level);
  }
}
