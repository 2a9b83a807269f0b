import { describe, expect, test } from 'vitest';
import { parseTik } from '../measurement/measurement.ts';
import { createLaunchSession } from '../session/launch-session.ts';
import { forgePlatform } from '../testing/platform.ts';
import { seededRandom } from '../testing/seeded-random.ts';
import { verifyRoots } from './chain-roots.ts';
import { type SessionEvidence, verifySession } from './session.ts';

const platform = forgePlatform({ random: seededRandom('session rows') });
const roots = verifyRoots(platform.chain, platform.verification);
const POLICY = 0x0003;
const owner = seededRandom('owner of session rows');
const made = createLaunchSession({ platform: platform.chain, verification: { roots }, policy: POLICY, random: owner });
const EVIDENCE: SessionEvidence = { session: made.session, godh: made.godh, tik: made.tik, policy: POLICY };
const WELL_FORMED = 'session.blob-well-formed';
const GODH = 'session.godh-well-formed';
const BOUND = 'session.policy-bound';
const GREEN = { [WELL_FORMED]: 'passed', [GODH]: 'passed', [BOUND]: 'passed' };

function verify(change: Partial<SessionEvidence>) {
  const { ok, checks } = verifySession({ ...EVIDENCE, ...change });
  return { ok, rows: Object.fromEntries(checks.map(({ id, outcome }) => [id, outcome])) };
}

const godh = (change: (bytes: Uint8Array) => Uint8Array) => ({ godh: change(Uint8Array.from(made.godh)) });

describe('verifySession', () => {
  test('passes a session that fits its certificate, TIK and policy', () => {
    expect(verify({})).toEqual({ ok: true, rows: GREEN });
  });

  test.each<[string, Partial<SessionEvidence>, Record<string, string>]>([
    ['another policy', { policy: 0x0001 }, { [BOUND]: 'failed' }],
    ['another TIK', { tik: parseTik(new Uint8Array(16).fill(7)) }, { [BOUND]: 'failed' }],
    [
      'a session that was cut short',
      { session: made.session.slice(1) },
      { [WELL_FORMED]: 'failed', [BOUND]: 'skipped' },
    ],
    ['a certificate that was cut short', godh((bytes) => bytes.slice(1)), { [GODH]: 'failed' }],
    ['a certificate for another use', godh((bytes) => bytes.fill(0x02, 0x008, 0x009)), { [GODH]: 'failed' }],
    ['a point off the curve', godh((bytes) => bytes.fill(0x01, 0x014, 0x015)), { [GODH]: 'failed' }],
    ['the point (0,0)', godh((bytes) => bytes.fill(0, 0x014, 0x0a4)), { [GODH]: 'failed' }],
  ])('one change, its rows and no other: %s', (_, change, rows) => {
    expect(verify(change)).toEqual({ ok: false, rows: { ...GREEN, ...rows } });
  });

  test('without the TIK the policy is not verified, and without the certificate it is not looked at', () => {
    expect(verify({ tik: undefined })).toEqual({ ok: false, rows: { ...GREEN, [BOUND]: 'incomplete' } });
    expect(verify({ godh: undefined })).toEqual({ ok: true, rows: { ...GREEN, [GODH]: 'skipped' } });
  });
});
