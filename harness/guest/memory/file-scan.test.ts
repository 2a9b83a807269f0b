import { closeSync, openSync, readdirSync, readlinkSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { dir } from 'tmp-promise';
import { expect, test } from 'vitest';
import { FileScan, type FileWork, fileWork, scannedBytesOf } from './file-scan.ts';

const MiB = 2 ** 20;
const TOKEN = Buffer.from('a token of 32 bytes, not by luck');

/** A file of holes with tokens in it, the first half of which stands at 4 GiB in the guest. */
async function work(bytes: number, tokensAt: readonly number[], token = TOKEN) {
  const { path: folder } = await dir();
  const file = path.join(folder, 'ram');
  writeFileSync(file, '');
  truncateSync(file, bytes);
  const handle = openSync(file, 'r+');
  for (const at of tokensAt) writeSync(handle, token, 0, token.length, at);
  closeSync(handle);
  const extents = [
    { guestAddress: 0, bytes: bytes / 2, fileOffset: bytes / 2 },
    { guestAddress: 2 ** 32, bytes: bytes / 2, fileOffset: 0 },
  ];
  const remove = () => rm(folder, { recursive: true });
  return { work: fileWork(file, extents, { sizeBytes: bytes, token }), file, [Symbol.asyncDispose]: remove };
}

function resultOf(work: FileWork, order: readonly number[]) {
  const scans = [0, 1, 2].map(() => new FileScan(work));
  const progress: number[] = [];
  for (let turn = 0; scans[order[turn % order.length] ?? 0]?.takeNext(); turn++) progress.push(scannedBytesOf(work));
  for (const scan of scans) scan.close();
  const [whole, ...others] = scans.map(({ scanner }) => scanner);
  for (const other of others) whole?.merge(other.pack());
  return { result: whole?.result(), progress };
}

test('whoever takes which piece, every piece is scanned once, and every token is found once', async () => {
  // The first and the third reach across the end of a piece; the fourth stands in the page behind it.
  const tokensAt = [8 * MiB - 1, 20 * MiB + 7, 28 * MiB - 16, 28 * MiB + 100, 32 * MiB - 32];
  for (const order of [[0], [1, 0], [2, 0, 0, 1], [1, 1, 2]]) {
    await using memory = await work(40 * MiB, tokensAt);
    const { result, progress } = resultOf(memory.work, order);
    expect(result).toMatchObject({ bytes: 40 * MiB, pagesOfZeros: 10_240 - 6, token: { hits: 5 } });
    expect(result?.token?.runs.map(({ guestAddress, bytes }) => [guestAddress / 4096, bytes / 4096])).toEqual([
      [0, 1],
      [2047, 2],
      [3071, 1],
      [2 ** 20 + 2047, 1],
    ]);
    expect(progress).toEqual([8, 16, 20, 28, 36, 40].map((scanned) => scanned * MiB));
  }
});

test('a token that ends in another range of the guest is none', async () => {
  await using memory = await work(16 * MiB, [8 * MiB - 16]);
  expect(resultOf(memory.work, [0, 1]).result?.token?.hits).toBe(0);
});

test('a file that is shorter than the memory says where it ends', async () => {
  await using memory = await work(8 * MiB, []);
  truncateSync(memory.file, 6 * MiB);
  expect(() => resultOf(memory.work, [0])).toThrow(`it ends at ${6 * MiB}`);
});

test('a token that repeats itself is found as often by one thread as by several', async () => {
  const token = Buffer.alloc(32, 'a');
  for (const order of [[0], [0, 1]]) {
    // 96 bytes of it, half of them behind the end of a piece.
    await using memory = await work(32 * MiB, [8 * MiB - 48, 8 * MiB - 16, 8 * MiB + 16], token);
    expect(resultOf(memory.work, order).result?.token?.hits).toBe(65);
  }
});

test('a token that is too short leaves no file open', async () => {
  await using memory = await work(8 * MiB, [], Buffer.from('short'));
  expect(() => new FileScan(memory.work)).toThrow('20 bytes or more');
  const open = readdirSync('/proc/self/fd').map((number) => {
    try {
      return readlinkSync(`/proc/self/fd/${number}`);
    } catch {
      return '';
    }
  });
  expect(open).not.toContain(memory.file);
});
