import { equalBytes, toHex } from '../../core/bytes.ts';
import type { LaunchDigest } from '../brands.ts';
import { checkLaunchContext, type LaunchContext } from '../measurement/measurement.ts';
import { integerInRange } from '../measurement/range.ts';
import { formatSevPolicy } from '../policy/sev.ts';
import { type AttestationResult, attestationResult, type Check } from '../result.ts';

/** What a verified launch says about itself. Verify it first: validation believes every value. */
export interface LaunchClaims extends LaunchContext {
  /** The digest that the measurement was verified against. */
  readonly digest: LaunchDigest;
  /** Only a SEV-ES launch measures this. */
  readonly vcpuCount?: number;
}

/** What the guest owner accepts. A value that is not given is not checked. */
export interface LaunchReferenceValues {
  /** Policy bits that must be set, e.g. 0x1 (NODBG) or 0x5 (NODBG, ES). */
  readonly policyRequiredBits?: number;
  /** Policy bits that must not be set. */
  readonly policyForbiddenBits?: number;
  /** Oldest acceptable SEV firmware; compared as major, minor, build. */
  readonly minimumSevFirmware?: { readonly apiMajor: number; readonly apiMinor: number; readonly buildId?: number };
  /** Launch digests of acceptable guests. An empty list accepts none. */
  readonly launchDigests?: readonly LaunchDigest[];
  readonly vcpuCount?: number;
}

const POLICY_SPEC = 'SEV API 55766 rev 3.24, section 2.4, table 2';

/**
 * Is a verified launch acceptable: policy, SEV firmware, digest and vCPUs against the owner's reference values.
 *
 * Rows without a reference value are skipped, and with no reference value at all the result is not ok.
 * Error: `LAUNCH_INPUT_INVALID`.
 */
export function validateLaunch(claims: LaunchClaims, reference: LaunchReferenceValues): AttestationResult {
  checkLaunchContext(claims);
  return attestationResult([
    checkRequiredBits(claims.policy, reference.policyRequiredBits),
    checkForbiddenBits(claims.policy, reference.policyForbiddenBits),
    checkPolicyFloor(claims, reference),
    checkFirmware(claims, reference.minimumSevFirmware),
    checkDigest(claims.digest, reference.launchDigests),
    checkVcpus(claims.vcpuCount, reference.vcpuCount),
  ]);
}

function checkRequiredBits(policy: number, required: number | undefined): Check {
  const row = { id: 'validate.policy-required-bits', title: 'the policy sets every required bit', spec: POLICY_SPEC };
  if (required === undefined) return skipped(row);
  integerInRange('required policy bits', required, 0, 0xffff_ffff);
  const missing = (required & ~policy) >>> 0;
  const values = { expected: formatSevPolicy(required), actual: formatSevPolicy(policy) };
  if (missing === 0) return { ...row, outcome: 'passed', ...values };
  return {
    ...row,
    outcome: 'failed',
    ...values,
    because: `the policy lacks ${formatSevPolicy(missing)}`,
  };
}

function checkForbiddenBits(policy: number, forbidden: number | undefined): Check {
  const row = { id: 'validate.policy-forbidden-bits', title: 'the policy sets no forbidden bit', spec: POLICY_SPEC };
  if (forbidden === undefined) return skipped(row);
  integerInRange('forbidden policy bits', forbidden, 0, 0xffff_ffff);
  const surplus = (forbidden & policy) >>> 0;
  const values = { expected: `none of ${formatSevPolicy(forbidden)}`, actual: formatSevPolicy(policy) };
  if (surplus === 0) return { ...row, outcome: 'passed', ...values };
  return { ...row, outcome: 'failed', ...values, because: `the policy has ${formatSevPolicy(surplus)}` };
}

