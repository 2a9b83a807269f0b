import { expect, it } from 'vitest';
import { CleanupStack } from '../../../core/cleanup.ts';
import { keepConsole } from './keep.ts';

it('what a guest prints is kept until the end of the scenario, and its console is closed by it', async () => {
  const cleanup = new CleanupStack();
  const kept: { name: string; text: () => string }[] = [];
  const attachAtEnd = (name: string, text: () => string) => kept.push({ name, text });
  let end = () => {};
  const isClosed = new Promise<void>((resolve) => {
    end = resolve;
  });
  const source = {
    async write() {},
    async close() {
      end();
    },
    async *[Symbol.asyncIterator]() {
      yield Buffer.from('UEFI Interactive Shell v2.2\r\n');
      await isClosed;
    },
  };
  const guest = { name: 'sevh-1-plain', domain: { openConsole: async () => source } };
  const console = await keepConsole({ cleanup, evidence: { attach() {}, attachAtEnd } }, guest, 'plain');
  await expect(console.waitFor('ready', { timeoutMs: 20_000 })).rejects.toMatchObject({ code: 'GUEST_BOOT_FAILED' });
  expect(kept.map(({ name, text }) => [name, text()])).toEqual([
    ['console of guest plain.txt', 'UEFI Interactive Shell v2.2\r\n'],
  ]);
  expect(await cleanup.run()).toEqual([]);
  await isClosed;
});
