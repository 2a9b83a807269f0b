import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { readEndOfFile, readWholeFile, sha256OfFile } from './files.ts';
import type { FileReading, HostShell } from './shell.ts';

const BIG = new Uint8Array(9 * 1024 * 1024).map((_, at) => at % 251);
const digest = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

/** A host with one file, whose shell gives a piece at a time. */
function shell(file: Uint8Array, sha256sum: FileReading): HostShell {
  const none = async () => ({ outcome: 'absent' }) as const;
  return {
    where: 'none',
    stat: none,
    listFolder: none,
    readFiles: async () => [],
    kill: async () => undefined,
    close: async () => {},
    run: async () => sha256sum,
    readFile: async (path, range) =>
      path === '/file' && range !== undefined
        ? { outcome: 'read', bytes: file.subarray(range.offset, range.offset + range.length) }
        : { outcome: 'absent' },
  };
}

test.each([0, 5, 4 * 1024 * 1024, BIG.length])('a file of %i bytes is read whole', async (length) => {
  const file = BIG.subarray(0, length);
  const reading = await readWholeFile(shell(file, { outcome: 'absent' }), '/file');
  expect(reading.outcome === 'read' && digest(reading.bytes)).toEqual(digest(file));
});

test('a digest is the one that the host computed, else that of what was read', async () => {
  const words = `${'ab'.repeat(32)}  /file\n`;
  const told = await sha256OfFile(shell(BIG, { outcome: 'read', bytes: Buffer.from(words) }), '/file');
  expect(told).toEqual({ outcome: 'read', bytes: new Uint8Array(32).fill(0xab) });
  for (const answer of [
    { outcome: 'absent' },
    { outcome: 'unreadable', because: 'no' },
    { outcome: 'read', bytes: Buffer.from('sha256sum: no') },
  ] satisfies FileReading[]) {
    expect(await sha256OfFile(shell(BIG, answer), '/file')).toEqual({ outcome: 'read', bytes: digest(BIG) });
  }
  expect(await sha256OfFile(shell(BIG, { outcome: 'absent' }), '/other')).toEqual({ outcome: 'absent' });
});

test('the end of a file is cut off on the host, or here where that runs no commands', async () => {
  const cut = Uint8Array.of(7, 8, 9);
  expect(await readEndOfFile(shell(BIG, { outcome: 'read', bytes: cut }), '/file', 3)).toEqual({
    outcome: 'read',
    bytes: cut,
  });
  const reading = await readEndOfFile(shell(BIG, { outcome: 'absent' }), '/file', 1000);
  expect(reading.outcome === 'read' && digest(reading.bytes)).toEqual(digest(BIG.subarray(BIG.length - 1000)));
  expect(await readEndOfFile(shell(BIG, { outcome: 'absent' }), '/other', 3)).toEqual({ outcome: 'absent' });
});
