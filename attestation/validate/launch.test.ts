import { describe, expect, test } from 'vitest';
import type { LaunchDigest } from '../brands.ts';
import type { CheckOutcome } from '../result.ts';
import { type LaunchClaims, type LaunchReferenceValues, validateLaunch } from './launch.ts';

const DIGEST = new Uint8Array(32).fill(1) as LaunchDigest;
const OTHER = new Uint8Array(32).fill(2) as LaunchDigest;
const CLAIMS: LaunchClaims = {
  apiMajor: 1,
  apiMinor: 55,
  buildId: 21,
  policy: 0x3701_0005,
  digest: DIGEST,
  vcpuCount: 4,
};
const REFERENCE: LaunchReferenceValues = {
  policyRequiredBits: 0x5,
  policyForbiddenBits: 0xffc0,
  minimumSevFirmware: { apiMajor: 1, apiMinor: 55, buildId: 21 },
  launchDigests: [OTHER, DIGEST],
  vcpuCount: 4,
};

function outcomes(
  claims: Partial<LaunchClaims>,
  reference: LaunchReferenceValues = REFERENCE,
): Record<string, CheckOutcome> {
  const { checks } = validateLaunch({ ...CLAIMS, ...claims }, reference);
  return Object.fromEntries(checks.map(({ id, outcome }) => [id, outcome]));
}

const GREEN = {
  'validate.policy-required-bits': 'passed',
  'validate.policy-forbidden-bits': 'passed',
  'validate.policy-firmware-floor': 'passed',
  'validate.sev-firmware-minimum': 'passed',
  'validate.launch-digest-known': 'passed',
  'validate.vcpu-count': 'passed',
};

describe('validateLaunch', () => {
  test('passes every row of the baseline', () => {
    expect(outcomes({})).toEqual(GREEN);
    expect(validateLaunch(CLAIMS, REFERENCE).ok).toBe(true);
  });

  test.each<[string, Partial<LaunchClaims>, Record<string, string>]>([
    ['a policy without NODBG', { policy: 0x3701_0004 }, { 'validate.policy-required-bits': 'failed' }],
    ['a policy without ES', { policy: 0x3701_0001 }, { 'validate.policy-required-bits': 'failed' }],
    ['a policy with a reserved bit', { policy: 0x3701_0045 }, { 'validate.policy-forbidden-bits': 'failed' }],
    ['a policy that wants a newer API', { policy: 0x3801_0005 }, { 'validate.policy-firmware-floor': 'failed' }],
    ['an older build', { buildId: 20 }, { 'validate.sev-firmware-minimum': 'failed' }],
    ['another digest', { digest: new Uint8Array(32) as LaunchDigest }, { 'validate.launch-digest-known': 'failed' }],
    ['another number of vCPUs', { vcpuCount: 3 }, { 'validate.vcpu-count': 'failed' }],
  ])('one change, its row and no other: %s', (_, change, rows) => {
    expect(outcomes(change)).toEqual({ ...GREEN, ...rows });
    expect(validateLaunch({ ...CLAIMS, ...change }, REFERENCE).ok).toBe(false);
  });

  test('knows all 32 bits of a policy', () => {
    const { checks } = validateLaunch({ ...CLAIMS, policy: 0x8001_0005 }, { policyForbiddenBits: 0x8000_0000 });
    const row = checks.find(({ id }) => id === 'validate.policy-forbidden-bits');
    expect(row).toMatchObject({ outcome: 'failed', because: expect.stringContaining('0x80000000') });
  });

  test.each([
    ['1.55 build 22', { buildId: 22 }],
    ['1.56 build 0', { apiMinor: 56, buildId: 0 }],
    ['2.0 build 0', { apiMajor: 2, apiMinor: 0, buildId: 0 }],
  ])('compares SEV firmware by major, minor, then build: %s is newer', (_, version) => {
    const policy = 0x5;
    expect(outcomes({ ...version, policy })['validate.sev-firmware-minimum']).toBe('passed');
  });

  test.each([
    ['1.54 build 99', { apiMinor: 54, buildId: 99 }],
    ['0.255 build 99', { apiMajor: 0, apiMinor: 255, buildId: 99 }],
  ])('compares SEV firmware by major, minor, then build: %s is older', (_, version) => {
    expect(outcomes({ ...version, policy: 0x5 })['validate.sev-firmware-minimum']).toBe('failed');
  });

  test('accepts any build when the minimum names none', () => {
    const reference = { minimumSevFirmware: { apiMajor: 1, apiMinor: 55 } };
    expect(outcomes({ buildId: 0 }, reference)['validate.sev-firmware-minimum']).toBe('passed');
  });

  test('an empty list of digests accepts none', () => {
    expect(outcomes({}, { ...REFERENCE, launchDigests: [] })['validate.launch-digest-known']).toBe('failed');
  });

  test('is incomplete when the number of vCPUs is wanted of a guest that did not measure it', () => {
    const { vcpuCount: _, ...claims } = CLAIMS;
    expect(validateLaunch(claims, REFERENCE).checks.at(-1)).toMatchObject({ outcome: 'incomplete' });
    expect(validateLaunch(claims, REFERENCE).ok).toBe(false);
  });

  test('is not ok without any reference value: nothing was checked', () => {
    const result = validateLaunch(CLAIMS, {});
    expect(result.ok).toBe(false);
    expect(new Set(result.checks.map(({ outcome }) => outcome))).toEqual(new Set(['skipped']));
  });

  test('says what is missing by name', () => {
    const [row] = validateLaunch({ ...CLAIMS, policy: 0x4 }, REFERENCE).checks;
    expect(row).toMatchObject({
      because: 'the policy lacks 0x0001 NODBG',
      expected: '0x0005 NODBG ES',
      actual: '0x0004 ES',
    });
  });

  test.each<[Partial<LaunchClaims>, LaunchReferenceValues]>([
    [{ policy: 2 ** 32 }, {}],
    [{}, { policyRequiredBits: -1 }],
    [{}, { policyForbiddenBits: 0.5 }],
    [{}, { minimumSevFirmware: { apiMajor: 256, apiMinor: 0 } }],
  ])('throws for numbers that cannot be: %o %o', (claims, reference) => {
    expect(() => validateLaunch({ ...CLAIMS, ...claims }, reference)).toThrow(
      expect.objectContaining({ code: 'LAUNCH_INPUT_INVALID' }),
    );
  });
});
