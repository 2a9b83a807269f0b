import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../core/bytes.ts';
import { forgeSnp } from '../testing/snp-platform.ts';
import { parseCborMap } from './cbor.ts';
import { parseCertTable } from './cert-table.ts';
import { parseCrl } from './crl.ts';
import { parseDer, readTime } from './der.ts';
import { parseCocoEvidence, parseReportResponse, parseTsmReport } from './evidence.ts';
import { sampleCertTable, sampleCoco, sampleHcl, sampleResponse, sampleTsm, snpFuzzTargets } from './fuzz-targets.ts';
import { parseHclReport } from './hcl.ts';
import { encodeIdAuth, encodeIdBlock, parseIdAuth, parseIdBlock } from './id-block.ts';
import { encodeSnpReport, parseSnpReport } from './report.ts';
import { encodeTcb, parseTcb, SNP_PRODUCTS } from './tcb.ts';
import { amdCommonName, parseX509Certificate, parseX509Certificates } from './x509.ts';

const forged = forgeSnp();
const report = encodeSnpReport(forged.report);
const hcl = sampleHcl(report);
const seedOf = (name: string) => snpFuzzTargets().find((target) => target.name === name)?.seed ?? new Uint8Array();
const [pem, idAuth, idBlock] = [seedOf('snp-x509-pem'), seedOf('snp-id-auth'), seedOf('snp-id-block')];

type Edit = (bytes: Uint8Array) => Uint8Array;
const set =
  (offset: number, ...values: number[]): Edit =>
  (bytes) => {
    const copy = Uint8Array.from(bytes);
    copy.set(values, offset);
    return copy;
  };
const cut: Edit = (bytes) => bytes.slice(0, -1);
const grow: Edit = (bytes) => concatBytes(bytes, Uint8Array.of(0));
const empty: Edit = () => new Uint8Array();
const hexOf = (hex: string) => fromHex(hex) ?? new Uint8Array();
const edited =
  (change: (text: string) => string): Edit =>
  (bytes) =>
    Buffer.from(change(Buffer.from(bytes).toString('latin1')), 'latin1');
/** Changes DER in hex, without mending any length. */
const inHex =
  (from: string | RegExp, to: string): Edit =>
  (bytes) =>
    hexOf(toHex(bytes).replace(from, to));

