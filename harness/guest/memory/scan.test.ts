import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { withDir } from 'tmp-promise';
import { expect, test } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { partOf, type ReadableMemory, scanMemory } from './scan.ts';

const PAGE_BYTES = 4096;
const MiB = 2 ** 20;
const TOKEN = Buffer.from('a token of 32 bytes, not by luck');

/** Memory in two ranges with a gap, and what was asked of it. */
function memory(bytes: Buffer, windowBytes = 2 * PAGE_BYTES) {
  const asked: string[] = [];
  const half = bytes.length / 2;
  const ranges = [
    { guestAddress: 0, bytes: half },
    { guestAddress: 2 ** 32, bytes: half },
  ];
  const readable: ReadableMemory = {
    ranges,
    windowBytes,
    read: async (guestAddress, length) => {
      asked.push(`${guestAddress.toString(16)}+${length / PAGE_BYTES}`);
      const at = guestAddress < 2 ** 32 ? guestAddress : half + guestAddress - 2 ** 32;
      return bytes.subarray(at, at + length);
    },
  };
  return { readable, asked };
}

test('asks for every window once, in order, and tells how far it is', async () => {
  const { readable, asked } = memory(Buffer.alloc(10 * PAGE_BYTES));
  const progress: number[] = [];
  const { bytes, pagesOfZeros } = await scanMemory(readable, {
    onProgress: ({ scannedBytes, ofBytes }) => progress.push(scannedBytes / ofBytes),
  });
  expect({ bytes, pagesOfZeros }).toEqual({ bytes: 10 * PAGE_BYTES, pagesOfZeros: 10 });
  expect(asked).toEqual(['0+2', '2000+2', '4000+1', '100000000+2', '100002000+2', '100004000+1']);
  expect(progress).toEqual([0.2, 0.4, 0.5, 0.7, 0.9, 1]);
});

test('of memory that is a file tells after each piece how far it is, and ends there when its signal says so', async () => {
  await withDir(
    async ({ path: folder }) => {
      const file = path.join(folder, 'ram');
      await writeFile(file, randomBytes(20 * MiB));
      const extents = [{ guestAddress: 0, bytes: 20 * MiB, fileOffset: 0 }];
      const read = () => Promise.reject(new Error('a file is read by threads'));
      const ram = { ranges: extents, windowBytes: 4 * MiB, read, file: { path: file, extents } };
      const progress: number[][] = [];
      const stop = new AbortController();
      const onProgress = ({ scannedBytes, ofBytes }: { scannedBytes: number; ofBytes: number }) => {
        progress.push([scannedBytes / MiB, ofBytes / MiB]);
        if (progress.length === 6) stop.abort(new Error('enough'));
      };
      await scanMemory(ram, { onProgress });
      expect(progress).toEqual([8, 16, 20, 20].map((scanned) => [scanned, 20]));
      await expect(scanMemory(ram, { onProgress, signal: stop.signal })).rejects.toThrow('enough');
      expect(progress.slice(4)).toEqual([8, 16].map((scanned) => [scanned, 20]));
    },
    { unsafeCleanup: true },
  );
});

test('finds a token across windows and not across the gap', async () => {
  const bytes = Buffer.alloc(8 * PAGE_BYTES);
  TOKEN.copy(bytes, 2 * PAGE_BYTES - 7);
  TOKEN.copy(bytes, 4 * PAGE_BYTES - 7);
  TOKEN.copy(bytes, 6 * PAGE_BYTES + 1);
  const { token } = await scanMemory(memory(bytes).readable, { token: TOKEN });
  expect(token?.runs.map(({ guestAddress }) => guestAddress)).toEqual([PAGE_BYTES, 2 ** 32 + 2 * PAGE_BYTES]);
});

test('of a part looks at nothing else', async () => {
  const { readable, asked } = memory(Buffer.alloc(8 * PAGE_BYTES, TOKEN));
  const { token } = await scanMemory(partOf(readable, [{ guestAddress: PAGE_BYTES, bytes: PAGE_BYTES }]), {
    token: TOKEN,
  });
  expect(token?.hits).toBe(PAGE_BYTES / TOKEN.length);
  expect(asked).toEqual(['1000+1']);
});

test('ends with the reason of its signal, and asks for no more', async () => {
  const { readable, asked } = memory(Buffer.alloc(40 * PAGE_BYTES));
  const stop = new AbortController();
  const scanning = scanMemory(readable, {
    signal: stop.signal,
    onProgress: () => stop.abort(new Error('enough')),
  });
  await expect(scanning).rejects.toThrow('enough');
  expect(asked.length).toBeLessThan(4);
  await expect(scanMemory(readable, { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
});

test('ends with an error when reading gives less than was asked for, or fails', async () => {
  const { readable } = memory(Buffer.alloc(8 * PAGE_BYTES));
  const short = { ...readable, read: async () => new Uint8Array(PAGE_BYTES) };
  await expect(scanMemory(short)).rejects.toSatisfy((error) => isSevHarnessError(error, 'MEMORY_READ_FAILED'));
  const failing = { ...readable, read: () => Promise.reject(new Error('the guest is gone')) };
  await expect(scanMemory(failing)).rejects.toThrow('the guest is gone');
});
