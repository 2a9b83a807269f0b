import { describe, expect, it } from 'vitest';
import { p384Spki } from '../certs/p384.ts';
import { parseCrl } from '../snp/crl.ts';
import { parseX509Certificate } from '../snp/x509.ts';
import type { PssSettings } from '../testing/signing.ts';
import { forgedCaKey } from '../testing/signing.ts';
import {
  type ForgedBody,
  forgeSnp,
  PSS_ALGORITHM,
  rsaSpki,
  type SnpForgeOptions,
  vekExtensions,
} from '../testing/snp-platform.ts';
import { verifySnpCa } from './snp-ca.ts';
import { verifySnpReport } from './snp-report.ts';
import type { SnpRowId } from './snp-rules.ts';
import { verifyVek } from './snp-vek.ts';

const root = parseX509Certificate(forgeSnp().ark);

function verify(options: SnpForgeOptions = {}, at?: Date) {
  const forged = forgeSnp(options);
  const [ark, ask, vek] = [forged.ark, forged.ask, forged.vek].map(parseX509Certificate);
  const ca = verifySnpCa({ ark, ask }, { at: at ?? forged.at, trustedRoot: root, crl: parseCrl(forged.crl) });
  return verifySnpReport({ report: forged.report }, verifyVek(vek, ca));
}

const failedRows = (checks: ReturnType<typeof verify>['checks']) =>
  checks.filter(({ outcome }) => outcome === 'failed').map(({ id }) => id);

const swapped = (oid: string, critical: boolean, value: string) =>
  vekExtensions('milan', 'vcek').map((extension) =>
    extension[0].endsWith(oid) ? ([extension[0], critical, value] as const) : extension,
  );
const vek = (extensions: ForgedBody['extensions']): SnpForgeOptions => ({ vek: { extensions } });
const caExtensions = (constraints: string, usage: string, critical = true) => ({
  extensions: [
    ['551d13', critical, constraints],
    ['551d0f', true, usage],
  ] as const,
});
const zero = new Uint8Array(48);
const CA_ARK = caExtensions('30030101ff', '03020106').extensions;
const CA_ASK = caExtensions('30060101ff020100', '03020104').extensions;

