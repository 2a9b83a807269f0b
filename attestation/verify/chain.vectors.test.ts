import { createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import { parseAmdCaCertificate } from '../certs/amd-ca.ts';
import { type ChainCertificates, mergeChains, parseAskArk, parseCertChain } from '../certs/chain-files.ts';
import { p384Spki } from '../certs/p384.ts';
import type { Product } from '../certs/products.ts';
import { parseSevCertificate } from '../certs/sev-certificate.ts';
import { mutants, type Roles } from '../testing/mutation-ops.ts';
import { openVectorSet, type Recipe, type Vector } from '../testing/vector-files.ts';
import { VECTOR_KINDS } from '../testing/vector-kinds.ts';
import { verifyChain } from './chain.ts';
import { type VerifiedRoots, verifyRoots } from './chain-roots.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const { vectors, recipes, rolesOf, fileOf } = openVectorSet(
  (name) => Uint8Array.from(readFileSync(path.join(shared, 'vectors', name))),
  VECTOR_KINDS.chain,
);

const GENERATIONS: readonly Product[] = ['naples', 'rome', 'milan', 'genoa', 'turin'];
const ROWS: Readonly<Record<string, readonly string[]>> = {
  ark_self_signature: ['chain.ark-self-signed'],
  ask_signed_by_ark: ['chain.ask-signed-by-ark'],
  ids_consistent: ['chain.ca-ids-consistent'],
  usages: ['chain.ark-well-formed', 'chain.ask-well-formed'],
  exact_length: ['chain.ark-well-formed', 'chain.ask-well-formed'],
  key_sizes: ['chain.ark-well-formed', 'chain.ask-well-formed'],
  cek_signed_by_ask: ['chain.cek-signed-by-ask'],
  oca_self_signature: ['chain.oca-self-signed'],
  pek_signed_by_oca: ['chain.pek-signed-by-oca'],
  pek_signed_by_cek: ['chain.pek-signed-by-cek'],
  pdh_signed_by_pek: ['chain.pdh-signed-by-pek'],
};

interface Outcome {
  readonly verdict: string;
  readonly rows: ReadonlyMap<string, string>;
  readonly thrown?: string;
}

const amdRoots = new Map<string, VerifiedRoots>();

function rootsOf(generation: string): VerifiedRoots | undefined {
  const product = GENERATIONS.find((name) => name === generation);
  if (product === undefined) return undefined;
  const known = amdRoots.get(product);
  if (known !== undefined) return known;
  const [ark, ask] = (['ark', 'ask'] as const).map((role) => parseAmdCaCertificate(fileOf(`sevca-${product}`, role)));
  const roots = verifyRoots({ ark, ask }, { product });
  amdRoots.set(product, roots);
  return roots;
}

function judge(vector: Vector, roles: Roles, generation = vector.generation ?? ''): Outcome {
  try {
    return vector.kind === 'amd-ca-sev' ? judgeCa(roles) : judgeChain(roles, generation);
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    return { verdict: 'invalid', rows: new Map(), thrown: error.message };
  }
}

function judgeCa(roles: Roles): Outcome {
  const [ark, ask, both] = ['ark', 'ask', 'ask_ark'].map((role) => roles.get(role));
  const certificates = {
    ark: ark === undefined ? undefined : parseAmdCaCertificate(ark),
    ask: ask === undefined ? undefined : parseAmdCaCertificate(ask),
    ...(both === undefined ? {} : parseAskArk(both)),
  };
  const checks = verifyRoots(certificates).checks.filter((row) => !row.id.startsWith('chain.cek-'));
  const worst = (['failed', 'incomplete'] as const).find((outcome) => checks.some((row) => row.outcome === outcome));
  return {
    verdict: worst === undefined ? 'valid' : worst === 'failed' ? 'invalid' : 'incomplete',
    rows: new Map(checks.map((row) => [row.id, row.outcome])),
  };
}

function judgeChain(roles: Roles, generation: string): Outcome {
  const cert = (role: string) => {
    const bytes = roles.get(role);
    return bytes === undefined ? undefined : parseSevCertificate(bytes);
  };
  const exported = roles.get('chain_pek_oca_cek');
  const single: ChainCertificates = { pdh: cert('pdh'), pek: cert('pek'), oca: cert('oca'), cek: cert('cek') };
  const chain = exported === undefined ? single : mergeChains(parseCertChain(exported), { pdh: cert('pdh') });
  const roots = rootsOf(generation);
  const onlyCek = roles.has('cek') && !roles.has('pdh');
  const result = verifyChain(chain, { ...(roots === undefined ? {} : { roots }), leaf: onlyCek ? 'cek' : 'pdh' });
  return { verdict: result.verdict, rows: new Map(result.checks.map((row) => [row.id, row.outcome])) };
}

