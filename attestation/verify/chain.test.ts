import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import { mergeChains, parseCertChain, parseChainFile } from '../certs/chain-files.ts';
import { forgePlatform } from '../testing/platform.ts';
import { PLATFORM_DEFECTS, type PlatformDefect } from '../testing/platform-defects.ts';
import { seededRandom } from '../testing/seeded-random.ts';
import { type ChainOptions, verifyChain } from './chain.ts';
import { verifyRoots } from './chain-roots.ts';
import type { ChainRowId } from './chain-rules.ts';

const BEHIND_PEK: ChainRowId[] = ['chain.pdh-signed-by-pek'];
const BEHIND_CEK: ChainRowId[] = ['chain.pek-signed-by-cek', ...BEHIND_PEK];
const BEHIND_ASK: ChainRowId[] = ['chain.cek-signed-by-ask', ...BEHIND_CEK];
const BEHIND_ARK: ChainRowId[] = ['chain.ask-signed-by-ark', ...BEHIND_ASK];

/** Rows that cannot be decided, or would mean nothing, once the row on the left has failed. */
const DEPENDENTS: Readonly<Partial<Record<ChainRowId, readonly ChainRowId[]>>> = {
  'chain.ark-well-formed': [
    'chain.ark-pinned',
    'chain.root-is-amd',
    'chain.ark-self-signed',
    'chain.ca-ids-consistent',
    ...BEHIND_ARK,
  ],
  'chain.ark-pinned': ['chain.root-is-amd', ...BEHIND_ARK],
  'chain.ark-self-signed': BEHIND_ARK,
  'chain.ask-well-formed': ['chain.ca-ids-consistent', ...BEHIND_ARK],
  'chain.ca-ids-consistent': BEHIND_ASK,
  'chain.ask-signed-by-ark': BEHIND_ASK,
  'chain.cek-well-formed': ['chain.cek-not-revoked', ...BEHIND_ASK],
  'chain.cek-not-revoked': BEHIND_CEK,
  'chain.cek-signed-by-ask': BEHIND_CEK,
  'chain.oca-well-formed': ['chain.oca-self-signed', 'chain.pek-signed-by-oca', ...BEHIND_PEK],
  'chain.oca-self-signed': ['chain.pek-signed-by-oca', ...BEHIND_PEK],
  'chain.pek-well-formed': ['chain.pek-signed-by-oca', ...BEHIND_CEK],
  'chain.pek-signed-by-oca': BEHIND_PEK,
  'chain.pek-signed-by-cek': BEHIND_PEK,
  'chain.pdh-well-formed': BEHIND_PEK,
};

const sound = forgePlatform({ random: seededRandom('chain') });
const baseline = verifyChain(sound.chain, sound.verification);

function outcomes(checks: typeof baseline.checks): Record<string, string> {
  return Object.fromEntries(checks.map((row) => [row.id, row.outcome]));
}

describe('a sound forged platform', () => {
  it('is valid under its own root, every row passed, and says that the root is not AMD', () => {
    expect(baseline).toMatchObject({ ok: true, verdict: 'valid', root: { isAmd: false, product: undefined } });
    expect(baseline.checks.filter((row) => row.outcome !== 'passed')).toEqual([
      expect.objectContaining({ id: 'chain.root-is-amd', because: expect.stringMatching(/^not AMD/) }),
    ]);
  });

  it('is refused when the caller does not pass its root', () => {
    const { verdict, ok, checks } = verifyChain(sound.chain);
    expect({ verdict, ok }).toEqual({ verdict: 'invalid', ok: false });
    expect(checks.filter((row) => row.outcome === 'failed').map((row) => row.id)).toEqual(['chain.ark-pinned']);
  });

  it('is valid with 4096-bit CA keys too, signed with SHA-384', () => {
    const platform = forgePlatform({ caKeyBits: 4096 });
    expect(verifyChain(platform.chain, platform.verification).verdict).toBe('valid');
  });

  it('is refused under an AMD root of its generation that was asked for', () => {
    const { checks, verdict } = verifyChain(sound.chain, { ...sound.verification, product: 'milan' });
    expect(verdict).toBe('invalid');
    expect(outcomes(checks)['chain.root-of-product']).toBe('failed');
  });
});

describe('each defect turns its own row and skips what depends on it', () => {
  it.each(Object.keys(PLATFORM_DEFECTS) as PlatformDefect[])('%s', (name) => {
    const defect = PLATFORM_DEFECTS[name];
    const platform = forgePlatform({ defect: name, random: seededRandom('chain') });
    const result = verifyChain(platform.chain, platform.verification);
    const expected: Record<string, string> = { ...outcomes(baseline.checks), [defect.row]: defect.outcome };
    if (defect.outcome === 'failed') for (const row of DEPENDENTS[defect.row] ?? []) expected[row] = 'skipped';
    expect(outcomes(result.checks)).toEqual(expected);
    expect(result.ok).toBe(false);
    expect(result.verdict).toBe(defect.outcome === 'failed' ? 'invalid' : 'incomplete');
    for (const row of result.checks.filter((check) => check.outcome !== 'passed')) expect(row.because).toBeTruthy();
  });
});

