import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { FileExtent, Positioned } from './extents.ts';
import { MemoryScanner, type PackedScan, type ScanPlan } from './scanner.ts';

/** A part of a file for one thread. */
export interface Share {
  readonly path: string;
  readonly extents: readonly Positioned<FileExtent>[];
  /** What follows and is another thread's: a token may reach into it. */
  readonly next: FileExtent | undefined;
  readonly plan: ScanPlan;
}

export type ShareMessage = { readonly scannedBytes: number } | { readonly packed: PackedScan };

const TELL_EVERY_BYTES = 64 * 1024 * 1024;

/** Reads into `buffer` what the file has there, as much as fits. */
function readAt(file: number, buffer: Uint8Array, offset: number): Uint8Array {
  let done = 0;
  while (done < buffer.length) {
    const count = readSync(file, buffer, done, buffer.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return buffer.subarray(0, done);
}

function scanShare({ path, extents, next, plan }: Share, tell: (message: ShareMessage) => void): PackedScan {
  const scanner = new MemoryScanner(plan);
  const { block } = scanner;
  const file = openSync(path, 'r');
  let untold = 0;
  try {
    for (const { guestAddress, bytes, fileOffset, position } of extents) {
      for (let at = 0; at < bytes; at += block.length) {
        const wanted = Math.min(block.length, bytes - at);
        const read = readAt(file, block.subarray(0, wanted), fileOffset + at);
        if (read.length < wanted) throw new Error(`${path} ends at ${fileOffset + at + read.length}`);
        scanner.push({ bytes: read, guestAddress: guestAddress + at, position: position + at });
        untold += wanted;
        if (untold < TELL_EVERY_BYTES) continue;
        tell({ scannedBytes: untold });
        untold = 0;
      }
    }
    if (next !== undefined) {
      const border = block.subarray(0, Math.min(next.bytes, (plan.token?.length ?? 1) - 1));
      scanner.pushBorder(readAt(file, border, next.fileOffset), next.guestAddress);
    }
  } finally {
    closeSync(file);
  }
  tell({ scannedBytes: untold });
  return scanner.pack();
}

const tell = (message: ShareMessage) => parentPort?.postMessage(message);
const packed = scanShare(workerData, tell);
const { tiles, pages } = packed;
parentPort?.postMessage({ packed } satisfies ShareMessage, [tiles.buffer, pages.words.buffer, pages.pages.buffer]);
