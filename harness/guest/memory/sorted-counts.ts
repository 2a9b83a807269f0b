/** Fingerprints of 64 bits, two words each, the low one first, each with a number of pages; the first `used` count. */
export interface Counts {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly pages: Uint32Array<ArrayBuffer>;
  used: number;
}

/** Takes its memory at once: an array that was never written has none of its own yet. */
export function roomFor(contents: number): Counts {
  return { words: new Uint32Array(contents * 2).fill(0), pages: new Uint32Array(contents).fill(0), used: 0 };
}

/** Sorts fingerprints, and leaves each once, with how often it was there. */
export function sortAndCount(counts: Counts): void {
  const { words, pages } = counts;
  new BigUint64Array(words.buffer, words.byteOffset, counts.used).sort();
  let last = -1;
  for (let index = 0; index < counts.used; index++) {
    if (last < 0 || compare(words, last, words, index) !== 0) {
      copy(words, index, words, ++last);
      pages[last] = 0;
    }
    pages[last] = (pages[last] as number) + 1;
  }
  counts.used = last + 1;
}

/** Adds counts to others; both are sorted. False, and nothing done, when there is too little room. */
export function mergeInto(room: Counts, more: Counts): boolean {
  const used = room.used + more.used - commonOf(room, more);
  if (used > room.pages.length) return false;
  if (room.used === 0) {
    room.words.set(more.words.subarray(0, used * 2));
    room.pages.set(more.pages.subarray(0, used));
    room.used = used;
    return true;
  }
  // From the last to the first, so that nothing is overwritten before it has been moved.
  let [from, other] = [room.used - 1, more.used - 1];
  for (let to = used - 1; other >= 0; to--) {
    const order = from < 0 ? -1 : compare(room.words, from, more.words, other);
    const pages = (order >= 0 ? (room.pages[from] as number) : 0) + (order <= 0 ? (more.pages[other] as number) : 0);
    if (order >= 0) copy(room.words, from--, room.words, to);
    else copy(more.words, other, room.words, to);
    if (order <= 0) other--;
    room.pages[to] = pages;
  }
  room.used = used;
  return true;
}

/** Leaves those fingerprints whose lowest `bits` bits are zeros. */
export function keepSample(counts: Counts, bits: number): void {
  if (bits === 0) return;
  const { words, pages } = counts;
  let kept = 0;
  for (let index = 0; index < counts.used; index++) {
    if (((words[index * 2] as number) & ((1 << bits) - 1)) !== 0) continue;
    copy(words, index, words, kept);
    pages[kept++] = pages[index] as number;
  }
  counts.used = kept;
}

function commonOf(room: Counts, more: Counts): number {
  let [index, other, common] = [0, 0, 0];
  while (index < room.used && other < more.used) {
    const order = compare(room.words, index, more.words, other);
    if (order === 0) common++;
    if (order <= 0) index++;
    if (order >= 0) other++;
  }
  return common;
}

function compare(a: Uint32Array, at: number, b: Uint32Array, other: number): number {
  const high = (a[at * 2 + 1] as number) - (b[other * 2 + 1] as number);
  return high !== 0 ? high : (a[at * 2] as number) - (b[other * 2] as number);
}

function copy(from: Uint32Array, at: number, into: Uint32Array, place: number): void {
  into[place * 2] = from[at * 2] as number;
  into[place * 2 + 1] = from[at * 2 + 1] as number;
}
