import { describe, expect, test } from 'vitest';
import { concatBytes, toBase64, toHex } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchDigest, Mnonce, Tik } from '../brands.ts';
import { computeLaunchMeasurement, type LaunchContext } from '../measurement/measurement.ts';
import { attestationResult, type CheckOutcome } from '../result.ts';
import { type LaunchEvidence, verifyLaunch } from './launch.ts';

const TIK = new Secret(new Uint8Array(16).fill(0x42) as Tik);
const DIGEST = new Uint8Array(32).fill(0xd1) as LaunchDigest;
const MNONCE = new Uint8Array(16).fill(0x9c) as Mnonce;
const CONTEXT: LaunchContext = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 0x5 };
const MEASUREMENT = computeLaunchMeasurement(TIK, CONTEXT, DIGEST, MNONCE);
const BLOB = concatBytes(MEASUREMENT, MNONCE);

const BASELINE: LaunchEvidence = {
  measurement: toBase64(BLOB),
  context: CONTEXT,
  digest: DIGEST,
  tik: TIK,
  mnonce: MNONCE,
};

function outcomes(evidence: Partial<LaunchEvidence>): Record<string, CheckOutcome> {
  return Object.fromEntries(verifyLaunch({ ...BASELINE, ...evidence }).checks.map(({ id, outcome }) => [id, outcome]));
}

const GREEN = {
  'launch.measurement-encoding': 'passed',
  'launch.measurement-length': 'passed',
  'launch.tik-present': 'passed',
  'launch.tik-not-zero': 'passed',
  'launch.measurement-matches': 'passed',
  'launch.nonce-matches': 'passed',
};
const flip = (bytes: Uint8Array, index: number) => bytes.map((byte, at) => (at === index ? byte ^ 1 : byte));
const mismatch = { 'launch.measurement-matches': 'failed' };

