import { expect, test } from 'vitest';
import { GuestConsole } from '../console/follow.ts';
import { canaryPlaces } from './survey.ts';

/** What an agent prints: places of each access over several lines, each with several runs of pages. */
const PRINTED = [
  '{"event":"canary-pages","access":"private","runs":["0x1000000+0x8000","0x102200000+0x200000"]}',
  '{"event":"canary-pages","access":"shared","runs":["0x3000+0x1000","0x5000+0x2000"]}',
  '{"event":"canary-pages","access":"private","runs":["0x2000000+0x1000"]}',
  '{"event":"canary-pages","access":"shared","runs":[]}',
  '{"event":"canary-pages","access":"shared","runs":["0x9000+0x1000"]}',
  '{"event":"canary","privateBytes":2134016,"sharedBytes":16384,"because":null}',
];

test('the places of a canary are all runs of all lines, private and shared apart', async () => {
  const bytes = new TextEncoder().encode(PRINTED.map((line) => `SEVH ${line}\r\n`).join(''));
  const source = {
    write: async () => {},
    close: async () => {},
    async *[Symbol.asyncIterator]() {
      yield bytes;
    },
  };
  await using console = await GuestConsole.follow({ name: 'g', domain: { openConsole: async () => source } });
  const options = { timeoutMs: 20_000, signal: new AbortController().signal };
  expect(await canaryPlaces(console, options)).toEqual({
    private: [
      { guestAddress: 0x1000000, bytes: 0x8000 },
      { guestAddress: 0x102200000, bytes: 0x200000 },
      { guestAddress: 0x2000000, bytes: 0x1000 },
    ],
    shared: [
      { guestAddress: 0x3000, bytes: 0x1000 },
      { guestAddress: 0x5000, bytes: 0x2000 },
      { guestAddress: 0x9000, bytes: 0x1000 },
    ],
    because: null,
  });
});
