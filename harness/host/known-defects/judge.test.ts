import { describe, expect, it } from 'vitest';
import { KNOWN_DEFECTS } from './catalogue.ts';
import {
  countLookedAt,
  countMeans,
  formatDefects,
  judgeDefects,
  undecided,
  unjudged,
  untested,
  vulnerableTo,
} from './judge.ts';
import type { DefectReadings } from './readings.ts';

const good: DefectReadings = {
  generation: 'Milan',
  firmware: { apiMajor: 1, apiMinor: 55, build: 29 },
  microcode: 0x0a0011db,
  kernel: '6.12.0',
  isSnpOn: false,
  tcb: { because: 'SEV-SNP is off' },
  isCiphertextHidden: false,
  tests: {
    badPoints: { passed: true, words: 'refused' },
    debug: { passed: true, words: 'refused' },
    ciphertext: { passed: false, words: 'the same' },
    addresses: { passed: false, words: 'the same' },
    esBesideSnp: { words: 'SEV-SNP is off' },
  },
};
const SNP_ON: Partial<DefectReadings> = { isSnpOn: true, tcb: { snp: 0x1b, ucode: 219 } };

function verdicts(changes: Partial<DefectReadings> = {}): Readonly<Record<string, string>> {
  const judged = judgeDefects({ ...good, ...changes });
  return Object.fromEntries(judged.map(({ defect, verdict }) => [defect.id, verdict]));
}

/** Verdicts that a change of the readings changes. */
function changed(changes: Partial<DefectReadings>): Readonly<Record<string, string>> {
  const before = verdicts();
  return Object.fromEntries(Object.entries(verdicts(changes)).filter(([id, verdict]) => verdict !== before[id]));
}

describe('the list of defects', () => {
  it('has a verdict and a reason for each, on every generation', () => {
    for (const generation of [
      'Naples',
      'Rome',
      'Milan',
      'Genoa',
      'Bergamo or Siena',
      'Turin',
      'Turin Dense',
      undefined,
    ]) {
      const judged = judgeDefects({ ...good, generation });
      expect(judged).toHaveLength(KNOWN_DEFECTS.length);
      expect(judged.filter(({ because }) => because === '')).toEqual([]);
    }
  });

  it('is printed whole, what nobody can see included', () => {
    const text = formatDefects('a machine', good, judgeDefects(good));
    for (const { names } of KNOWN_DEFECTS) expect(text).toContain(names);
    expect(text).toContain('cannot be seen from outside');
  });

  it('says how many entries each means looked at, and adds up to the whole', () => {
    const judged = judgeDefects(good);
    const means = ['test', 'version', 'platform bit', 'none'] as const;
    const number = (text: string) => Number(/^\d+/.exec(text)?.[0]);
    const sum = means.reduce((total, by) => total + number(countLookedAt(judged, by)), 0);
    expect(sum).toBe(KNOWN_DEFECTS.length);
    expect(countLookedAt(judged, 'test')).toMatch(/^\d+ entries by test: (\d+ [a-z ]+, )*\d+ [a-z ]+$/);
    const [all, ...each] = [...countMeans(judged).matchAll(/\d+/g)].map(([digits]) => Number(digits));
    expect(all).toBe(KNOWN_DEFECTS.length);
    expect(each).toEqual(means.map((by) => number(countLookedAt(judged, by))));
  });

  it('says how many entries stay undecided, and where they are named', () => {
    const judged = judgeDefects(good);
    const open = judged.filter(({ verdict }) => verdict === 'unknown' || verdict === 'unseen');
    expect(undecided(judged, 'a.txt')).toMatch(
      new RegExp(`^whether ${open.length} of ${judged.length} known defects are fixed here .*: a.txt names them$`),
    );
    expect(
      undecided(
        judged.filter((row) => !open.includes(row)),
        'a.txt',
      ),
    ).toBeUndefined();
  });

  it('names each defect once', () => {
    expect(new Set(KNOWN_DEFECTS.map(({ id }) => id)).size).toBe(KNOWN_DEFECTS.length);
  });
});