describe('verifyLaunch', () => {
  test('passes every row of the baseline', () => {
    expect(outcomes({})).toEqual(GREEN);
    expect(verifyLaunch(BASELINE).ok).toBe(true);
  });

  test.each<[string, Partial<LaunchEvidence>, Record<string, string>]>([
    ['the first bit of the measurement', { measurement: toBase64(flip(BLOB, 0)) }, mismatch],
    ['the last bit of the measurement', { measurement: toBase64(flip(BLOB, 31)) }, mismatch],
    [
      'a bit of the nonce in the blob',
      { measurement: toBase64(flip(BLOB, 47)) },
      { ...mismatch, 'launch.nonce-matches': 'failed' },
    ],
    ['the nonce stated beside it', { mnonce: flip(MNONCE, 0) }, { 'launch.nonce-matches': 'failed' }],
    ['a stated nonce of 15 bytes', { mnonce: MNONCE.slice(1) }, { 'launch.nonce-matches': 'failed' }],
    ['the digest', { digest: flip(DIGEST, 31) as LaunchDigest }, mismatch],
    ['the policy', { context: { ...CONTEXT, policy: 0x1 } }, mismatch],
    ['the API major version', { context: { ...CONTEXT, apiMajor: 0 } }, mismatch],
    ['the API minor version', { context: { ...CONTEXT, apiMinor: 54 } }, mismatch],
    ['the build', { context: { ...CONTEXT, buildId: 22 } }, mismatch],
    ['the key', { tik: new Secret(new Uint8Array(16).fill(0x43)) }, mismatch],
    [
      'a stray character in the base64',
      { measurement: `${toBase64(BLOB).slice(0, 5)}*${toBase64(BLOB).slice(5)}` },
      {
        'launch.measurement-encoding': 'failed',
        'launch.measurement-length': 'skipped',
        'launch.measurement-matches': 'skipped',
        'launch.nonce-matches': 'skipped',
      },
    ],
    [
      'a 49th byte',
      { measurement: toBase64(concatBytes(BLOB, Uint8Array.of(0))) },
      {
        'launch.measurement-length': 'failed',
        'launch.measurement-matches': 'skipped',
        'launch.nonce-matches': 'skipped',
      },
    ],
    [
      'an empty measurement',
      { measurement: '' },
      {
        'launch.measurement-length': 'failed',
        'launch.measurement-matches': 'skipped',
        'launch.nonce-matches': 'skipped',
      },
    ],
    [
      'no key',
      { tik: undefined },
      { 'launch.tik-present': 'incomplete', 'launch.tik-not-zero': 'skipped', 'launch.measurement-matches': 'skipped' },
    ],
    [
      'a key of 17 bytes',
      { tik: new Secret(new Uint8Array(17).fill(0x42)) },
      { 'launch.tik-present': 'failed', 'launch.tik-not-zero': 'skipped', 'launch.measurement-matches': 'skipped' },
    ],
  ])('one change, its rows and no other: %s', (_, change, rows) => {
    expect(outcomes(change)).toEqual({ ...GREEN, ...rows });
    expect(verifyLaunch({ ...BASELINE, ...change }).ok).toBe(false);
  });

  test('refuses the all-zero key although the measurement matches under it', () => {
    const zero = new Uint8Array(16);
    expect(outcomes({ tik: new Secret(zero) })).toEqual({
      ...GREEN,
      'launch.tik-not-zero': 'failed',
      'launch.measurement-matches': 'skipped',
    });
  });

  test('takes the measurement as bytes, and then has no encoding to check', () => {
    expect(outcomes({ measurement: BLOB })).toEqual({ ...GREEN, 'launch.measurement-encoding': 'skipped' });
    expect(verifyLaunch({ ...BASELINE, measurement: BLOB }).ok).toBe(true);
  });

  test('has no nonce to compare when none was stated', () => {
    const { mnonce: _, ...evidence } = BASELINE;
    const row = verifyLaunch(evidence).checks.find(({ id }) => id === 'launch.nonce-matches');
    expect(row).toMatchObject({ outcome: 'skipped', because: 'no nonce was stated beside the measurement' });
  });

  test('says in each failed, skipped and incomplete row why, and in each row what is promised and where it is written', () => {
    const results = [{ tik: undefined }, { measurement: '*' }, { digest: flip(DIGEST, 0) as LaunchDigest }].map(
      (change) => verifyLaunch({ ...BASELINE, ...change }),
    );
    for (const check of results.flatMap(({ checks }) => checks)) {
      expect(check.title).toMatch(/^[a-z]/);
      expect(check.spec).toMatch(/section/);
      if (check.outcome !== 'passed') expect(check.because).toBeTruthy();
    }
  });

  test('never tells the measurement that would have matched: a host could answer with it next time', () => {
    const result = verifyLaunch({ ...BASELINE, measurement: toBase64(flip(BLOB, 0)) });
    const text = JSON.stringify(result);
    expect(text).not.toContain(toHex(MEASUREMENT));
    expect(text).not.toContain(toBase64(MEASUREMENT).slice(0, 40));
    expect(text).toContain(toHex(flip(MEASUREMENT, 0)));
  });

  test('joins the rows of a chain in one verdict, which a failed chain turns red', () => {
    const chain = { id: 'chain.x', title: 'x', spec: 'x' };
    const { checks } = verifyLaunch(BASELINE);
    expect(attestationResult([{ ...chain, outcome: 'passed' }, ...checks]).ok).toBe(true);
    expect(attestationResult([{ ...chain, outcome: 'incomplete' }, ...checks]).ok).toBe(false);
  });

  test.each([
    { context: { ...CONTEXT, buildId: 256 } },
    { context: { ...CONTEXT, policy: -1 } },
    { digest: new Uint8Array(31) as LaunchDigest },
  ])('throws for what no launch can have: %o', (change) => {
    expect(() => verifyLaunch({ ...BASELINE, ...change })).toThrow(
      expect.objectContaining({ code: 'LAUNCH_INPUT_INVALID' }),
    );
  });
});
