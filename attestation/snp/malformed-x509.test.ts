import { describe, expect, it } from 'vitest';
import { concatBytes, toHex } from '../../core/bytes.ts';
import { forgeSnp } from '../testing/snp-platform.ts';
import { parseCrl } from './crl.ts';
import { parseDer, readTime } from './der.ts';
import { snpFuzzTargets } from './fuzz-targets.ts';
import { cut, edited, empty, grow, hexOf, inHex, type MalformedCase, outcomeOf } from './test-malformed.ts';
import { amdCommonName, parseX509Certificate, parseX509Certificates } from './x509.ts';

const forged = forgeSnp();
const pem = snpFuzzTargets().find(({ name }) => name === 'snp-x509-pem')?.seed ?? new Uint8Array();

const cases: readonly MalformedCase[] = [
  [
    'X.509 certificate',
    parseX509Certificate,
    forged.vek,
    {
      nothing: [empty, /expected 1 to 16384 bytes of DER, got 0/],
      'a byte less': [cut, /not DER/],
      'a byte more': [grow, /not DER/],
      'a long form of a length': [
        (bytes) => concatBytes(Uint8Array.of(0x30, 0x83, 0), bytes.subarray(2)),
        /shortest form/,
      ],
      'an indefinite length': [
        (bytes) => concatBytes(Uint8Array.of(0x30, 0x80), bytes.subarray(4), Uint8Array.of(0, 0)),
        /not DER/,
      ],
      'version 1': [inHex('a003020102', 'a003020100'), /expected version 3/],
      'a month 13': [inHex(toHex(Buffer.from('250101')), toHex(Buffer.from('251301'))), /is not a time/],
      'a 30th of February': [inHex(toHex(Buffer.from('250101')), toHex(Buffer.from('250230'))), /is not a time/],
      'a time without Z': [
        inHex(`${toHex(Buffer.from('0000Z'))}170d`, `${toHex(Buffer.from('00000'))}170d`),
        /is not a time/,
      ],
      'another algorithm outside': [
        (bytes) => hexOf(toHex(bytes).replace(/(.*)a203020130/s, '$1a203020120')),
        /is not the one outside/,
      ],
      'unused bits in the key': [inHex('03620004', '03620104'), /expected whole bytes, got 1 unused/],
      'an extension twice': [inHex('2b060104019c78010302', '2b060104019c78010301'), /is there twice/],
      'a megabyte': [() => new Uint8Array(1 << 20), /expected 1 to 16384/],
      'nesting without end': [() => hexOf('3080'.repeat(4000)), /not DER/],
      'a flag that is not ff': [() => inHex('0101ff', '010101')(forged.ask), /critical: expected ff/],
      'two in one file': [() => pem, /expected one certificate, got 2/],
    },
  ],
  [
    'PEM',
    parseX509Certificates,
    pem,
    {
      'text before': [edited((text) => `subject=CN\n${text}`), /line 1: expected -----BEGIN/],
      'text behind': [edited((text) => `${text}x`), /expected -----BEGIN CERTIFICATE-----, got "x"/],
      'a stray character': [edited((text) => text.replace(/\nMII/, '\n*II')), /is not base64/],
      'a space in a line': [edited((text) => text.replace(/\nMII/, '\nMI I')), /not in lines of 64/],
      'no end': [edited((text) => text.slice(0, -20)), /no -----END CERTIFICATE-----/],
      'an empty block': [
        edited(() => '-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n'),
        /not in lines of 64/,
      ],
      'nine certificates': [edited((text) => text.repeat(5).slice(0)), /expected at most 8 certificates, got 10/],
      'a byte behind the DER': [
        () => Buffer.from(`-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n`),
        /not DER/,
      ],
    },
  ],
  [
    'revocation list',
    parseCrl,
    forged.crl,
    {
      'a byte more': [grow, /not DER/],
      'version 1': [inHex(/^(30820...(?:3082....|3081..))020101/, '$1020100'), /expected version 2/],
      'a certificate': [() => forged.vek, /revocation list/],
      'an empty list': [() => forgeSnp({ crl: { revoked: [] } }).crl, /is there, but empty/],
      'another algorithm outside': [inHex(/(.*)a203020130/s, '$1a203020120'), /is not the one outside/],
    },
  ],
];

describe.each(cases)('%s', (_, parse, seed, edits) => {
  it('is read as it is', () => {
    expect(() => parse(seed)).not.toThrow();
  });

  it.each(Object.entries(edits))('refuses %s', (_what, edit) => {
    expect(outcomeOf(parse, seed, edit)).toBe('refused');
  });
});

it('a name with two common names is not one of AMD', () => {
  const { subject } = parseX509Certificate(forged.vek);
  const second = concatBytes(hexOf('3112301006035504030c09'), Buffer.from('ARK-Milan'));
  const length = subject.length - 2 + second.length;
  expect(amdCommonName(subject)).toBe('SEV-VCEK');
  expect(amdCommonName(concatBytes(Uint8Array.of(0x30, 0x81, length), subject.subarray(2), second))).toBeUndefined();
});

describe('times', () => {
  const malformed = (rule: string) => Object.assign(new Error(rule), { code: 'X' }) as never;
  const utc = (text: string) =>
    readTime(
      parseDer(concatBytes(Uint8Array.of(text.length === 13 ? 0x17 : 0x18, text.length), Buffer.from(text)), malformed),
      'time',
      malformed,
    );

  it('read two digits of the year as 1950 to 2049', () => {
    expect(utc('491231235959Z')).toEqual(new Date('2049-12-31T23:59:59Z'));
    expect(utc('500101000000Z')).toEqual(new Date('1950-01-01T00:00:00Z'));
    expect(utc('20500101000000Z')).toEqual(new Date('2050-01-01T00:00:00Z'));
  });

  it.each(['260229000000Z', '260100000000Z', '260101240000Z', '260101006000Z', '2601010000001', '26010100000Z'])(
    'refuse %s',
    (text) => {
      expect(() => utc(text)).toThrow(/is not a time/);
    },
  );
});
