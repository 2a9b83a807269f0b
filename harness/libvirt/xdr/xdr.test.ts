import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { XdrReader } from './reader.ts';
import { XdrWriter } from './writer.ts';

function written(write: (writer: XdrWriter) => void): Uint8Array {
  const writer = new XdrWriter();
  write(writer);
  return writer.finish();
}

describe('XdrWriter', () => {
  it('keeps every word where its buffer has to grow', () => {
    const values = Array.from({ length: 5000 }, (_, index) => index);
    const bytes = written((writer) => {
      for (const value of values) writer.uint(value);
    });
    const reader = new XdrReader(bytes);
    expect(values.map(() => reader.uint())).toEqual(values);
  });

  it('keeps 64-bit words, doubles and text that begin at any distance from the end of its buffer', () => {
    for (let filler = 0; filler < 300; filler += 4) {
      const bytes = written((writer) => {
        writer.fixedOpaque(new Uint8Array(filler), filler);
        writer.hyper(-2n);
        writer.double(0.5);
        writer.string('four', 10);
      });
      const reader = new XdrReader(bytes);
      reader.fixedOpaque(filler);
      expect([reader.hyper(), reader.double(), reader.string(10)]).toEqual([-2n, 0.5, 'four']);
    }
  });

  it.each([
    ['an int above 2^31-1', (writer: XdrWriter) => writer.int(2 ** 31)],
    ['a fraction', (writer: XdrWriter) => writer.int(1.5)],
    ['NaN', (writer: XdrWriter) => writer.uint(Number.NaN)],
    ['a negative unsigned', (writer: XdrWriter) => writer.uint(-1)],
    ['a hyper above 2^63-1', (writer: XdrWriter) => writer.hyper(2n ** 63n)],
    ['a negative unsigned hyper', (writer: XdrWriter) => writer.uhyper(-1n)],
    ['text over its limit', (writer: XdrWriter) => writer.string('éé', 3)],
    ['a list over its limit', (writer: XdrWriter) => writer.list([1, 2], 1, (w, x) => w.int(x))],
    ['a char array without room for its NUL', (writer: XdrWriter) => writer.fixedChars('four', 4)],
  ])('refuses %s with XDR_UNENCODABLE', (_, write) => {
    expect(() => written(write)).toThrow(expect.objectContaining({ code: 'XDR_UNENCODABLE' }));
  });
});

describe('XdrReader', () => {
  const reads: Record<string, (reader: XdrReader) => unknown> = {
    int: (reader) => reader.int(),
    hyper: (reader) => reader.hyper(),
    bool: (reader) => reader.bool(),
    opaque: (reader) => reader.opaque(100),
    string: (reader) => reader.string(100),
    chars: (reader) => reader.chars(100),
    list: (reader) => reader.list(100, (inner) => inner.int()),
    optional: (reader) => reader.optional((inner) => inner.string(100)),
  };

  it.each(Object.entries(reads))('reads %s from random bytes or throws XDR_MALFORMED', (_, read) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          read(new XdrReader(bytes));
        } catch (error) {
          if (!isSevHarnessError(error, 'XDR_MALFORMED')) throw error;
        }
      }),
      { numRuns: 500 },
    );
  });

  it('refuses a count that the bytes cannot hold before it loops', () => {
    const bytes = written((writer) => writer.uint(0xffffffff));
    expect(() => new XdrReader(bytes).list(2 ** 32, (reader) => reader.int())).toThrow('0 bytes left');
  });

  it('gives copies: what is read does not change with the message', () => {
    const bytes = written((writer) => writer.opaque(new Uint8Array([1, 2, 3]), 10));
    const value = new XdrReader(bytes).opaque(10);
    bytes.fill(9);
    expect([...value]).toEqual([1, 2, 3]);
  });
});