type Parser = (bytes: Uint8Array) => unknown;
const cases: readonly (readonly [
  what: string,
  parse: Parser,
  seed: Uint8Array,
  edits: Readonly<Record<string, readonly [Edit, RegExp]>>,
])[] = [
  [
    'SEV-SNP report',
    parseSnpReport,
    report,
    {
      nothing: [empty, /^SEV-SNP report: expected exactly 1184 bytes, got 0/],
      'a byte less': [cut, /got 1183/],
      'a byte more': [grow, /got 1185/],
      'version 0': [set(0, 0), /expected version 1 to 5, got 0/],
      'version 6': [set(0, 6), /got 6/],
      'VMPL 4': [set(0x30, 4), /expected VMPL 0 to 3, got 4/],
      'another algorithm': [set(0x34, 2), /expected signature algorithm 1/],
      'signing key 2': [set(0x48, 2 << 2), /expected signing key/],
      'a reserved flag': [set(0x48, 0x20), /reserved flags must be zero/],
      'a reserved byte': [set(0x4c, 1), /must be zero, found 0x01 at 0x04c/],
      'a byte behind CPUID': [set(0x18b, 1), /behind CPUID/],
      'CPUID in version 2': [set(0, 2), /the reserved field of version 2/],
      'a byte before the signature': [set(0x29f, 1), /before the signature/],
      'r of more than 384 bits': [set(0x2a0 + 48, 1), /R of the signature has more than 384 bits/],
      's of more than 384 bits': [set(0x2a0 + 143, 1), /S of the signature has more than 384 bits/],
      'a byte behind s': [set(0x49f, 1), /the rest of the signature/],
    },
  ],
  [
    'MSG_REPORT_RSP',
    parseReportResponse,
    sampleResponse(report),
    {
      'a status': [set(0, 0x16), /refused the report with status 22/],
      'a reserved byte': [set(8, 1), /the reserved field/],
      'another size': [set(4, 0), /expected a report of 1184 bytes/],
      'a byte behind the report': [set(3999, 1), /what follows the report/],
      'no report': [(bytes) => bytes.slice(0, 0x20), /expected 1216 to 4096 bytes, got 32/],
    },
  ],
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
  [
    'certificate table',
    parseCertTable,
    sampleCertTable(forged.vek),
    {
      'no end': [(bytes) => set(16, 0, 0, 0, 0, 24, 0)(bytes).slice(0, 24), /no entry of zeros/],
      'an offset past the end': [set(16, 0xff, 0xff, 0xff, 0xff), /bytes at 4294967295 of 4096/],
      'an offset into the table': [set(16, 24), /lies over what ends at 48/],
      'bytes before an entry': [set(16, 49), /the bytes from 48 to 49 are not zero/],
      'no length': [set(20, 0, 0), /has 0 bytes/],
      'an entry without GUID': [set(0, ...new Uint8Array(16)), /has no GUID/],
      'bytes that no entry covers': [set(4095, 1), /are not zero/],
    },
  ],
  [
    'TSM report',
    parseTsmReport,
    sampleTsm(report, sampleCertTable(forged.vek)),
    {
      nothing: [empty, /CBOR ends at byte 0/],
      'an indefinite map': [set(0, 0xbf), /CBOR length of kind 31/],
      'four entries': [set(0, 0xa4), /CBOR ends/],
      'an entry more': [
        (bytes) => concatBytes(Uint8Array.of(0xa4), bytes.subarray(1), Uint8Array.of(0x61, 0x61, 0x40)),
        /and nothing else/,
      ],
      'two entries': [set(0, 0xa2), /follow the CBOR map/],
      'another provider': [edited((text) => text.replace('isev_guest', 'itdx_guest')), /expected provider sev_guest/],
      'a key twice': [edited((text) => text.replace('goutblob', 'gauxblob')), /"auxblob" is there twice/],
      'a length in a long form': [edited((text) => text.replace('isev_guest', 'x\u0009sev_guest')), /shortest form/],
      'a byte more': [grow, /1 bytes follow/],
    },
  ],
  [
    'HCL report',
    parseHclReport,
    hcl,
    {
      'another magic': [set(0, 0x58), /expected to begin with HCLA/],
      'another version': [set(4, 2), /version: expected 1, got 2/],
      'a status': [set(0x10, 1), /status/],
      'runtime data of 4 GiB': [set(0x4d0, 0xff, 0xff, 0xff, 0xff), /runtime data of 4294967295 bytes/],
      'lengths that disagree': [set(0x4d0, 1), /length of the report and the runtime data/],
      'a TDX report': [set(0x4c8, 4), /report type: expected 2, got 4/],
      'another hash': [set(0x4cc, 4), /hash: expected 1, 2 or 3, got 4/],
      'a byte behind': [set(2047, 1), /not zero/],
      'a short file': [(bytes) => bytes.slice(0, 1235), /expected 1236/],
    },
  ],
  [
    'CoCo evidence',
    parseCocoEvidence,
    sampleCoco(hcl, forged.vek),
    {
      'no JSON': [empty, /not JSON/],
      'a list': [() => Buffer.from('[]'), /expected a JSON object/],
      'another version': [edited((text) => text.replace('"version":1', '"version":2')), /expected version 1/],
      'no VCEK': [edited((text) => text.replace('"vcek"', '"vlek"')), /vcek: expected text in base64url/],
      'a stray character': [edited((text) => text.replace('"SENM', '"S*NM')), /hcl_report: expected text in base64url/],
      'no padding': [edited((text) => text.replace(/=+"/, '"')), /base64url with its padding/],
    },
  ],
  [
    'ID block',
    parseIdBlock,
    idBlock,
    {
      'a byte less': [cut, /expected exactly 96 bytes, got 95/],
      'version 2': [set(0x50, 2), /expected version 1, got 2/],
    },
  ],
  [
    'ID authentication page',
    parseIdAuth,
    idAuth,
    {
      'a byte less': [cut, /expected exactly 4096 bytes, got 4095/],
      'another algorithm': [set(0, 2), /algorithm of the ID key: expected 1, got 2/],
      'another author algorithm': [set(4, 2), /algorithm of the author key/],
      'a reserved byte': [set(8, 1), /a reserved field must be zero/],
      'a byte behind a signature': [set(0x23f, 1), /the rest of the signature of the ID block/],
      'another curve': [set(0x240, 1), /the ID key is on curve 1, expected 2/],
      'a byte behind a key': [set(0x643, 1), /the rest of the ID key/],
      'no ID key': [set(0x240, ...new Uint8Array(0x404)), /there is no ID key/],
      'a signature without author': [set(0x880, ...new Uint8Array(0x404)), /a signature without author key/],
    },
  ],
];

describe.each(cases)('%s', (_, parse, seed, edits) => {
  it('is read as it is', () => {
    expect(() => parse(seed)).not.toThrow();
  });

  it.each(Object.entries(edits))('refuses %s', (_what, [edit, message]) => {
    const mutant = edit(seed);
    expect(toHex(mutant)).not.toBe(toHex(seed));
    expect(() => parse(mutant)).toThrow(
      expect.objectContaining({ name: 'SevHarnessError', message: expect.stringMatching(message) }),
    );
  });
});

const fill = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

describe('what is read is written back', () => {
  it('any report that is taken, byte for byte', () => {
    const edits = fc.array(fc.tuple(fc.nat(0x49f), fc.nat(255)), { maxLength: 4 });
    let taken = 0;
    fc.assert(
      fc.property(edits, (changes) => {
        const bytes = changes.reduce((before, [offset, value]) => set(offset, value)(before), report);
        try {
          parseSnpReport(bytes);
        } catch {
          return;
        }
        taken += 1;
        expect(toHex(encodeSnpReport(parseSnpReport(bytes)))).toBe(toHex(bytes));
      }),
    );
    expect(taken).toBeGreaterThan(10);
  });

  it('ID blocks and pages', () => {
    expect(toHex(encodeIdBlock(parseIdBlock(idBlock)))).toBe(toHex(idBlock));
    expect(toHex(encodeIdAuth(parseIdAuth(idAuth)))).toBe(toHex(idAuth));
    const { author: _, ...alone } = parseIdAuth(idAuth);
    expect(parseIdAuth(encodeIdAuth({ ...alone, author: undefined }))).toEqual({ ...alone, author: undefined });
  });

  it.each(SNP_PRODUCTS)('a TCB of %s, or it is refused', (product) => {
    fc.assert(
      fc.property(fill(8), (bytes) => {
        const reserved = product === 'turin' ? [4, 5, 6] : [2, 3, 4, 5];
        const clean = bytes.map((byte, index) => (reserved.includes(index) ? 0 : byte));
        expect(toHex(encodeTcb(parseTcb(clean, product), product))).toBe(toHex(clean));
        if (toHex(clean) !== toHex(bytes)) {
          expect(() => parseTcb(bytes, product)).toThrow(expect.objectContaining({ code: 'TCB_INVALID' }));
        }
      }),
    );
  });
});

it('a name with two common names is not one of AMD', () => {
  const { subject } = parseX509Certificate(forged.vek);
  const second = concatBytes(hexOf('3112301006035504030c09'), Buffer.from('ARK-Milan'));
  const length = subject.length - 2 + second.length;
  expect(amdCommonName(subject)).toBe('SEV-VCEK');
  expect(amdCommonName(concatBytes(Uint8Array.of(0x30, 0x81, length), subject.subarray(2), second))).toBeUndefined();
});

describe('times and maps', () => {
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

  it('refuse CBOR of other kinds', () => {
    for (const hex of [
      '',
      'f6',
      'a1616101',
      'a1014100',
      'a161615a00000001',
      'a17f',
      'bb0000000000000001',
      'a16161c0',
    ]) {
      expect(() => parseCborMap(hexOf(hex), malformed), hex).toThrow();
    }
    expect(parseCborMap(hexOf('a161614101'), malformed)).toEqual(new Map([['a', Uint8Array.of(1)]]));
  });
});
