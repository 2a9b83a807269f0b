import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import type { SnpProduct } from '../snp/tcb.ts';
import { formatKdsUrl, type KdsResource, parseKdsUrl } from './url.ts';

const byte = fc.integer({ min: 0, max: 255 });
const chip = (length: number) =>
  fc.uint8Array({ minLength: length, maxLength: length }).filter((id) => id.some(Boolean));
const product = fc.constantFrom<SnpProduct>('milan', 'genoa', 'turin');
const of = fc.constantFrom('vcek', 'vlek');
const tcbOf = (name: SnpProduct) =>
  fc.record({ bl: byte, tee: byte, snp: byte, ucode: byte, ...(name === 'turin' ? { fmc: byte } : {}) });
const resource: fc.Arbitrary<KdsResource> = product.chain((name) =>
  fc.oneof(
    fc.record({
      kind: fc.constant('vcek' as const),
      product: fc.constant(name),
      hwid: chip(name === 'turin' ? 8 : 64),
      tcb: tcbOf(name),
    }),
    fc.record({ kind: fc.constant('vlek' as const), product: fc.constant(name), tcb: tcbOf(name) }),
    fc.record({ kind: fc.constantFrom('cert-chain' as const, 'crl' as const), product: fc.constant(name), of }),
  ),
);

const HWID = 'ab'.repeat(64);
const TCB = { bl: 3, tee: 0, snp: 8, ucode: 115 };

describe('addresses of the Key Distribution Service', () => {
  it.each<[KdsResource, string]>([
    [
      { kind: 'vcek', product: 'milan', hwid: new Uint8Array(64).fill(0xab), tcb: TCB },
      `https://kdsintf.amd.com/vcek/v1/Milan/${HWID}?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115`,
    ],
    [
      { kind: 'vcek', product: 'turin', hwid: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), tcb: { fmc: 1, ...TCB } },
      'https://kdsintf.amd.com/vcek/v1/Turin/0102030405060708?fmcSPL=01&blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115',
    ],
    [
      { kind: 'vlek', product: 'genoa', tcb: TCB },
      'https://kdsintf.amd.com/vlek/v1/Genoa/cert?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115',
    ],
    [{ kind: 'cert-chain', product: 'milan', of: 'vlek' }, 'https://kdsintf.amd.com/vlek/v1/Milan/cert_chain'],
    [{ kind: 'crl', product: 'turin', of: 'vcek' }, 'https://kdsintf.amd.com/vcek/v1/Turin/crl'],
  ])('%o', (given, url) => {
    expect(formatKdsUrl(given)).toBe(url);
    expect(parseKdsUrl(url)).toEqual(given);
  });

  it('are read back as what they were made from', () => {
    fc.assert(fc.property(resource, (given) => void expect(parseKdsUrl(formatKdsUrl(given))).toEqual(given)));
  });

  it('take the 64 bytes that a report of Turin has, and only with zeros behind the chip id', () => {
    const hwid = new Uint8Array(64);
    hwid[0] = 7;
    const turin = { kind: 'vcek', product: 'turin', hwid, tcb: { fmc: 1, ...TCB } } as const;
    expect(formatKdsUrl(turin)).toContain('/Turin/0700000000000000?');
    const longer = Uint8Array.from(hwid).fill(1, 8, 9);
    expect(() => formatKdsUrl({ ...turin, hwid: longer })).toThrow(
      expect.objectContaining({ code: 'KDS_URL_INVALID' }),
    );
  });

  it.each([0, 63, 65])('refuse a chip id of %i bytes, and one of zeros', (length) => {
    const make = (hwid: Uint8Array) => () => formatKdsUrl({ kind: 'vcek', product: 'milan', hwid, tcb: TCB });
    const refused = expect.objectContaining({ code: 'KDS_URL_INVALID' });
    expect(make(new Uint8Array(length).fill(1))).toThrow(refused);
    expect(make(new Uint8Array(64))).toThrow(refused);
  });

  const good = `https://kdsintf.amd.com/vcek/v1/Milan/${HWID}?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115`;
  it.each([
    ['another scheme', good.replace('https', 'http')],
    ['another host', good.replace('amd.com', 'amd.com.example')],
    ['a user before the host', good.replace('https://', 'https://user@')],
    ['a port', good.replace('amd.com', 'amd.com:444')],
    ['an unknown product', good.replace('Milan', 'Rome')],
    ['a product in lower case', good.replace('Milan', 'milan')],
    ['a path that climbs', good.replace('/Milan', '/../Milan')],
    ['a short chip id', good.replace('abab', 'ab')],
    ['a chip id in capitals', good.replaceAll('ab', 'AB')],
    ['a number that is missing', good.replace('&snpSPL=08', '')],
    ['a number twice', good.replace('teeSPL=00', 'blSPL=03')],
    ['a number twice beside all others', `${good}&blSPL=04`],
    ['a number of 256', good.replace('115', '256')],
    ['a number in hex', good.replace('115', '0x73')],
    ['a number of Turin', `${good}&fmcSPL=01`],
    ['an escape', good.replace('blSPL', 'bl%53PL')],
    ['a fragment', `${good}#`],
    ['a line end', `${good}\n`],
    ['parameters of a chain', 'https://kdsintf.amd.com/vcek/v1/Milan/cert_chain?blSPL=03'],
    ['a VLEK by chip', good.replace('/vcek/', '/vlek/')],
    ['nothing', ''],
  ])('refuse %s', (_, url) => {
    expect(() => parseKdsUrl(url)).toThrow(expect.objectContaining({ code: 'KDS_URL_INVALID' }));
  });

  it('are read or refused whatever they are', () => {
    const text = fc.oneof(
      fc.string(),
      fc.string().map((tail) => good + tail),
      fc.nat(good.length).map((end) => good.slice(0, end)),
    );
    fc.assert(
      fc.property(text, (url) => {
        try {
          const asked = parseKdsUrl(url);
          expect(parseKdsUrl(formatKdsUrl(asked))).toEqual(asked);
        } catch (error) {
          if (!isSevHarnessError(error, 'KDS_URL_INVALID')) throw error;
        }
      }),
    );
  });
});