describe('what is missing', () => {
  const cases: [role: keyof typeof sound.chain, row: ChainRowId][] = [
    ['ark', 'chain.ark-well-formed'],
    ['ask', 'chain.ask-well-formed'],
    ['cek', 'chain.cek-well-formed'],
    ['pek', 'chain.pek-well-formed'],
    ['pdh', 'chain.pdh-well-formed'],
  ];

  it.each(cases)('a chain without its %s is incomplete, with a hint, and never a pass', (role, row) => {
    const result = verifyChain({ ...sound.chain, [role]: undefined }, sound.verification);
    expect(result).toMatchObject({ ok: false, verdict: 'incomplete' });
    expect(result.checks.filter((check) => check.outcome === 'incomplete')).toEqual([
      expect.objectContaining({ id: row, hint: expect.any(String) }),
    ]);
  });

  it('a chain without OCA stays valid: the anchor is the CEK', () => {
    const result = verifyChain({ ...sound.chain, oca: undefined }, sound.verification);
    expect(result).toMatchObject({ ok: true, verdict: 'valid' });
    expect(outcomes(result.checks)).toMatchObject({
      'chain.oca-well-formed': 'skipped',
      'chain.oca-self-signed': 'skipped',
      'chain.pek-signed-by-oca': 'skipped',
      'chain.pek-signed-by-cek': 'passed',
    });
  });

  it('an empty chain is incomplete, not valid', () => {
    expect(verifyChain({})).toMatchObject({ ok: false, verdict: 'incomplete', root: undefined });
  });

  it('the firmware’s own export is incomplete, its other rows pass, and the hint has the address of the signed CEK', () => {
    const exported = mergeChains(parseCertChain(sound.files.certChain), parseChainFile(sound.files.pdh));
    const chipId = new Uint8Array(64).fill(0xa5);
    const result = verifyChain(mergeChains(exported, parseChainFile(sound.files.askArk)), {
      ...sound.verification,
      chipId,
    });
    expect(result.verdict).toBe('incomplete');
    expect(result.checks.find((row) => row.id === 'chain.cek-signed-by-ask')).toMatchObject({
      outcome: 'incomplete',
      hint: expect.stringContaining(`https://kdsintf.amd.com/cek/id/${'A5'.repeat(64)}`),
    });
    expect(outcomes(result.checks)).toMatchObject({
      'chain.pek-signed-by-cek': 'passed',
      'chain.pdh-signed-by-pek': 'passed',
    });
  });

  it('the signed CEK completes the export', () => {
    const parts = [sound.files.certChain, sound.files.pdh, sound.files.askArk, sound.files.cek].map(parseChainFile);
    expect(verifyChain(mergeChains(...parts), sound.verification).verdict).toBe('valid');
  });
});

describe('leaf', () => {
  it.each([
    ['cek', ['chain.pek-well-formed', 'chain.oca-well-formed', 'chain.pdh-well-formed']],
    ['pek', ['chain.pdh-well-formed']],
  ] as const)('%s needs nothing below it', (leaf, absent) => {
    const { cek, ask, ark, pek } = sound.chain;
    const result = verifyChain({ ...(leaf === 'pek' ? { pek } : {}), cek, ask, ark }, { ...sound.verification, leaf });
    expect(result).toMatchObject({ ok: true, verdict: 'valid' });
    for (const id of absent) expect(outcomes(result.checks)).not.toHaveProperty(id);
  });
});

describe('verifyRoots', () => {
  it('gives the same rows, once verified, to every chain under it', () => {
    const roots = verifyRoots(sound.chain, sound.verification);
    const { pdh, pek, oca } = sound.chain;
    expect(verifyChain({ pdh, pek, oca }, { roots })).toEqual(baseline);
    expect(verifyChain(sound.chain, { roots })).toEqual(baseline);
  });

  it('does not accept another CEK on the strength of the verified one', () => {
    const roots = verifyRoots(sound.chain, sound.verification);
    const other = forgePlatform({ defect: 'cek-signed-by-wrong-ask', random: seededRandom('chain') });
    const result = verifyChain({ ...sound.chain, cek: other.chain.cek }, { roots });
    expect(outcomes(result.checks)['chain.cek-signed-by-ask']).toBe('failed');
  });

  it('carries a broken root into every chain', () => {
    const roots = verifyRoots(sound.chain);
    expect(outcomes(verifyChain(sound.chain, { roots }).checks)).toMatchObject({
      'chain.ark-pinned': 'failed',
      'chain.pdh-signed-by-pek': 'skipped',
    });
  });

  it('refuses a chain whose ARK or ASK is another one than it verified', () => {
    const roots = verifyRoots(sound.chain, sound.verification);
    const other = forgePlatform({ random: seededRandom('other') });
    const act = () => verifyChain({ ...sound.chain, ark: other.chain.ark }, { roots });
    expect(act).toThrow(expect.objectContaining({ code: 'CHAIN_CERTIFICATES_CONFLICT' }));
  });
});

it('no single bit of a full export can be changed without a refusal', () => {
  const file = sound.files.fullExport;
  const options: ChainOptions = { roots: verifyRoots(sound.chain, sound.verification) };
  const whole = sound.verification;
  for (let bit = 0; bit < file.length * 8; bit += 97) {
    const mutant = Uint8Array.from(file);
    mutant[bit >> 3] = (mutant[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const inRoots = bit >> 3 >= 3 * 2084;
    expect(accepts(mutant, inRoots ? whole : options), `bit ${bit & 7} of byte ${bit >> 3}`).toBe(false);
  }
  expect(accepts(file, whole)).toBe(true);
}, 60_000);

function accepts(file: Uint8Array, options: ChainOptions): boolean {
  try {
    return verifyChain(parseChainFile(file), options).ok;
  } catch (error) {
    if (isSevHarnessError(error)) return false;
    throw error;
  }
}
