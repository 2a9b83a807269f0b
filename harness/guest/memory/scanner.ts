import { entropyBits } from './histogram.ts';
import { FINDING_BYTES, FINDING_WORDS, PAGE_BYTES, type PageKernel, SUSPECT, startKernel, ZEROS } from './kernel.ts';
import { type EqualPages, type PackedPages, PageTable } from './page-table.ts';
import { TokenSearch } from './token-search.ts';

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
  readonly isCut: boolean;
  readonly tiles: Uint32Array<ArrayBuffer>;
  readonly pages: PackedPages;
}

/** Little enough to be still in the cache when it is looked at, and enough that calls cost little. */
const BLOCK_BYTES = 512 * 1024;
const BLOCK_PAGES = BLOCK_BYTES / PAGE_BYTES;
const TILE_BYTES = 256 * 4;

/** Looks at memory that comes piece by piece, in ascending order, and needs the same room for 256 MiB and for 8 GiB. */
export class MemoryScanner {
  /** Pieces that already stand here, at its start, are looked at without a copy. */
  readonly block: Buffer;
  readonly #lookAt: PageKernel;
  readonly #findings: Int32Array;
  readonly #tiles: Uint32Array;
  readonly #search: TokenSearch | undefined;
  readonly #bytesPerTile: number;
  readonly #pages: PageTable;
  #runs: { guestAddress: number; bytes: number; hits: number }[] = [];
  #isCut = false;
  #hits = 0;
  #bytes = 0;
  #pagesOfZeros = 0;
  #end: number | undefined;

  /** Throws `MEMORY_TOKEN`. */
  constructor(plan: ScanPlan) {
    this.#pages = new PageTable(Math.ceil(plan.sizeBytes / PAGE_BYTES));
    this.#search = plan.token && new TokenSearch(plan.token);
    const even = Math.ceil(plan.sizeBytes / MAX_TILES / PAGE_BYTES) * PAGE_BYTES;
    this.#bytesPerTile = Math.max(MIN_TILE_BYTES, even);
    const tiles = Math.max(1, Math.ceil(plan.sizeBytes / this.#bytesPerTile));
    const { lookAt, memory } = startKernel(BLOCK_BYTES + BLOCK_PAGES * FINDING_BYTES + tiles * TILE_BYTES);
    this.#lookAt = lookAt;
    this.block = Buffer.from(memory, 0, BLOCK_BYTES);
    this.#findings = new Int32Array(memory, BLOCK_BYTES, BLOCK_PAGES * FINDING_WORDS);
    this.#tiles = new Uint32Array(memory, BLOCK_BYTES + this.#findings.byteLength, tiles * 256);
  }

  push({ bytes, guestAddress, position }: MemoryPiece): void {
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES) {
      const part = bytes.subarray(at, at + BLOCK_BYTES);
      if (part.buffer !== this.block.buffer || part.byteOffset !== 0) this.block.set(part);
      this.#pushBlock(this.block.subarray(0, part.length), guestAddress + at, position + at);
    }
  }

  #pushBlock(bytes: Buffer, guestAddress: number, position: number): void {
    const found = (offset: number) => this.#found(guestAddress + offset);
    if (guestAddress !== this.#end) this.#search?.forget();
    this.#end = guestAddress + bytes.length;
    this.#search?.acrossBorder(bytes, found);
    const wholePages = bytes.length - (bytes.length % PAGE_BYTES);
    for (let from = 0; from < wholePages; ) {
      const tile = Math.floor((position + from) / this.#bytesPerTile);
      const pagesLeft = Math.ceil(((tile + 1) * this.#bytesPerTile - position - from) / PAGE_BYTES);
      const to = Math.min(wholePages, from + pagesLeft * PAGE_BYTES);
      this.#lookAtTile(tile, from, to);
      from = to;
    }
    for (let page = 0, word = 0; page < wholePages; page += PAGE_BYTES, word += FINDING_WORDS) {
      const kind = this.#findings[word + 2];
      if (kind === ZEROS) this.#pagesOfZeros++;
      else this.#pages.add(this.#findings[word] as number, this.#findings[word + 1] as number);
      if (kind === SUSPECT || (kind === ZEROS && this.#search?.isInZeros))
        this.#search?.within(bytes, page, page + PAGE_BYTES, found);
    }
    if (wholePages < bytes.length) this.#search?.within(bytes, wholePages, bytes.length, found);
    this.#bytes += bytes.length;
  }

  /** The bytes behind the last piece, which belong to somebody else's share: only tokens that reach into them are looked for. */
  pushBorder(bytes: Uint8Array, guestAddress: number): void {
    if (guestAddress !== this.#end) return;
    this.#search?.acrossBorder(bytes, (offset) => this.#found(guestAddress + offset));
    // Were the share ours after all, its first bytes would come twice, and a token that repeats itself be found in both.
    this.#search?.forget();
  }

  /** Gives away what it has found: nothing can be pushed any more. */
  pack(): PackedScan {
    return {
      bytes: this.#bytes,
      pagesOfZeros: this.#pagesOfZeros,
      hits: this.#hits,
      runs: this.#runs,
      isCut: this.#isCut,
      tiles: this.#tiles.slice(),
      pages: this.#pages.pack(),
    };
  }

  /** Adds what a scanner of the same plan found in other pages. */
  merge(other: PackedScan): void {
    this.#bytes += other.bytes;
    this.#pagesOfZeros += other.pagesOfZeros;
    this.#hits += other.hits;
    const runs = [...this.#runs, ...other.runs].sort((one, next) => one.guestAddress - next.guestAddress);
    this.#runs = [];
    this.#isCut ||= other.isCut;
    for (const run of runs) this.#addRun(run);
    for (let index = 0; index < this.#tiles.length; index++)
      this.#tiles[index] = (this.#tiles[index] as number) + (other.tiles[index] as number);
    this.#pages.merge(other.pages);
  }

  result(): ScanResult {
    const histogram = Array.from({ length: 256 }, () => 0);
    for (let index = 0; index < this.#tiles.length; index++)
      histogram[index & 255] = (histogram[index & 255] as number) + (this.#tiles[index] as number);
    const bits = Array.from({ length: this.#tiles.length / 256 }, (_, tile) => entropyBits(this.#tiles, tile * 256));
    const token = { hits: this.#hits, runs: this.#runs, isCut: this.#isCut };
    return {
      bytes: this.#bytes,
      ...(this.#search === undefined ? {} : { token }),
      pagesOfZeros: this.#pagesOfZeros,
      equalPages: this.#pages.result(),
      histogram,
      entropyMap: { bytesPerTile: this.#bytesPerTile, bits },
    };
  }

  #lookAtTile(tile: number, from: number, to: number): void {
    const findings = this.#findings.byteOffset + (from / PAGE_BYTES) * FINDING_BYTES;
    const histogram = this.#tiles.byteOffset + tile * TILE_BYTES;
    const [one, other] = this.#search?.pairs ?? [0, 0];
    this.#lookAt(from, to, findings, histogram, one, other);
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
    else this.#isCut = true;
  }
}