describe('a verdict', () => {
  it('is vulnerable below a floor, and for nothing else', () => {
    expect(changed({ firmware: { apiMajor: 1, apiMinor: 55, build: 21 } })).toEqual({ badram: 'vulnerable' });
    expect(changed({ microcode: 0x0a0011da })).toEqual({ entrysign: 'vulnerable', cachewarp: 'unknown' });
  });

  it.each([
    ['Naples', 0, 17, 21, 'vulnerable'],
    ['Naples', 0, 17, 22, 'fixed'],
    ['Naples', 0, 16, 99, 'vulnerable'],
    ['Naples', 1, 0, 0, 'fixed'],
    ['Rome', 0, 17, 1, 'not affected'],
  ])(
    'of the invalid-curve attack on %s with firmware %i.%i build %i is %s',
    (generation, apiMajor, apiMinor, build, is) => {
      expect(verdicts({ generation, firmware: { apiMajor, apiMinor, build } })['invalid-curve-version']).toBe(is);
    },
  );

  it('is unknown where a version cannot be read, and says what is missing', () => {
    const blind = { ...good, firmware: undefined, microcode: undefined };
    const judged = judgeDefects(blind);
    expect(judged.filter(({ missing }) => missing !== undefined).map(({ verdict }) => verdict)).toEqual([
      'unknown',
      'unknown',
      'unknown',
    ]);
    expect(unjudged(judged)).toEqual([
      'cachewarp: no microcode',
      'badram: no firmware version',
      'entrysign: no microcode',
    ]);
    expect(vulnerableTo(judged, 'version', 'test', 'platform bit')).toEqual([]);
  });

  it('of a failed test is vulnerable, unless the property is one of the generation', () => {
    const tests = { ...good.tests, debug: { passed: false, words: 'SUCCESS' } };
    expect(changed({ tests })).toEqual({ 'debug-under-nodbg': 'vulnerable' });
    expect(vulnerableTo(judgeDefects({ ...good, tests }), 'test')).toEqual([
      'debug-under-nodbg (no CVE: a functional test): SUCCESS',
    ]);
    expect(verdicts()['ciphertext-side-channel']).toBe('exposed');
    expect(verdicts({ isCiphertextHidden: true })['ciphertext-side-channel']).toBe('vulnerable');
  });

  it('of a test that could not be made is unknown, and is said', () => {
    const tests = { ...good.tests, badPoints: { words: 'no KVM' } };
    expect(untested(judgeDefects({ ...good, tests }))).toEqual(['invalid-curve was not tested: no KVM']);
  });

  it('of SEV-ES beside SEV-SNP needs SEV-SNP on, then a test or the security version', () => {
    const verdict = (changes: Partial<DefectReadings>) => verdicts(changes)['es-beside-snp'];
    expect(verdict({})).toBe('not affected');
    expect(verdict(SNP_ON)).toBe('fixed');
    expect(verdict({ ...SNP_ON, tcb: { snp: 0x1a, ucode: 219 } })).toBe('vulnerable');
    expect(verdict({ ...SNP_ON, generation: 'Turin', tcb: { snp: 4, ucode: 1 } })).toBe('fixed');
    const esBesideSnp = { passed: false, words: 'started' };
    expect(verdict({ ...SNP_ON, tests: { ...good.tests, esBesideSnp } })).toBe('vulnerable');
    expect(verdict({ isSnpOn: true })).toBe('unknown');
  });

  it('of microcode takes the TCB into account where it is told', () => {
    expect(verdicts({ ...SNP_ON, tcb: { snp: 0x1b, ucode: 218 } }).entrysign).toBe('vulnerable');
    expect(verdicts(SNP_ON).entrysign).toBe('fixed');
    expect(verdicts({ microcode: 0x0b00_2147 }).entrysign).toBe('unknown');
  });
});
