import { availableParallelism } from 'node:os';
import { setImmediate as othersTurn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { errorText, isSevHarnessError } from '../../../core/errors.ts';
import { guestMemoryError } from './errors.ts';
import { type FileExtent, inPieces, type MemoryRange, totalBytes } from './extents.ts';
import { FileScan, type FileWork, fileWork, scannedBytesOf } from './file-scan.ts';
import { MemoryScanner, type PackedScan, type ScanPlan, type ScanResult } from './scanner.ts';

/** Memory that can be read from outside, by one way of reading. */
export interface ReadableMemory {
  readonly ranges: readonly MemoryRange[];
  /** What one call reads at most. */
  readonly windowBytes: number;
  /** Reads within one of the ranges. */
  read(guestAddress: number, bytes: number): Promise<Uint8Array>;
  /** The same memory as parts of a file of this machine, which threads can read by themselves. */
  readonly file?: { readonly path: string; readonly extents: readonly FileExtent[] };
}

/** Some of the memory, by the same way of reading. */
export function partOf(memory: ReadableMemory, ranges: readonly MemoryRange[]): ReadableMemory {
  return { ranges, windowBytes: memory.windowBytes, read: (guestAddress, bytes) => memory.read(guestAddress, bytes) };
}

export interface ScanOptions {
  readonly token?: Uint8Array;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly scannedBytes: number; readonly ofBytes: number }) => void;
  /** Threads for memory that is a file, this one included; one for each processor, up to 8, when absent. */
  readonly threads?: number;
}

/** Starting a thread takes as long as scanning this much. */
const WORTH_A_THREAD_BYTES = 128 * 1024 * 1024;
/** More would wait for the same memory, each with 15 MiB of its own. */
const MAX_THREADS = 8;
/** A thread that never waits would collect 16 MiB of garbage before it clears up. */
const RESOURCES = { maxYoungGenerationSizeMb: 4 };
/** Node 20 starts no thread from TypeScript: the program as it stands in its source has one. */
const WORKER = import.meta.url.endsWith('.js') ? new URL('./file-worker.js', import.meta.url) : undefined;

/**
 * Looks through the whole memory once: token, equal pages, entropy.
 *
 * Throws `MEMORY_READ_FAILED`, `MEMORY_TOKEN`, what reading throws, or the signal's reason.
 */
export async function scanMemory(memory: ReadableMemory, options: ScanOptions = {}): Promise<ScanResult> {
  const { signal, token, threads = Math.min(availableParallelism(), MAX_THREADS) } = options;
  signal?.throwIfAborted();
  const ofBytes = totalBytes(memory.ranges);
  const plan = { sizeBytes: ofBytes, ...(token === undefined ? {} : { token }) };
  const progress = (scannedBytes: number) => options.onProgress?.({ scannedBytes, ofBytes });
  const wanted = { threads, progress, ...(signal && { signal }) };
  if (memory.file === undefined) return scanWindows(memory, plan, wanted);
  return scanFile(fileWork(memory.file.path, memory.file.extents, plan), wanted);
}

interface Wanted {
  readonly threads: number;
  readonly signal?: AbortSignal;
  readonly progress: (scannedBytes: number) => void;
}

/** Reads a window ahead while it scans the one before. */
async function scanWindows(memory: ReadableMemory, plan: ScanPlan, { signal, progress }: Wanted): Promise<ScanResult> {
  const scanner = new MemoryScanner(plan);
  let scannedBytes = 0;
  const windows = inPieces(memory.ranges, memory.windowBytes);
  const readNext = () => {
    const { value: window } = windows.next();
    if (window === undefined) return undefined;
    const reading = memory.read(window.guestAddress, window.bytes);
    // Whoever awaits it hears of a failure; until then it is not unhandled.
    reading.catch(() => {});
    return { window, reading };
  };
  for (let next = readNext(); next !== undefined; ) {
    signal?.throwIfAborted();
    const { window, reading } = next;
    const bytes = await reading;
    if (bytes.length < window.bytes) throw endedEarly(window, bytes.length);
    next = readNext();
    scanner.push({ ...window, bytes });
    scannedBytes += bytes.length;
    progress(scannedBytes);
  }
  return scanner.result();
}

function endedEarly({ guestAddress, bytes }: MemoryRange, got: number) {
  const where = `0x${guestAddress.toString(16)}`;
  return guestMemoryError('MEMORY_READ_FAILED', `reading ${bytes} bytes of guest memory at ${where} gave ${got} bytes`);
}

/** Scans in this thread and in others that start meanwhile. */
async function scanFile(work: FileWork, { threads, signal, progress }: Wanted): Promise<ScanResult> {
  const stop = new AbortController();
  const running = otherThreads(work, threads).map((worker) => resultOf(worker, stop.signal));
  // They are awaited at the end; until then a failure is not unhandled.
  for (const one of running) one.catch(() => {});
  try {
    const scan = new FileScan(work);
    try {
      while (scan.takeNext()) {
        progress(scannedBytesOf(work));
        await othersTurn();
        signal?.throwIfAborted();
      }
    } finally {
      scan.close();
    }
    for (const packed of await Promise.all(running)) scan.scanner.merge(packed);
    progress(scannedBytesOf(work));
    return scan.scanner.result();
  } catch (error) {
    stop.abort();
    await Promise.allSettled(running);
    signal?.throwIfAborted();
    if (isSevHarnessError(error)) throw error;
    throw guestMemoryError('MEMORY_READ_FAILED', `guest memory in ${work.path} cannot be read: ${errorText(error)}`, {
      cause: error,
    });
  }
}

function otherThreads(work: FileWork, threads: number): Worker[] {
  if (WORKER === undefined) return [];
  const others = Math.min(threads, Math.floor(work.plan.sizeBytes / WORTH_A_THREAD_BYTES)) - 1;
  return Array.from(
    { length: Math.max(0, others) },
    () => new Worker(WORKER, { workerData: work, resourceLimits: RESOURCES }),
  );
}

/** What one thread found. It has ended when the promise settles. */
async function resultOf(worker: Worker, signal: AbortSignal): Promise<PackedScan> {
  const end = () => void worker.terminate();
  signal.addEventListener('abort', end, { once: true });
  let packed: PackedScan | undefined;
  worker.once('message', (message: PackedScan) => {
    packed = message;
  });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', () => resolve());
    });
  } finally {
    signal.removeEventListener('abort', end);
  }
  if (packed === undefined) throw new Error('a thread ended without a result');
  return packed;
}
