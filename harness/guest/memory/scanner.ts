import { fingerprint, PAGE_BYTES, PAGE_WORDS } from './fingerprint.ts';
import { entropyBits } from './histogram.ts';
import { type EqualPages, type PackedPages, PageTable } from './page-table.ts';
import { TokenSearch } from './token-search.ts';

/** Of every so many bytes one enters the histograms: a prime, so that no field of a structure is met in every copy of it. */
export const SAMPLED_OF = 61;
/** Parts of a memory for which the entropy is told, at most; each has 16 pages or more, enough for 1,000 sampled bytes. */
const MAX_TILES = 2048;
const MIN_TILE_BYTES = 16 * PAGE_BYTES;
/** Runs of pages with hits that are kept; the number of hits is exact in any case. */
const MAX_RUNS = 4096;

/** Neighbouring pages in which the token begins. */
export interface HitRun {
  readonly guestAddress: number;
  readonly bytes: number;
  readonly hits: number;
}

export interface ScanResult {
  readonly bytes: number;
  /** Where the token was found, ascending; absent where none was searched for. */
  readonly token?: { readonly hits: number; readonly runs: readonly HitRun[]; readonly isCut: boolean };
  readonly pagesOfZeros: number;
  /** Of the pages that are not all zeros. */
  readonly equalPages: EqualPages;
  /** How often each byte value occurs among the sampled bytes of pages that are not all zeros. */
  readonly histogram: readonly number[];
  /** Bits per byte of such pages in each part of the memory, in the order of its addresses; 0 where there are none. */
  readonly entropyMap: { readonly bytesPerTile: number; readonly bits: readonly number[] };
}

/** What is looked for, and how much there is to look at. */
export interface ScanPlan {
  readonly sizeBytes: number;
  /** 20 bytes or more. */
  readonly token?: Uint8Array;
}

/** A piece of memory: whole pages, except the last piece of all. */
export interface MemoryPiece {
  readonly bytes: Uint8Array;
  readonly guestAddress: number;
  /** How much memory stands before it, gaps not counted. */
  readonly position: number;
}

/** What a scanner has found so far, as it can be sent to another thread. */
export interface PackedScan {
  readonly bytes: number;
  readonly pagesOfZeros: number;
  readonly hits: number;
  readonly runs: readonly HitRun[];
  readonly tiles: Uint32Array<ArrayBuffer>;
  readonly pages: PackedPages;
}

const ZEROS = fingerprint(new Int32Array(PAGE_WORDS), 0);

/** Looks at memory that comes piece by piece, in ascending order, and needs the same room for 256 MiB and for 8 GiB. */
export class MemoryScanner {
  readonly #search: TokenSearch | undefined;
  readonly #bytesPerTile: number;
  readonly #tiles: Uint32Array<ArrayBuffer>;
  readonly #pages: PageTable;
  readonly #runs: { guestAddress: number; bytes: number; hits: number }[] = [];
  #hits = 0;
  #bytes = 0;
  #pagesOfZeros = 0;
  #end: number | undefined;

  /** Throws `MEMORY_TOKEN`. */
  constructor(plan: ScanPlan) {
    this.#pages = new PageTable(plan.sizeBytes / PAGE_BYTES);
    this.#search = plan.token && new TokenSearch(plan.token);
    const even = Math.ceil(plan.sizeBytes / MAX_TILES / PAGE_BYTES) * PAGE_BYTES;
    this.#bytesPerTile = Math.max(MIN_TILE_BYTES, even);
    this.#tiles = new Uint32Array(Math.max(1, Math.ceil(plan.sizeBytes / this.#bytesPerTile)) * 256);
  }

  push(piece: MemoryPiece): void {
    const { guestAddress, position } = piece;
    const bytes = aligned(piece.bytes);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4));
    if (guestAddress !== this.#end) this.#search?.forget();
    this.#end = guestAddress + bytes.length;
    const found = (offset: number) => this.#found(guestAddress + offset);
    this.#search?.acrossBorder(bytes, found);
    for (let from = 0; from + PAGE_WORDS <= words.length; from += PAGE_WORDS) {
      this.#search?.within(bytes, words, from, from + PAGE_WORDS, found);
      const { low, high } = fingerprint(words, from);
      if (low === ZEROS.low && high === ZEROS.high) {
        this.#pagesOfZeros++;
        continue;
      }
      this.#pages.add(low, high);
      this.#sample(bytes, from * 4, position);
    }
    this.#bytes += bytes.length;
  }

  /** The bytes behind the last piece, which belong to somebody else's share: only tokens that reach into them are looked for. */
  pushBorder(bytes: Uint8Array, guestAddress: number): void {
    if (guestAddress === this.#end) this.#search?.acrossBorder(bytes, (offset) => this.#found(guestAddress + offset));
  }

  pack(): PackedScan {
    return {
      bytes: this.#bytes,
      pagesOfZeros: this.#pagesOfZeros,
      hits: this.#hits,
      runs: this.#runs,
      tiles: this.#tiles,
      pages: this.#pages.pack(),
    };
  }

  /** Adds what a scanner of the same plan found in the addresses that follow. */
  merge(other: PackedScan): void {
    this.#bytes += other.bytes;
    this.#pagesOfZeros += other.pagesOfZeros;
    this.#hits += other.hits;
    for (const run of other.runs) this.#addRun(run);
    for (const [index, count] of other.tiles.entries()) this.#tiles[index] = (this.#tiles[index] as number) + count;
    this.#pages.merge(other.pages);
  }

  result(): ScanResult {
    const histogram = Array.from({ length: 256 }, () => 0);
    for (const [index, count] of this.#tiles.entries())
      histogram[index & 255] = (histogram[index & 255] as number) + count;
    const bits = Array.from({ length: this.#tiles.length / 256 }, (_, tile) => entropyBits(this.#tiles, tile * 256));
    const token = { hits: this.#hits, runs: this.#runs, isCut: this.#runs.length >= MAX_RUNS };
    return {
      bytes: this.#bytes,
      ...(this.#search === undefined ? {} : { token }),
      pagesOfZeros: this.#pagesOfZeros,
      equalPages: this.#pages.result(),
      histogram,
      entropyMap: { bytesPerTile: this.#bytesPerTile, bits },
    };
  }

  #sample(bytes: Uint8Array, from: number, position: number): void {
    const tiles = this.#tiles;
    const tile = Math.min(Math.floor((position + from) / this.#bytesPerTile) * 256, tiles.length - 256);
    for (let at = from; at < from + PAGE_BYTES; at += SAMPLED_OF) {
      const index = tile + (bytes[at] as number);
      tiles[index] = (tiles[index] as number) + 1;
    }
  }

  #found(guestAddress: number): void {
    this.#hits++;
    this.#addRun({ guestAddress: guestAddress - (guestAddress % PAGE_BYTES), bytes: PAGE_BYTES, hits: 1 });
  }

  #addRun(run: HitRun): void {
    const last = this.#runs.at(-1);
    const end = last === undefined ? -1 : last.guestAddress + last.bytes;
    if (last !== undefined && last.guestAddress <= run.guestAddress && run.guestAddress <= end) {
      last.bytes = Math.max(end, run.guestAddress + run.bytes) - last.guestAddress;
      last.hits += run.hits;
    } else if (this.#runs.length < MAX_RUNS) this.#runs.push({ ...run });
  }
}

/** The same bytes where words of 32 bits can be read from them. */
function aligned(bytes: Uint8Array): Buffer {
  if (bytes.byteOffset % 4 === 0) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const copy = Buffer.alloc(bytes.length);
  copy.set(bytes);
  return copy;
}
