import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { errorText } from '../../../core/errors.ts';
import { guestMemoryError } from './errors.ts';
import { type FileExtent, inPieces, inShares, type MemoryRange, totalBytes } from './extents.ts';
import { MemoryScanner, type PackedScan, type ScanPlan, type ScanResult } from './scanner.ts';
import type { Share, ShareMessage } from './share-worker.ts';

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
  /** Threads for memory that is a file; one for each processor when absent. */
  readonly threads?: number;
}

/** Starting a thread costs what scanning this much does. */
const WORTH_A_THREAD_BYTES = 64 * 1024 * 1024;
const SHARE_ALIGN_BYTES = 1024 * 1024;
/** Node 20 starts no thread from TypeScript: the tests of this room scan in their own thread, and one runs the compiled program. */
const WORKER = import.meta.url.endsWith('.js') ? new URL('./share-worker.js', import.meta.url) : undefined;

/**
 * Looks through the whole memory once: token, equal pages, entropy.
 *
 * Throws `MEMORY_READ_FAILED`, `MEMORY_TOKEN`, what reading throws, or the signal's reason.
 */
export async function scanMemory(memory: ReadableMemory, options: ScanOptions = {}): Promise<ScanResult> {
  const { signal, token } = options;
  signal?.throwIfAborted();
  const ofBytes = totalBytes(memory.ranges);
  const plan = { sizeBytes: ofBytes, ...(token === undefined ? {} : { token }) };
  let scannedBytes = 0;
  const advance = (bytes: number) => {
    scannedBytes += bytes;
    options.onProgress?.({ scannedBytes, ofBytes });
  };
  const threads = Math.min(options.threads ?? availableParallelism(), Math.floor(ofBytes / WORTH_A_THREAD_BYTES));
  if (memory.file !== undefined && WORKER !== undefined && threads > 0)
    return scanInThreads(memory.file, plan, { threads, worker: WORKER, advance, ...(signal && { signal }) });
  return scanHere(memory, plan, { advance, ...(signal && { signal }) });
}

/** Reads a window ahead while it scans the one before. */
async function scanHere(
  memory: ReadableMemory,
  plan: ScanPlan,
  { signal, advance }: { signal?: AbortSignal; advance: (bytes: number) => void },
): Promise<ScanResult> {
  const scanner = new MemoryScanner(plan);
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
    advance(bytes.length);
  }
  return scanner.result();
}

function endedEarly({ guestAddress, bytes }: MemoryRange, got: number) {
  const where = `0x${guestAddress.toString(16)}`;
  return guestMemoryError('MEMORY_READ_FAILED', `reading ${bytes} bytes of guest memory at ${where} gave ${got} bytes`);
}

async function scanInThreads(
  { path, extents }: { readonly path: string; readonly extents: readonly FileExtent[] },
  plan: ScanPlan,
  options: { threads: number; worker: URL; signal?: AbortSignal; advance: (bytes: number) => void },
): Promise<ScanResult> {
  const shares = inShares(extents, options.threads, SHARE_ALIGN_BYTES);
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const running = shares.map((share, index) => {
    const workerData: Share = { path, extents: share, next: shares[index + 1]?.[0], plan };
    return inThread(workerData, { ...options, signal });
  });
  try {
    const scanner = new MemoryScanner(plan);
    for (const packed of await Promise.all(running)) scanner.merge(packed);
    return scanner.result();
  } catch (error) {
    stop.abort();
    await Promise.allSettled(running);
    options.signal?.throwIfAborted();
    throw guestMemoryError('MEMORY_READ_FAILED', `guest memory in ${path} cannot be read: ${errorText(error)}`, {
      cause: error,
    });
  }
}

/** Resolves to what one thread found. The thread has ended when the promise settles. */
async function inThread(
  workerData: Share,
  { worker: url, signal, advance }: { worker: URL; signal: AbortSignal; advance: (bytes: number) => void },
): Promise<PackedScan> {
  const worker = new Worker(url, { workerData });
  const end = () => void worker.terminate();
  signal.addEventListener('abort', end, { once: true });
  let packed: PackedScan | undefined;
  worker.on('message', (message: ShareMessage) => {
    if ('packed' in message) packed = message.packed;
    else advance(message.scannedBytes);
  });
  try {
    await new Promise<void>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('exit', () => resolve());
    });
  } finally {
    signal.removeEventListener('abort', end);
  }
  if (packed === undefined)
    throw new Error(signal.aborted ? 'the scan was given up' : 'a thread ended without a result');
  return packed;
}
