import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, toHex } from '../../core/bytes.ts';
import { forgeSnp } from '../testing/snp-platform.ts';
import { parseCborMap } from './cbor.ts';
import { parseCertTable } from './cert-table.ts';
import { parseCocoEvidence, parseReportResponse, parseTsmReport } from './evidence.ts';
import { sampleCertTable, sampleCoco, sampleHcl, sampleResponse, sampleTsm, snpFuzzTargets } from './fuzz-targets.ts';
import { parseHclReport } from './hcl.ts';
import { encodeIdAuth, encodeIdBlock, parseIdAuth, parseIdBlock } from './id-block.ts';
import { encodeSnpReport, parseSnpReport } from './report.ts';
import { encodeTcb, parseTcb, SNP_PRODUCTS } from './tcb.ts';
import { cut, edited, empty, grow, hexOf, type MalformedCase, outcomeOf, set } from './test-malformed.ts';

const forged = forgeSnp();
const report = encodeSnpReport(forged.report);
const hcl = sampleHcl(report);
const seedOf = (name: string) => snpFuzzTargets().find((target) => target.name === name)?.seed ?? new Uint8Array();
const [idAuth, idBlock] = [seedOf('snp-id-auth'), seedOf('snp-id-block')];

const cases: readonly MalformedCase[] = [
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

  it.each(Object.entries(edits))('refuses %s', (_what, edit) => {
    expect(outcomeOf(parse, seed, edit)).toBe('refused');
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
        } catch (error) {
          expect(error).toMatchObject({ code: 'SNP_REPORT_MALFORMED' });
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

it('a map of CBOR has text for keys and bytes or text for values, and nothing else', () => {
  const malformed = (rule: string) => Object.assign(new Error(rule), { code: 'X' }) as never;
  for (const hex of ['', 'f6', 'a1616101', 'a1014100', 'a161615a00000001', 'a17f', 'bb0000000000000001', 'a16161c0']) {
    expect(() => parseCborMap(hexOf(hex), malformed), hex).toThrow();
  }
  expect(parseCborMap(hexOf('a161614101'), malformed)).toEqual(new Map([['a', Uint8Array.of(1)]]));
});
