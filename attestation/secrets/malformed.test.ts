import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import { parseLaunchSessionBlob } from '../abi/launch-session.ts';
import { encodeSecretHeader, parseSecretHeader } from '../abi/secret-header.ts';
import { buildSecretTable, parseSecretTable } from './table.ts';

const table = buildSecretTable([
  { guid: 'luks-key', secret: new Secret(new Uint8Array(18).fill(0x61)) },
  { guid: '00112233-4455-6677-8899-aabbccddeeff', secret: new Secret(new Uint8Array(9).fill(0x62)) },
]).reveal();

/** 20 of the table, 38 of the first entry, 29 of the second, 9 of padding. */
const SECOND = 58;
const TOTAL = 87;

function patched(offset: number, ...values: number[]): Uint8Array {
  const copy = Uint8Array.from(table);
  copy.set(values, offset);
  return copy;
}

const refusal = (code: string, text: RegExp) => expect.objectContaining({ code, message: expect.stringMatching(text) });

describe('secret table', () => {
  it('has the layout that these cases change', () => {
    expect([table.length, table[16], table[20 + 16], table[SECOND + 16]]).toEqual([96, TOTAL, 38, 29]);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['no bytes', new Uint8Array(), /needs 20 bytes for its header, 0 are left/],
    ['nineteen bytes', table.slice(0, 19), /19 are left/],
    ['another GUID', patched(0, 0), /does not begin with 1e74f542/],
    ['a length under its header', patched(16, 19), /the table says it has 19 bytes, expected 20 to 96/],
    ['a length beyond the packet', patched(16, 97), /says it has 97 bytes/],
    ['a huge length', patched(16, 0xff, 0xff, 0xff, 0xff), /says it has 4294967295 bytes/],
    [
      'a length that cuts the last entry',
      patched(16, TOTAL - 1).fill(0, TOTAL - 1),
      /entry at offset 58 says it has 29 bytes, expected 20 to 28/,
    ],
    ['a length that leaves half a header', patched(16, TOTAL + 1), /needs 20 bytes for its header, 1 are left/],
    ['an entry of length 0', patched(36, 0), /entry at offset 20 says it has 0 bytes/],
    ['an entry of length 19', patched(36, 19), /entry at offset 20 says it has 19 bytes/],
    ['an entry beyond the table', patched(36, 68), /entry at offset 20 says it has 68 bytes/],
    ['a GUID twice', patched(SECOND, ...table.subarray(20, 36)), /two entries have the GUID 736869e5/],
    ['bytes in the padding', patched(95, 1), /padding behind the table is not zero/],
  ])('with %s is refused', (_, bytes, text) => {
    expect(() => parseSecretTable(new Secret(bytes))).toThrow(refusal('SECRET_TABLE_MALFORMED', text));
  });

  it('is read whatever whole padding follows it', () => {
    expect(parseSecretTable(new Secret(concatBytes(table, new Uint8Array(16))))).toHaveLength(2);
    expect(parseSecretTable(new Secret(table.slice(0, TOTAL)))).toHaveLength(2);
  });
});

describe('packet header', () => {
  const header = encodeSecretHeader({
    compressed: false,
    iv: new Uint8Array(16).fill(1),
    mac: new Uint8Array(32).fill(2),
  });

  it('is what it was', () => {
    const compressed = { compressed: true, iv: new Uint8Array(16).fill(3), mac: new Uint8Array(32).fill(4) };
    expect(parseSecretHeader(encodeSecretHeader(compressed))).toEqual(compressed);
  });

  it.each([0, 51, 53, 68])('of %i bytes is refused', (length) => {
    const bytes = concatBytes(header, new Uint8Array(16)).slice(0, length);
    expect(() => parseSecretHeader(bytes)).toThrow(refusal('SECRET_HEADER_MALFORMED', new RegExp(`got ${length}`)));
  });

  it.each([1, 7, 8, 31])('with flag bit %i set beside what is known is refused', (bit) => {
    const bytes = Uint8Array.from(header);
    new DataView(bytes.buffer).setUint32(0, 2 ** bit, true);
    expect(() => parseSecretHeader(bytes)).toThrow(refusal('SECRET_HEADER_MALFORMED', /flags/));
  });
});

it.each([0, 127, 129, 256])('a session blob of %i bytes is refused', (length) => {
  expect(() => parseLaunchSessionBlob(new Uint8Array(length))).toThrow(
    refusal('SESSION_MALFORMED', /expected exactly 128/),
  );
});
