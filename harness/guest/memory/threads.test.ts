import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { fileWork, scannedBytesOf } from './file-scan.ts';
import { type ReadableMemory, type ScanOptions, scanMemory } from './scan.ts';
import { MemoryScanner, type PackedScan, type ScanResult } from './scanner.ts';

const MiB = 2 ** 20;
const SIZE = 384 * MiB;
const TOKEN = Buffer.from('a token of 32 bytes, not by luck');
/** A thread is done with a piece at every multiple of 8 MiB of a range. */
const TOKENS_AT = [5, 64 * MiB - 31, 64 * MiB + 100, 128 * MiB - 1, 128 * MiB + 8192, 304 * MiB - 16, SIZE - 32];
let folder: string;
let file: string;
/** As a user has it: threads start from the compiled program only. */
let compiled: typeof scanMemory;

beforeAll(async () => {
  const module: string = new URL('../../../dist/harness/guest/memory/scan.js', import.meta.url).href;
  compiled = (await import(module)).scanMemory;
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-threads-'));
  file = path.join(folder, 'ram');
  const handle = openSync(file, 'w');
  ftruncateSync(handle, SIZE);
  for (const at of TOKENS_AT) writeSync(handle, TOKEN, 0, TOKEN.length, at);
  for (let page = 0; page < 900; page++)
    writeSync(handle, Buffer.alloc(4096, 1 + (page % 200)), 0, 4096, page * 400 * 1024 + 65_536);
  closeSync(handle);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function ram(bytes = SIZE): ReadableMemory {
  // Two ranges, as of a guest whose RAM is split; in the file the second stands first.
  const extents = [
    { guestAddress: 0, bytes: 72 * MiB, fileOffset: bytes - 72 * MiB },
    { guestAddress: 2 ** 32, bytes: bytes - 72 * MiB, fileOffset: 0 },
  ];
  const read = async (guestAddress: number, length: number) => {
    await using handle = await open(file, 'r');
    const offset = guestAddress < 2 ** 32 ? guestAddress + bytes - 72 * MiB : guestAddress - 2 ** 32;
    const { buffer } = await handle.read(Buffer.alloc(length), 0, length, offset);
    return buffer;
  };
  return { ranges: extents, windowBytes: 4 * MiB, read, file: { path: file, extents } };
}

describe('threads of the compiled program', () => {
  test('find what one scan finds, also tokens across the borders of their pieces', async () => {
    const { file: _none, ...streamed } = ram();
    const expected = await scanMemory(streamed, { token: TOKEN });
    expect(expected.token?.hits).toBe(TOKENS_AT.length);
    expect(expected.equalPages).toMatchObject({ repeated: 200, most: 5 });
    for (const threads of [1, 2, 3]) {
      const seen: number[] = [];
      const options: ScanOptions = { token: TOKEN, threads, onProgress: ({ scannedBytes }) => seen.push(scannedBytes) };
      expect(await compiled(ram(), options)).toEqual(expected satisfies ScanResult);
      expect(seen.at(-1)).toBe(SIZE);
    }
  });

  test.each<[string, number, ScanOptions, number]>([
    ['as many as were asked for', SIZE, { threads: 2 }, 1],
    ['no more than there is work for', SIZE, { threads: 8 }, 2],
    ['none for what one scans as fast', 255 * MiB, { threads: 8 }, 0],
    ['one for each processor when nobody says', SIZE, {}, Math.min(availableParallelism(), 3) - 1],
  ])('start beside the first, which is one of them: %s', async (_, bytes, options, others) => {
    const started: Worker[] = [];
    const hear = (worker: Worker) => started.push(worker);
    process.on('worker', hear);
    try {
      expect((await compiled(ram(bytes), options)).bytes).toBe(bytes);
    } finally {
      process.off('worker', hear);
    }
    expect(started).toHaveLength(others);
    // A thread that has ended has no id any more.
    expect(started.filter(({ threadId }) => threadId !== -1)).toEqual([]);
  });

  test('scan by themselves: one that is alone takes every piece', async () => {
    const work = fileWork(file, ram().file?.extents ?? [], { sizeBytes: SIZE, token: TOKEN });
    const module = new URL('../../../dist/harness/guest/memory/file-worker.js', import.meta.url);
    const packed = await new Promise<PackedScan>((resolve, reject) => {
      new Worker(module, { workerData: work }).once('message', resolve).once('error', reject);
    });
    expect(scannedBytesOf(work)).toBe(SIZE);
    const whole = new MemoryScanner(work.plan);
    whole.merge(packed);
    expect(whole.result()).toMatchObject({ bytes: SIZE, token: { hits: TOKENS_AT.length } });
  });

  test('end when the signal says so', async () => {
    const stop = new AbortController();
    const scanning = compiled(ram(), { token: TOKEN, threads: 2, signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(scanning).rejects.toThrow('enough');
  });

  test('say what cannot be read: a file that ends too early, and none at all', async () => {
    await expect(compiled(ram(SIZE + 8 * MiB), { threads: 2 })).rejects.toMatchObject({ code: 'MEMORY_READ_FAILED' });
    const gone = {
      ...ram(),
      file: { path: `${file}.gone`, extents: [{ guestAddress: 0, bytes: SIZE, fileOffset: 0 }] },
    };
    await expect(compiled(gone, { threads: 2 })).rejects.toThrow(/ram\.gone cannot be read: ENOENT/);
  });
});