const OUTCOMES: Readonly<Record<string, string>> = { pass: 'passed', fail: 'failed', missing: 'incomplete' };

describe('third-party certificates', () => {
  it('are all here', () => {
    expect(vectors.length).toBe(20);
    expect(recipes.length).toBe(434);
  });

  it.each(vectors.map((vector) => [vector.id, vector] as const))(
    '%s gets the rows that its manifest expects',
    (_, vector) => {
      const outcome = judge(vector, rolesOf(vector));
      for (const [check, expected] of Object.entries(vector.expect.checks)) {
        if (check === 'data_signed_by_cek') continue;
        if (outcome.thrown !== undefined) {
          expect(expected, `${check}: ${outcome.thrown}`).toBe('fail');
          expect(outcome.thrown).toMatch(
            check === 'exact_length' ? /expected 832 or 1600 bytes, got 576/ : /sizes of 2048 bits/,
          );
          continue;
        }
        for (const row of ROWS[check] ?? ['unknown'])
          expect([row, outcome.rows.get(row)]).toEqual([row, OUTCOMES[expected]]);
      }
      // A lone OCA is valid by itself but leads nowhere; the leaked CEK is valid but for the deny list.
      const expectedVerdict =
        vector.id === 'sevcert-oca-sevtool' ? 'incomplete' : vector.denylist ? 'invalid' : vector.expect.verdict;
      expect(outcome.verdict).toBe(expectedVerdict);
    },
  );

  it('the extracted Naples CEK is genuine, and the deny list is the only row that refuses it', () => {
    const cek = parseSevCertificate(fileOf('sevcert-cek-naples-leaked', 'cek'));
    const key = createPublicKey({ key: Buffer.from(p384Spki(cek.publicKey)), format: 'der', type: 'spki' });
    const data = fileOf('sevcert-cek-naples-leaked', 'data');
    expect(verify('sha256', data, key, fileOf('sevcert-cek-naples-leaked', 'data_sig'))).toBe(true);
    const roots = rootsOf('naples');
    if (roots === undefined) throw new Error('no Naples roots');
    const { checks } = verifyChain({ cek }, { roots, leaf: 'cek' });
    expect(checks.filter((row) => row.outcome !== 'passed').map((row) => row.id)).toEqual(['chain.cek-not-revoked']);
  });

  it('a CEK that firmware exported, API 0.16 and unsigned, is completed by the one that AMD signed, API 0.14', () => {
    const exported = parseSevCertificate(fileOf('sevcert-cek-unsigned', 'cek'));
    const signed = parseSevCertificate(fileOf('sevchain-virtee-naples', 'cek'));
    expect([exported.apiMinor, signed.apiMinor]).toEqual([16, 14]);
    expect(mergeChains({ cek: exported }, { cek: signed })).toEqual({ cek: signed });
    expect(mergeChains({ cek: signed }, { cek: exported })).toEqual({ cek: signed });
  });

  it.each(GENERATIONS)('the %s root is AMD’s, and no other product’s', (product) => {
    const { ark, ask } = rootsOf(product)?.certificates ?? {};
    expect(verifyRoots({ ark, ask }).root).toMatchObject({ isAmd: true, product });
    for (const other of GENERATIONS) {
      const row = verifyRoots({ ark, ask }, { product: other }).checks.find(
        (check) => check.id === 'chain.root-of-product',
      );
      expect(row?.outcome).toBe(other === product ? 'passed' : 'failed');
    }
  });
});

describe('mutants', () => {
  const byBase = new Map<string, Recipe[]>();
  for (const recipe of recipes) byBase.set(recipe.base, [...(byBase.get(recipe.base) ?? []), recipe]);

  it.each([...byBase])('of %s are refused, and its controls keep their verdict', (base, group) => {
    const vector = vectors.find((candidate) => candidate.id === base);
    if (vector === undefined) throw new Error(base);
    const wrong: string[] = [];
    for (const recipe of group) {
      for (const roles of mutants(rolesOf(vector), recipe.ops, fileOf)) {
        const { verdict } = judge(vector, roles, recipe.context?.generation);
        const expected = recipe.expect.verdict;
        const agrees = expected === 'not-valid' ? verdict !== 'valid' : verdict === expected;
        if (!agrees) wrong.push(`${recipe.id}: ${verdict}, expected ${expected}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});