/** Firmware refuses to launch a guest whose policy wants newer firmware, so such a claim contradicts itself. */
function checkPolicyFloor(claims: LaunchClaims, reference: LaunchReferenceValues): Check {
  const row = {
    id: 'validate.policy-firmware-floor',
    title: 'the SEV firmware is at least as new as the policy demands',
    spec: POLICY_SPEC,
  };
  if (Object.values(reference).every((value) => value === undefined)) return skipped(row);
  const floor = { apiMajor: (claims.policy >>> 16) & 0xff, apiMinor: claims.policy >>> 24 };
  const values = {
    expected: `at least ${floor.apiMajor}.${floor.apiMinor}`,
    actual: `${claims.apiMajor}.${claims.apiMinor}`,
  };
  if (compareFirmware(claims, floor) >= 0) return { ...row, outcome: 'passed', ...values };
  return {
    ...row,
    outcome: 'failed',
    ...values,
    because: 'no genuine firmware of that version launches a guest with this policy',
  };
}

function checkFirmware(claims: LaunchClaims, minimum: LaunchReferenceValues['minimumSevFirmware']): Check {
  const row = {
    id: 'validate.sev-firmware-minimum',
    title: 'the SEV firmware is not older than the minimum',
    spec: 'SEV API 55766 rev 3.24, section 6.5',
  };
  if (minimum === undefined) return skipped(row);
  checkLaunchContext({ buildId: 0, ...minimum, policy: 0 });
  const values = { expected: `at least ${formatFirmware(minimum)}`, actual: formatFirmware(claims) };
  if (compareFirmware(claims, minimum) >= 0) return { ...row, outcome: 'passed', ...values };
  return {
    ...row,
    outcome: 'failed',
    ...values,
    because: `SEV firmware ${formatFirmware(claims)} is older than ${formatFirmware(minimum)}`,
    hint: 'Update the SEV firmware of the host, or its BIOS.',
  };
}

function checkDigest(digest: LaunchDigest, known: readonly LaunchDigest[] | undefined): Check {
  const row = {
    id: 'validate.launch-digest-known',
    title: 'the launch digest is one of those that the owner accepts',
    spec: 'SEV API 55766 rev 3.24, section 6.5',
  };
  if (known === undefined) return skipped(row);
  const values = { expected: known.map(toHex), actual: toHex(digest) };
  if (known.some((candidate) => equalBytes(candidate, digest))) return { ...row, outcome: 'passed', ...values };
  return { ...row, outcome: 'failed', ...values, because: `it is none of the ${known.length} known digests` };
}

function checkVcpus(actual: number | undefined, expected: number | undefined): Check {
  const row = {
    id: 'validate.vcpu-count',
    title: 'the guest was measured with the expected number of vCPUs',
    spec: 'SEV API 55766 rev 3.24, section 6.4',
  };
  if (expected === undefined) return skipped(row);
  if (actual === undefined) {
    return {
      ...row,
      outcome: 'incomplete',
      expected,
      because: 'only a SEV-ES launch measures the vCPUs, and this is none',
    };
  }
  if (actual === expected) return { ...row, outcome: 'passed', expected, actual };
  return {
    ...row,
    outcome: 'failed',
    expected,
    actual,
    because: `measured with ${actual} vCPUs instead of ${expected}`,
  };
}

interface SevFirmware {
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly buildId?: number;
}

function compareFirmware(a: SevFirmware, b: SevFirmware): number {
  return (
    a.apiMajor - b.apiMajor || a.apiMinor - b.apiMinor || (b.buildId === undefined ? 0 : (a.buildId ?? 0) - b.buildId)
  );
}

function formatFirmware({ apiMajor, apiMinor, buildId }: SevFirmware): string {
  return `${apiMajor}.${apiMinor}${buildId === undefined ? '' : ` build ${buildId}`}`;
}

function skipped(row: Pick<Check, 'id' | 'title' | 'spec'>): Check {
  return { ...row, outcome: 'skipped', because: 'no reference value was given' };
}
