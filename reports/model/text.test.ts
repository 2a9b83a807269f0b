import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  count,
  countMade,
  formatBytes,
  formatCommand,
  formatDuration,
  formatValue,
  list,
  mapStrings,
  showable,
  showableLine,
} from './text.ts';

describe('showable', () => {
  test('spells out what steers a terminal or hides text, and leaves the rest', () => {
    expect(showable('a\u001b[31mb\u0000\u202ec\ud800 ü 🔒\tx\ny\r\nz\r')).toBe(
      'a\\u{1b}[31mb\\u{0}\\u{202e}c\\u{d800} ü 🔒\tx\ny\nz\\u{d}',
    );
  });

  test('leaves no control character but tab and newline in any text, and none at all on a line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(showable(text)).not.toMatch(/(?![\t\n])\p{Cc}|\p{Surrogate}/u);
        expect(showableLine(text)).not.toMatch(/\p{Cc}|\p{Surrogate}/u);
      }),
    );
  });
});

test('mapStrings reaches keys and nested values and nothing else', () => {
  expect(mapStrings({ a: ['b', 1, null, { c: 'd' }], e: true }, (text) => text.toUpperCase())).toEqual({
    A: ['B', 1, null, { C: 'D' }],
    E: true,
  });
});

describe('formatValue', () => {
  test.each([
    ['refused', 'refused'],
    ['15', '"15"'],
    [15, '15'],
    ['', '""'],
    [' x', '" x"'],
    ['null', '"null"'],
    [null, 'null'],
    [[], '[]'],
    [{}, '{}'],
    [{ started: 15, 'on host': ['a'] }, '{ started: 15, "on host": ["a"] }'],
  ])('%j is %s', (value, text) => {
    expect(formatValue(value)).toBe(text);
  });

  test('no two different values look the same', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
        const [x, y] = [JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b))];
        fc.pre(JSON.stringify(x) !== JSON.stringify(y));
        expect(formatValue(x)).not.toBe(formatValue(y));
      }),
    );
    expect(formatValue('{ a: 1 }')).not.toBe(formatValue({ a: 1 }));
    expect(formatValue('[1]')).not.toBe(formatValue([1]));
  });
});

test.each([
  [0, '0 ms'],
  [0.4, '<1 ms'],
  [12.4, '12 ms'],
  [1234, '1.23 s'],
  [12_345, '12.3 s'],
  [59_990, '60.0 s'],
  [61_000, '1 min 01 s'],
  [3_725_000, '1 h 02 min'],
])('%d ms read as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test('numbers, lists and commands read as people write them', () => {
  expect([count(1, 'launch', 'launches'), count(0, 'check')]).toEqual(['1 launch', '0 checks']);
  expect([list([]), list(['a']), list(['a', 'b', 'c']), list(['a', 'b', 'c', 'd'])]).toEqual([
    '',
    'a',
    'a, b and c',
    'a, b and 2 more',
  ]);
  expect([formatBytes(1023), formatBytes(1536), formatBytes(3 * 1024 * 1024)]).toEqual([
    '1023 B',
    '1.5 KiB',
    '3.0 MiB',
  ]);
  expect(formatCommand(['run', '--host', 'fake:naples', "it's", ''])).toBe("run --host fake:naples 'it'\\''s' ''");
});

test('checks that could not be made are not counted as made', () => {
  const checks = (...outcomes: string[]) => outcomes.map((outcome) => ({ outcome }));
  expect(countMade(checks('passed', 'failed'))).toBe('2 checks');
  expect(countMade(checks('passed', 'skipped', 'failed'))).toBe('2 of 3 checks');
  expect(countMade(checks('skipped'))).toBe('0 of 1 check');
  expect(countMade([])).toBe('0 checks');
});
