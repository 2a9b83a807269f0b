import { createPrivateKey, X509Certificate as OpensslCertificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { fromBase64, fromHex, toBase64, toHex } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import type { SnpLaunchDigest } from '../brands.ts';
import { derivePoint, type EcPoint } from '../certs/p384.ts';
import type { AttestationResult } from '../result.ts';
import { parseCrl } from '../snp/crl.ts';
import { parseCocoEvidence, parseReportResponse, parseTsmReport } from '../snp/evidence.ts';
import { parseHclReport } from '../snp/hcl.ts';
import {
  computeIdKeyDigest,
  encodeIdAuth,
  encodeIdBlock,
  ID_BLOCK_LENGTH,
  type IdBlock,
  parseIdAuth,
  parseIdBlock,
} from '../snp/id-block.ts';
import { readCertificateFile } from '../snp/pem.ts';
import { encodeSnpReport, parseSnpReport } from '../snp/report.ts';
import type { SnpProduct } from '../snp/tcb.ts';
import type { VekKind } from '../snp/vek.ts';
import { parseX509Certificate, parseX509Certificates, type X509Certificate } from '../snp/x509.ts';
import { mutants, type Roles } from '../testing/mutation-ops.ts';
import { oursOf } from '../testing/snp-mutant-reasons.ts';
import { openVectorSet, type Recipe, type Vector } from '../testing/vector-files.ts';
import { VECTOR_KINDS } from '../testing/vector-kinds.ts';
import { sortSnpCa, type VerifiedSnpCa, verifySnpCa } from './snp-ca.ts';
import { verifyIdBlock } from './snp-id-block.ts';
import { verifyRuntimeData, verifySnpReport } from './snp-report.ts';
import { type VerifiedVek, verifyVek } from './snp-vek.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const VECTORS = path.join(shared, 'vectors');
const files = new Map<string, Uint8Array>();
const { vectors, recipes, rolesOf, fileOf } = openVectorSet((name) => {
  const known = files.get(name) ?? Uint8Array.from(readFileSync(path.join(VECTORS, name)));
  files.set(name, known);
  return known;
}, VECTOR_KINDS.snp);

interface Situation {
  readonly product: SnpProduct;
  readonly key: VekKind;
  readonly at: Date;
}

/** `reasons`: rows that are not passed, or the code of a refusal to read. */
interface Verdict {
  readonly verdict: string;
  readonly reasons: readonly string[];
  readonly rows: ReadonlyMap<string, string>;
}

function memo<K, V>(compute: (input: K) => V, keyOf: (input: K) => string): (input: K) => V {
  const results = new Map<string, V>();
  return (input) => {
    const key = keyOf(input);
    const known = results.get(key);
    if (known !== undefined) return known;
    const value = compute(input);
    results.set(key, value);
    return value;
  };
}

const caCertificates = (product: SnpProduct, key: VekKind): X509Certificate[] =>
  key === 'vlek'
    ? parseX509Certificates(fileOf(`snpca-vlek-${product}`, 'asvk_ark'))
    : ['ark', 'ask'].map((role) => parseX509Certificate(fileOf(`snpca-${product}`, role)));

const situationKey = ({ product, key, at }: Situation) => `${product}/${key}/${at.getTime()}`;

const amdCa = memo(
  ({ product, key, at }: Situation): VerifiedSnpCa =>
    verifySnpCa(sortSnpCa(caCertificates(product, key)), { at, product }),
  situationKey,
);

const amdVek = memo(
  ({ bytes, situation }: { bytes: Uint8Array | undefined; situation: Situation }): VerifiedVek =>
    verifyVek(bytes && parseX509Certificate(bytes), amdCa(situation)),
  ({ bytes, situation }) => `${bytes === undefined ? '' : toHex(bytes)}/${situationKey(situation)}`,
);

function situationOf(vector: Vector, recipe?: Recipe): Situation {
  const { generation, key, evaluate_at: at } = { ...vector, ...recipe?.context };
  return { product: (generation ?? 'milan') as SnpProduct, key: key ?? 'vcek', at: new Date(at ?? 0) };
}

type Judge = (roles: Roles, situation: Situation) => AttestationResult;

const JUDGES: Readonly<Record<(typeof VECTOR_KINDS.snp)[number], Judge>> = {
  'amd-ca-snp': (roles, { at, product }) =>
    verifySnpCa(sortSnpCa([...roles.values()].flatMap(parseX509Certificates)), { at, product }),
  'vek-cert': (roles, situation) => amdVek({ bytes: roles.get(situation.key), situation }),
  crl: (roles, { product, at }) =>
    verifySnpCa(sortSnpCa(caCertificates(product, 'vcek')), { at, product, crl: parseCrl(file(roles, 'crl')) }),
  'snp-report': (roles, situation) => {
    const report = parseSnpReport(file(roles, 'report'));
    const buffer = roles.get('msg_report_rsp');
    if (buffer !== undefined) parseReportResponse(buffer);
    return verifySnpReport({ report }, amdVek({ bytes: roles.get(situation.key), situation }));
  },
  'tsm-report': (roles, situation) => {
    const { report, certificates } = parseTsmReport(file(roles, 'evidence'));
    return verifySnpReport({ report }, amdVek({ bytes: certificates.get('vcek'), situation }));
  },
  hcl: (roles, situation) => {
    const { report, runtimeData } = parseHclReport(file(roles, 'evidence'));
    const certificates = roles.get('certs');
    if (certificates === undefined) return verifyRuntimeData(report, runtimeData);
    const [vcek] = readCertificateFile(certificates);
    return verifySnpReport({ report, runtimeData }, amdVek({ bytes: vcek, situation }));
  },
  'coco-evidence': (roles, situation) => {
    const { hcl, vcek } = parseCocoEvidence(file(roles, 'evidence'));
    return verifySnpReport(hcl, verifyVek(vcek, amdCa(situation)));
  },
  'id-block': (roles) => {
    const { block } = idBlockOf(roles);
    const auth = roles.get('id_auth');
    if (auth === undefined) return { ok: true, checks: [] };
    return verifyIdBlock({ block, auth: parseIdAuth(auth) });
  },
};

function judge(vector: Vector, roles: Roles, situation: Situation): Verdict {
  try {
    const { ok, checks } = JUDGES[vector.kind as keyof typeof JUDGES](roles, situation);
    const wrong = checks.filter(({ outcome }) => outcome === 'failed' || outcome === 'incomplete');
    const failed = wrong.some(({ outcome }) => outcome === 'failed');
    return {
      verdict: ok ? 'valid' : failed ? 'invalid' : 'incomplete',
      reasons: wrong.map(({ id }) => id),
      rows: new Map(checks.map(({ id, outcome }) => [id, outcome])),
    };
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    return { verdict: 'invalid', reasons: [error.code], rows: new Map() };
  }
}

function file(roles: Roles, role: string): Uint8Array {
  const bytes = roles.get(role);
  if (bytes === undefined) throw new Error(`no file ${role}`);
  return bytes;
}

function idBlockOf(roles: Roles): { block: IdBlock; params: Readonly<Record<string, string>> } {
  const params = JSON.parse(Buffer.from(file(roles, 'params')).toString('utf8'));
  const digest = fromHex(params.launch_digest_hex ?? '') ?? new Uint8Array();
  const launchDigest = (digest.length > 0 ? digest : fromBase64(params.launch_digest_b64)) as SnpLaunchDigest;
  const id = new Uint8Array(16);
  const block = { launchDigest, familyId: id, imageId: id, guestSvn: 0, policy: BigInt(params.policy) };
  return { block, params };
}

const AMD_CHECKS: Readonly<Record<string, readonly string[]>> = {
  ark_self_signature: ['snp.ark-pinned', 'snp.root-is-amd', 'snp.ark-self-signed'],
  ask_signed_by_ark: ['snp.ask-signed-by-ark'],
  names: ['snp.ca-names', 'snp.root-of-product'],
  ca_flags: ['snp.ark-well-formed', 'snp.ask-well-formed'],
  vek_signed_by_issuer: ['snp.vek-signed-by-ca'],
  report_signature: ['snp.report-signature'],
  tcb_matches_vek: ['snp.report-tcb-matches-vek'],
  hwid_matches: ['snp.report-chip-id-matches-vek'],
  crl_signature_by_ark: ['snp.crl-signed-by-ark', 'snp.crl-fresh', 'snp.ca-not-revoked'],
  report_data_binds_runtime_data: ['snp.report-data-binds-runtime-data'],
  id_block_signature: ['id-block.signed-by-id-key'],
  id_key_signed_by_author: ['id-block.id-key-signed-by-author'],
};
const OUTCOMES: Readonly<Record<string, readonly string[]>> = {
  pass: ['passed'],
  // A row behind a failed one is not decided.
  fail: ['failed', 'skipped'],
  'n/a': ['skipped'],
};
/** Why each vector is refused, first row first; the manifest says the same in words. */
const REFUSALS: Readonly<Record<string, readonly string[]>> = {
  'hcl-azure-vcek-mismatch': ['snp.report-chip-id-matches-vek', 'snp.report-signature'],
  'snp-trustee-wrong-vcek-legacy': [
    'snp.vek-signed-by-ca',
    'snp.report-tcb-matches-vek',
    'snp.report-chip-id-matches-vek',
  ],
  'snp-lit-report-no-vcek': ['snp.vek-well-formed'],
  'snp-lit-bad-signature-trailing': ['SNP_REPORT_MALFORMED'],
  'snp-mssidecar-fake-v1': ['snp.report-tcb-matches-vek', 'snp.report-signature'],
};

describe('SEV-SNP evidence made by others', () => {
  it('is all here', () => {
    expect([vectors.length, recipes.length]).toEqual([34, 192]);
  });

  it.each(vectors)('$id gets the verdict and rows of its manifest', (vector) => {
    const outcome = judge(vector, rolesOf(vector), situationOf(vector));
    const { verdict, checks } = vector.expect;
    expect(outcome.reasons).toEqual(REFUSALS[vector.id] ?? []);
    expect(outcome.verdict).toBe(verdict === 'unverifiable' ? 'incomplete' : verdict);
    for (const [check, expected] of Object.entries(checks)) {
      for (const row of vector.kind === 'id-block' && !outcome.rows.size ? [] : (AMD_CHECKS[check] ?? [])) {
        expect(OUTCOMES[expected], `${row} is ${outcome.rows.get(row)}`).toContain(outcome.rows.get(row));
      }
    }
  });

  it('reports, buffers and ID pages are encoded to the bytes they came from', () => {
    const reports = vectors
      .flatMap((vector) => rolesOf(vector).get('report') ?? [])
      .filter(({ length }) => length === 1184);
    expect(reports.length).toBe(16);
    for (const bytes of reports) expect(toHex(encodeSnpReport(parseSnpReport(bytes)))).toBe(toHex(bytes));
    expect(parseReportResponse(fileOf('snp-lit-report-no-vcek', 'msg_report_rsp')).version).toBe(2);
    const page = fileOf('idblock-virtee', 'id_auth');
    expect(toHex(encodeIdAuth(parseIdAuth(page)))).toBe(toHex(page));
  });

  it('certificates read as OpenSSL reads them', () => {
    const all = vectors.flatMap((vector) => {
      const roles = rolesOf(vector);
      return ['ark', 'ask', 'asvk_ark', 'vcek', 'vlek', 'certs'].flatMap((role) => {
        const bytes = roles.get(role);
        return bytes === undefined ? [] : readCertificateFile(bytes);
      });
    });
    expect(all.length).toBeGreaterThan(30);
    for (const der of all) {
      const [ours, theirs] = [parseX509Certificate(der), new OpensslCertificate(der)];
      expect(ours.notBefore).toEqual(new Date(theirs.validFrom));
      expect(ours.notAfter).toEqual(new Date(theirs.validTo));
      expect(ours.serialHex.toUpperCase()).toBe(theirs.serialNumber.padStart(2, '0').replace(/^(?=(..)*.$)/, '0'));
      const jwk = theirs.publicKey.export({ format: 'jwk' });
      const key = ours.publicKey;
      const shown = key.kind === 'rsa' ? key.modulus : key.kind === 'p384' ? key.point.x : new Uint8Array();
      expect(Buffer.from(shown).toString('base64url')).toBe(key.kind === 'rsa' ? jwk.n : jwk.x);
    }
  });

  it('the table of a TSM report holds ARK, ASK and VCEK', () => {
    const { certificates } = parseTsmReport(fileOf('tsm-veraison-milan', 'evidence'));
    expect([...certificates.keys()]).toEqual(['ark', 'ask', 'vcek']);
  });

  it.each(['idblock-virtee', 'idblock-sevsnpmeasure'])(
    '%s: block and key digests are as their tool gives them',
    (id) => {
      const vector = vectors.find((candidate) => candidate.id === id);
      if (vector === undefined) throw new Error(id);
      const roles = rolesOf(vector);
      const { block, params } = idBlockOf(roles);
      const encoded = encodeIdBlock(block);
      expect(toBase64(encoded)).toBe(params.expected_id_block_b64);
      expect([encoded.length, parseIdBlock(encoded)]).toEqual([ID_BLOCK_LENGTH, block]);
      const digest = (role: string) => toBase64(computeIdKeyDigest(pointOf(file(roles, role))));
      expect(digest('id_key_private_TEST_ONLY')).toBe(params.expected_id_key_digest_b64);
      expect(digest('author_key_private_TEST_ONLY')).toBe(params.expected_author_key_digest_b64);
    },
  );
});

function pointOf(pem: Uint8Array): EcPoint {
  const { d = '' } = createPrivateKey(Buffer.from(pem)).export({ format: 'jwk' });
  return derivePoint(Uint8Array.from(Buffer.from(d, 'base64url')));
}

describe('mutants of that evidence', () => {
  const { results } = JSON.parse(readFileSync(path.join(VECTORS, 'mutations_results.json'), 'utf8')) as {
    results: { id: string; mutants: number; reasons: Record<string, number> }[];
  };
  const known = new Map(results.map((result) => [result.id, result]));
  const bases = new Map(vectors.map((vector) => [vector.id, { vector, roles: rolesOf(vector) }]));

  it.each(recipes)('$id ($class)', (recipe) => {
    const base = bases.get(recipe.base);
    if (base === undefined) throw new Error(recipe.base);
    const { vector, roles } = base;
    const made = mutants(roles, recipe.ops, fileOf);
    const theirs = known.get(recipe.id);
    expect(made.length).toBe(theirs?.mutants);
    const expected = oursOf(theirs?.reasons ?? {});
    const situation = situationOf(vector, recipe);
    for (const [index, mutant] of made.entries()) {
      const { verdict, reasons } = judge(vector, mutant, situation);
      expect(verdict === 'valid', `mutant ${index}: ${reasons.join()}`).toBe(recipe.class === 'control');
      if (recipe.class === 'control') continue;
      expect(
        reasons.some((reason) => expected.includes(reason)),
        `mutant ${index}: ${reasons.join()} is none of ${expected.join()}`,
      ).toBe(true);
    }
  });
});
