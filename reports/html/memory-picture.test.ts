import { expect, test } from 'vitest';
import type { MemoryPicture } from '../model/run.ts';
import { parseMemoryPicture, renderMemoryPicture } from './memory-picture.ts';

const flat = Array.from({ length: 256 }, () => 10);
const zeros = flat.map((_, value) => (value === 0 ? 900 : value < 32 ? 4 : 0));
const picture: MemoryPicture = {
  sampledOf: 61,
  guests: [
    {
      name: 'without encryption',
      readBy: '/proc/PID/mem of the QEMU process',
      bytes: 33_554_432,
      pagesOfZeros: 8000,
      histogram: zeros,
      bytesPerTile: 65_536,
      tileBits: Array.from({ length: 512 }, (_, tile) => (tile % 8) / 2),
    },
    {
      name: 'SEV <one>',
      readBy: "QEMU's pmemsave",
      bytes: 33_554_432,
      pagesOfZeros: 4096,
      histogram: flat,
      bytesPerTile: 65_536,
      tileBits: Array.from({ length: 512 }, (_, tile) => (tile < 256 ? 7.9 : 0)),
    },
  ],
};

test('shows both guests with the entropy of what they hold, and the same facts as a table', () => {
  const { markup } = renderMemoryPicture(picture, 'm');
  expect(markup).toContain('SEV &lt;one&gt;: 8.00 bits per byte');
  expect(markup).toContain('<td class="number">8.00</td><td class="number">256 of 256 that hold something</td>');
  expect(markup).toContain('<td class="number">0 of 448 that hold something</td>');
  expect(markup.match(/<g transform=/g)).toHaveLength(2);
});

test.each([
  [0, 'with SEV: nearly all of the map is empty, '],
  [7.99, 'with SEV: nearly all of the map is dark, '],
])('a map that is nearly all %s bits per byte is explained, a mixed one is not', (bits, words) => {
  const [guest] = picture.guests;
  const of = (other: number, others: number) => {
    const tileBits = Array.from({ length: 100 }, (_, tile) => (tile < others ? other : bits));
    return renderMemoryPicture(
      { ...picture, guests: [{ ...guest, name: 'with SEV', tileBits } as typeof guest & {}] },
      'm',
    ).markup;
  };
  expect(of(3, 10)).toContain(`<p>${words}`);
  expect(of(3, 11)).not.toContain('nearly all');
});

test('draws one guest alone at the scale of two', () => {
  const scaleOf = (guests: MemoryPicture['guests']) =>
    /viewBox="0 0 (\d+) /.exec(renderMemoryPicture({ ...picture, guests }, 'm').markup)?.[1];
  expect(scaleOf(picture.guests)).toBe('1000');
  expect(scaleOf(picture.guests.slice(0, 1))).toBe('1000');
});

test('has no script, no style attribute and no reference to anything outside of it', () => {
  const { markup } = renderMemoryPicture(picture, 'm');
  expect(markup).not.toMatch(/<script|style=|href=|url\(|NaN|undefined/);
});

test('draws one bar for each byte value that occurs, the most frequent one as high as the plot', () => {
  const [plain = '', sev = ''] = [
    ...renderMemoryPicture(picture, 'm').markup.matchAll(/<path class="memory" d="([^"]+)"/g),
  ].map(([, path = '']) => path);
  expect(plain.match(/z/g)).toHaveLength(32);
  expect(sev.match(/z/g)).toHaveLength(256);
  expect(plain.startsWith('M0 142v-120h1.75v120z')).toBe(true);
});

test('reads back what a scenario attached, and nothing else', () => {
  expect(parseMemoryPicture(JSON.stringify(picture))).toEqual(picture);
  const [guest] = picture.guests;
  const broken = [
    'no JSON',
    'null',
    '{}',
    { ...picture, sampledOf: '"><script>' },
    { ...picture, guests: [{ ...guest, histogram: flat.slice(1) }] },
    { ...picture, guests: [{ ...guest, tileBits: [9] }] },
    { ...picture, guests: [{ ...guest, tileBits: ['<b>'] }] },
    { ...picture, guests: [{ ...guest, bytes: -1 }] },
    { ...picture, guests: [{ ...guest, tileBits: Array.from({ length: 5000 }, () => 1) }] },
  ];
  for (const text of broken) {
    expect(parseMemoryPicture(typeof text === 'string' ? text : JSON.stringify(text))).toBeUndefined();
  }
});

test('of no guests is drawn as well', () => {
  expect(renderMemoryPicture({ sampledOf: 61, guests: [] }, 'm').markup).not.toMatch(/NaN|Infinity/);
});