describe('forged SEV-SNP evidence', () => {
  it.each(['milan', 'genoa', 'turin'] as const)(
    'of a sound %s platform verifies, every row passed, and is not AMD',
    (product) => {
      for (const kind of ['vcek', 'vlek'] as const) {
        const result = verify({ product, kind });
        expect(result.checks.filter(({ outcome }) => outcome !== 'passed').map(({ id }) => id)).toEqual(
          kind === 'vcek' ? ['snp.root-is-amd'] : ['snp.root-is-amd', 'snp.report-chip-id-matches-vek'],
        );
        expect(result.ok).toBe(true);
      }
    },
  );

  it('is refused when the caller does not pass its root', () => {
    const { ark, ask, at } = forgeSnp();
    const ca = verifySnpCa({ ark: parseX509Certificate(ark), ask: parseX509Certificate(ask) }, { at });
    expect(failedRows(ca.checks)).toEqual(['snp.ark-pinned']);
  });

  it('is incomplete without its certificates, not valid', () => {
    const { report, at } = forgeSnp();
    const result = verifySnpReport({ report }, verifyVek(undefined, verifySnpCa({}, { at })));
    expect(result.ok).toBe(false);
    expect(failedRows(result.checks)).toEqual([]);
    expect(result.checks.filter(({ outcome }) => outcome === 'incomplete').map(({ id }) => id)).toEqual([
      'snp.ark-well-formed',
      'snp.ask-well-formed',
      'snp.vek-well-formed',
    ]);
  });

  it('is refused at a time that is none', () => {
    expect(failedRows(verify({}, new Date(Number.NaN)).checks)).toEqual([
      'snp.ark-valid-at-time',
      'snp.ask-valid-at-time',
      'snp.crl-fresh',
      'snp.vek-valid-at-time',
    ]);
  });

  const pss = (settings: PssSettings) => settings;
  const defects: readonly (readonly [what: string, options: SnpForgeOptions, rows: readonly SnpRowId[]])[] = [
    ['ARK signed by another key', { signedByOther: 'ark' }, ['snp.ark-self-signed']],
    ['ARK without CA flag', { ark: caExtensions('3000', '03020106') }, ['snp.ark-well-formed']],
    ['ARK that may not sign', { ark: caExtensions('30030101ff', '03020780') }, ['snp.ark-well-formed']],
    [
      'ARK with a CA flag that is not critical',
      { ark: caExtensions('30030101ff', '03020106', false) },
      ['snp.ark-well-formed'],
    ],
    ['ARK called ASK', { ark: { subject: 'SEV-Milan' } }, ['snp.ark-well-formed']],
    ['ARK of another company', { ark: { organization: 'Advanced Micro Device' } }, ['snp.ark-well-formed']],
    ['ARK issued by another name', { ark: { issuer: 'ARK-Genoa' } }, ['snp.ca-names']],
    ['ARK that has expired', { ark: { notAfter: '260114235959Z' } }, ['snp.ark-valid-at-time']],
    ['ASK signed by another key', { signedByOther: 'ask' }, ['snp.ask-signed-by-ark']],
    [
      'ASK with a key of 2048 bits',
      { ask: { spki: rsaSpki(forgedCaKey('snp-small', 2048)) } },
      ['snp.ask-well-formed'],
    ],
    [
      'ASK of another product',
      { ask: { subject: 'SEV-Genoa' } },
      ['snp.ca-names', 'snp.vek-names', 'snp.report-cpu-of-product'],
    ],
    ['ASK that is not valid yet', { ask: { notBefore: '260115000001Z' } }, ['snp.ask-valid-at-time']],
    ['ASK with a salt of 32 bytes', { askPss: pss({ hash: 'sha384', saltLength: 32 }) }, ['snp.ask-signed-by-ark']],
    ['ASK signed with SHA-256', { askPss: pss({ hash: 'sha256', saltLength: 48 }) }, ['snp.ask-signed-by-ark']],
    ['ASK signed with PKCS#1 v1.5', { askPss: pss({ padding: 'pkcs1', hash: 'sha384' }) }, ['snp.ask-signed-by-ark']],
    [
      'ARK with an unknown critical extension',
      { ark: { extensions: [...CA_ARK, ['551d1e', true, '3000']] } },
      ['snp.ark-well-formed'],
    ],
    [
      'ASK with an unknown critical extension',
      { ask: { extensions: [...CA_ASK, ['551d1e', true, '3000']] } },
      ['snp.ask-well-formed'],
    ],
    [
      'ASK with an exponent of 3',
      { ask: { spki: rsaSpki({ ...forgedCaKey('snp-ask', 4096), exponent: 3n }) } },
      ['snp.ask-well-formed'],
    ],
    ['ASK issued by another name', { ask: { issuer: 'ARK-Genoa' } }, ['snp.ca-names']],
    ['list with a critical extension', { crl: { criticalExtension: true } }, ['snp.crl-signed-by-ark']],
    [
      'list that is stale, and names the ASK',
      { crl: { nextUpdate: '260114000000Z', revoked: [2] } },
      ['snp.crl-fresh'],
    ],
    ['list signed by another key', { signedByOther: 'crl' }, ['snp.crl-signed-by-ark']],
    ['list of another issuer', { crl: { issuer: 'ARK-Genoa' } }, ['snp.crl-signed-by-ark']],
    ['list that is stale', { crl: { nextUpdate: '260114000000Z' } }, ['snp.crl-fresh']],
    ['ASK that is revoked', { crl: { revoked: [9, 2] } }, ['snp.ca-not-revoked']],
    ['ARK that is revoked', { crl: { revoked: [1] } }, ['snp.ca-not-revoked']],
    ['VCEK signed by another key', { signedByOther: 'vek' }, ['snp.vek-signed-by-ca']],
    [
      'VCEK whose algorithm says a salt of 32',
      { vek: { algorithm: PSS_ALGORITHM.replace(/30$/, '20') } },
      ['snp.vek-signed-by-ca'],
    ],
    ['VCEK with a salt of 0', { vekPss: pss({ hash: 'sha384', saltLength: 0 }) }, ['snp.vek-signed-by-ca']],
    ['VCEK with the name of a VLEK', { vek: { subject: 'SEV-VLEK' } }, ['snp.vek-names']],
    ['VCEK issued by the ASVK', { vek: { issuer: 'SEV-VLEK-Milan' } }, ['snp.vek-names']],
    ['VCEK of another product', vek(swapped('780102', false, '160547656e6f61')), ['snp.vek-names']],
    ['VCEK with a key off the curve', { vek: { spki: p384Spki({ x: zero, y: zero }) } }, ['snp.vek-well-formed']],
    [
      'VCEK with the SPL of Turin',
      vek([...vekExtensions('milan', 'vcek'), ['2b060104019c78010309', false, '020100']]),
      ['snp.vek-well-formed'],
    ],
    ['VCEK with an SPL of two bytes', vek(swapped('0301', false, '02020003')), ['snp.vek-well-formed']],
    ['VCEK that has expired', { vek: { notAfter: '260114235959Z' } }, ['snp.vek-valid-at-time']],
    ['VCEK with an RSA key', { vek: { spki: rsaSpki(forgedCaKey('snp-ask', 4096)) } }, ['snp.vek-well-formed']],
    ['VCEK without SPLs', vek(vekExtensions('milan', 'vcek').slice(0, 4)), ['snp.vek-well-formed']],
    ['VCEK with the extensions of a VLEK', vek(vekExtensions('milan', 'vlek')), ['snp.vek-well-formed']],
    [
      'VCEK with an extension more',
      vek([...vekExtensions('milan', 'vcek'), ['551d0f', false, '03020780']]),
      ['snp.vek-well-formed'],
    ],
    ['VCEK with a critical SPL', vek(swapped('0301', true, '020103')), ['snp.vek-well-formed']],
    ['VCEK with a negative SPL', vek(swapped('0301', false, '0201ff')), ['snp.vek-well-formed']],
    ['VCEK with an SPL of 256', vek(swapped('0301', false, '02020100')), ['snp.vek-well-formed']],
    ['VCEK with a reserved SPL', vek(swapped('0304', false, '020101')), ['snp.vek-well-formed']],
    ['VCEK with a chip id of 63 bytes', vek(swapped('780104', false, 'c5'.repeat(63))), ['snp.vek-well-formed']],
    ['VCEK of another TCB', vek(swapped('0308', false, '020174')), ['snp.report-tcb-matches-vek']],
    ['VCEK of another chip', vek(swapped('780104', false, 'c6'.repeat(64))), ['snp.report-chip-id-matches-vek']],
    ['report signed by another key', { signedByOther: 'report' }, ['snp.report-signature']],
    ['report with r of zero', { report: { signature: { r: zero, s: zero.map(() => 1) } } }, ['snp.report-signature']],
    [
      'report with s of 2^384-1',
      { report: { signature: { r: zero.map(() => 1), s: zero.map(() => 0xff) } } },
      ['snp.report-signature'],
    ],
    ['report that names a VLEK', { report: { signingKey: 'vlek' } }, ['snp.report-signing-key']],
    ['report that names no key', { report: { signingKey: 'none' } }, ['snp.report-signing-key']],
    [
      'report of another processor',
      { report: { cpu: { family: 0x1a, model: 2, stepping: 0 } } },
      ['snp.report-cpu-of-product'],
    ],
    ['report of another chip', { report: { chipId: new Uint8Array(64).fill(1) } }, ['snp.report-chip-id-matches-vek']],
    [
      'report of Turin with a longer chip id',
      { product: 'turin', report: { chipId: new Uint8Array(64).fill(0xc5) } },
      ['snp.report-chip-id-matches-vek'],
    ],
    ['report with a masked chip id', { report: { chipKeyMasked: true } }, ['snp.report-chip-id-matches-vek']],
    [
      'report of an older TCB',
      { report: { reportedTcb: Uint8Array.of(2, 0, 0, 0, 0, 0, 8, 115) } },
      ['snp.report-tcb-matches-vek'],
    ],
    [
      'report with a reserved TCB byte',
      { report: { reportedTcb: Uint8Array.of(3, 0, 1, 0, 0, 0, 8, 115) } },
      ['snp.report-tcb-matches-vek'],
    ],
  ];

  it.each(defects)('%s turns its own row', (_, options, rows) => {
    const result = verify(options);
    expect(result.ok).toBe(false);
    expect(failedRows(result.checks)).toEqual(rows);
    for (const row of result.checks.filter(({ outcome }) => outcome !== 'passed')) expect(row.because).toBeTruthy();
  });

  it.each<[SnpRowId, SnpForgeOptions, SnpRowId[]]>([
    ['snp.ca-not-revoked', { crl: { revoked: [2] } }, ['snp.vek-signed-by-ca', 'snp.report-signature']],
    [
      'snp.crl-fresh',
      { crl: { nextUpdate: '260114000000Z' } },
      ['snp.ca-not-revoked', 'snp.vek-signed-by-ca', 'snp.report-signature'],
    ],
    ['snp.vek-names', { vek: { subject: 'SEV-VLEK' } }, ['snp.report-signature']],
    ['snp.report-signing-key', { report: { signingKey: 'none' } }, ['snp.report-signature']],
  ])('a failed %s leaves what rests on it undecided', (_, options, skipped) => {
    const rows = verify(options).checks.filter(({ id, outcome }) => outcome === 'skipped' && id !== 'snp.root-is-amd');
    expect(rows.map(({ id }) => id)).toEqual(skipped);
  });

  it('takes a chip id inside an OCTET STRING, as the specification also allows', () => {
    expect(verify(vek(swapped('780104', false, `0440${'c5'.repeat(64)}`))).ok).toBe(true);
  });
});
