import { closeSync, openSync, readSync } from 'node:fs';
import { type FileExtent, inPieces, type Positioned } from './extents.ts';
import { MemoryScanner, type ScanPlan } from './scanner.ts';

/** So little that a thread which takes a piece hears soon of what happened in the meantime. */
const PIECE_BYTES = 8 * 1024 * 1024;
const TAKEN_PIECES = 0;
const SCANNED_BYTES = 1;

/** Memory in a file that several threads scan, and how far they are together; it can be sent to a thread. */
export interface FileWork {
  readonly path: string;
  readonly extents: readonly FileExtent[];
  readonly plan: ScanPlan;
  readonly counters: BigInt64Array<SharedArrayBuffer>;
}

export function fileWork(path: string, extents: readonly FileExtent[], plan: ScanPlan): FileWork {
  return {
    path,
    extents,
    plan,
    counters: new BigInt64Array(new SharedArrayBuffer(2 * BigInt64Array.BYTES_PER_ELEMENT)),
  };
}

/** Bytes that all threads have scanned so far. */
export function scannedBytesOf({ counters }: FileWork): number {
  return Number(Atomics.load(counters, SCANNED_BYTES));
}

/** What one thread does of such work: whichever piece comes next, as long as there is one, so that a thread that starts late or is slow does less. */
export class FileScan {
  readonly scanner: MemoryScanner;
  readonly #work: FileWork;
  readonly #pieces: readonly Positioned<FileExtent>[];
  readonly #file: number;

  /** Throws `MEMORY_TOKEN`, or what opening the file throws. */
  constructor(work: FileWork) {
    this.#work = work;
    this.#pieces = [...inPieces(work.extents, PIECE_BYTES)];
    this.scanner = new MemoryScanner(work.plan);
    // Last: nobody closes the file of a scan that was never made.
    this.#file = openSync(work.path, 'r');
  }

  /** Scans the first piece that no thread has taken; false when all are taken. Throws when it cannot be read. */
  takeNext(): boolean {
    const { counters, plan } = this.#work;
    const index = Number(Atomics.add(counters, TAKEN_PIECES, 1n));
    const piece = this.#pieces[index];
    if (piece === undefined) return false;
    this.#scan(piece);
    const next = this.#pieces[index + 1];
    if (next !== undefined) {
      // The next piece is likely another thread's: of it, only a token that begins in ours matters.
      const border = this.#read(next.fileOffset, Math.min(next.bytes, (plan.token?.length ?? 1) - 1));
      this.scanner.pushBorder(border, next.guestAddress);
    }
    Atomics.add(counters, SCANNED_BYTES, BigInt(piece.bytes));
    return true;
  }

  close(): void {
    closeSync(this.#file);
  }

  #scan({ guestAddress, bytes, fileOffset, position }: Positioned<FileExtent>): void {
    const blockBytes = this.scanner.block.length;
    for (let at = 0; at < bytes; at += blockBytes) {
      const block = this.#read(fileOffset + at, Math.min(blockBytes, bytes - at));
      this.scanner.push({ bytes: block, guestAddress: guestAddress + at, position: position + at });
    }
  }

  /** Reads into the scanner's block. */
  #read(offset: number, bytes: number): Uint8Array {
    const { block } = this.scanner;
    for (let done = 0; done < bytes; ) {
      const count = readSync(this.#file, block, done, bytes - done, offset + done);
      if (count === 0) throw new Error(`it ends at ${offset + done}`);
      done += count;
    }
    return block.subarray(0, bytes);
  }
}
