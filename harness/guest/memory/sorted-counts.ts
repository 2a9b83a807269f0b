/** Fingerprints of 64 bits in ascending order, each once, with a number of pages; two words each, the low one first. */
export interface SortedCounts {
  readonly words: Uint32Array<ArrayBuffer>;
  readonly pages: Uint32Array<ArrayBuffer>;
}

/** Room for such counts, of which the first `used` are taken. */
export interface CountsRoom extends SortedCounts {
  used: number;
}

export function roomFor(contents: number): CountsRoom {
  return { words: new Uint32Array(contents * 2), pages: new Uint32Array(contents), used: 0 };
}

/** Puts those counts of `room` that are taken into a copy of their own. */
export function copyOf({ words, pages, used }: CountsRoom): SortedCounts {
  return { words: words.slice(0, used * 2), pages: pages.slice(0, used) };
}

/** Sorts fingerprints where they stand, and counts how often each is there. The result stands in the same words. */
export function countsOf(words: Uint32Array<ArrayBuffer>): SortedCounts {
  new BigUint64Array(words.buffer, words.byteOffset, words.length / 2).sort();
  const pages = new Uint32Array(words.length / 2);
  let last = -1;
  for (let index = 0; index < pages.length; index++) {
    if (last < 0 || compare(words, last, words, index) !== 0) copy(words, index, words, ++last);
    pages[last] = (pages[last] as number) + 1;
  }
  return { words: words.subarray(0, (last + 1) * 2), pages: pages.subarray(0, last + 1) };
}

/** Adds counts to those that stand in a room; false, and nothing done, when it is too small. */
export function mergeInto(room: CountsRoom, more: SortedCounts): boolean {
  const used = room.used + more.pages.length - commonOf(room, more);
  if (used > room.pages.length) return false;
  if (room.used === 0) {
    room.words.set(more.words);
    room.pages.set(more.pages);
    room.used = used;
    return true;
  }
  // From the last to the first, so that nothing is overwritten before it has been moved.
  let [from, other] = [room.used - 1, more.pages.length - 1];
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

/** The counts of those fingerprints whose lowest `bits` bits are zeros. */
export function sampleOf(counts: SortedCounts, bits: number): SortedCounts {
  if (bits === 0) return counts;
  const { words, pages } = counts;
  const room = roomFor(pages.length);
  for (let index = 0; index < pages.length; index++) {
    if (((words[index * 2] as number) & ((1 << bits) - 1)) !== 0) continue;
    copy(words, index, room.words, room.used);
    room.pages[room.used++] = pages[index] as number;
  }
  return { words: room.words.subarray(0, room.used * 2), pages: room.pages.subarray(0, room.used) };
}

function commonOf(room: CountsRoom, more: SortedCounts): number {
  let [index, other, common] = [0, 0, 0];
  while (index < room.used && other < more.pages.length) {
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
