import { expect, test } from 'vitest';
import { PageTable } from './page-table.ts';

/** A fingerprint for each number, in no order. */
function fingerprintOf(content: number): [number, number] {
  const low = Math.imul(content ^ 0x5bd1e995, 0x9e3779b1);
  return [low ^ (low >>> 15), Math.imul(low ^ (content << 7), 0x85ebca6b) ^ content];
}

function filled(contents: number, pagesOf: (content: number) => number): PageTable {
  const table = new PageTable();
  for (let content = 0; content < contents; content++) {
    for (let page = pagesOf(content); page > 0; page--) table.add(...fingerprintOf(content));
  }
  return table;
}

test('counts exactly while it has room', () => {
  const table = filled(260_000, (content) => (content % 10 === 0 ? 3 : 1));
  expect(table.result()).toEqual({
    contents: 260_000,
    repeated: 26_000,
    pagesOfRepeated: 78_000,
    most: 3,
    standardError: 0,
  });
});

test('estimates beyond that, with the error that it tells: four times as many contents as it has room for', () => {
  const table = filled(1_000_000, (content) => (content % 4 === 0 ? 2 : 1));
  const { contents, repeated, pagesOfRepeated, most, standardError } = table.result();
  expect(standardError).toBeGreaterThan(0);
  expect(standardError).toBeLessThan(0.002);
  expect(Math.abs(contents / 1_000_000 - 1)).toBeLessThan(5 * standardError);
  expect(Math.abs(repeated / 250_000 - 1)).toBeLessThan(10 * standardError);
  expect(pagesOfRepeated).toBe(repeated * 2);
  expect(most).toBe(2);
});

test('two tables put together count what one counts', () => {
  const [one, two] = [filled(250_000, () => 1), filled(200_000, () => 2)];
  one.merge(structuredClone(two.pack()));
  expect(one.result()).toEqual(filled(250_000, (content) => (content < 200_000 ? 3 : 1)).result());
  const large = filled(400_000, () => 1);
  const small = filled(1000, () => 1);
  small.merge(large.pack());
  large.merge(filled(1000, () => 1).pack());
  expect(small.result()).toEqual(large.result());
});

test('what waits in many tables is counted, however much it is together', () => {
  const whole = new PageTable();
  for (let part = 0; part < 5; part++) whole.merge(filled(200_000, () => 1).pack());
  expect(whole.result()).toMatchObject({ contents: 200_000, pagesOfRepeated: 1_000_000, most: 5, standardError: 0 });
});
