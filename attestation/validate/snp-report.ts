import { equalBytes, toHex } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import type { SnpLaunchDigest } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { formatSnpPolicy, inspectSnpPolicy, parseSnpPolicy } from '../policy/snp.ts';
import { type AttestationResult, attestationResult, type Check } from '../result.ts';
import type { SnpReport } from '../snp/report.ts';
import { formatTcb, olderComponents, parseTcb, type SnpProduct, type Tcb } from '../snp/tcb.ts';

/** What the guest owner accepts. A value that is not given is not checked. */
export interface SnpReferenceValues {
  /** Launch digests of acceptable guests. An empty list accepts none. */
  readonly measurements?: readonly SnpLaunchDigest[] | undefined;
  /** The 64 bytes that the guest was told to put in: a fresh nonce, or a hash that covers one. */
  readonly reportData?: Uint8Array | undefined;
  readonly hostData?: Uint8Array | undefined;
  /** The least privileged level that may have asked for the report. */
  readonly maximumVmpl?: number | undefined;
  readonly minimumGuestSvn?: number | undefined;
  /** Oldest acceptable TCB, component by component; held against current, committed, reported and launch TCB. */
  readonly minimumTcb?: { readonly product: SnpProduct; readonly tcb: Tcb } | undefined;
  /** Debug access lets the host read the guest; never set it for a guest with secrets. */
  readonly allowDebug?: boolean | undefined;
}

const SPEC = 'SEV-SNP ABI 56860 rev 1.58, section 7.3';

type Verdict = Pick<Check, 'outcome' | 'expected' | 'actual' | 'because' | 'hint'>;

/**
 * Is a verified report acceptable: measurement, report data, policy, TCB, privilege level against reference values?
 *
 * Believes every value: verify the report first. The policy's own rules are looked at beside any reference value; with
 * none at all, the result is not ok. Throws `TCB_INVALID` for a minimum that the product cannot have.
 */
export function validateSnpReport(report: SnpReport, reference: SnpReferenceValues): AttestationResult {
  const { measurements, reportData, hostData, maximumVmpl, minimumGuestSvn, minimumTcb } = reference;
  const row = (id: string, title: string, verdict: Verdict): Check => ({
    id: `validate.${id}`,
    title,
    spec: SPEC,
    ...verdict,
  });
  const { allowDebug, ...values } = reference;
  const nothingWanted = Object.values(values).every((value) => value === undefined);
  return attestationResult([
    row(
      'snp-policy-possible',
      'the policy is one that firmware launches a guest with',
      nothingWanted ? NOT_GIVEN : possiblePolicy(report),
    ),
    row(
      'snp-debug-off',
      'the policy forbids debug access',
      nothingWanted ? NOT_GIVEN : debugOff(report, allowDebug === true),
    ),
    row(
      'snp-measurement-known',
      'the measurement is one of those that the owner accepts',
      knownMeasurement(report, measurements),
    ),
    row('snp-report-data', 'the report was asked for with the expected data', sameBytes(report.reportData, reportData)),
    row('snp-host-data', 'the host passed the expected data', sameBytes(report.hostData, hostData)),
    row(
      'snp-vmpl',
      'the report was asked for at a privilege level that is trusted',
      within(report.vmpl, 0, maximumVmpl),
    ),
    row('snp-guest-svn', 'the guest is not older than the minimum', within(report.guestSvn, minimumGuestSvn, Infinity)),
    row('snp-tcb-minimum', 'no component of any TCB is older than the minimum', newEnough(report, minimumTcb)),
  ]);
}

const NOT_GIVEN: Verdict = { outcome: 'skipped', because: 'no reference value was given' };

function possiblePolicy(report: SnpReport): Verdict {
  const policy = parseSnpPolicy(report.policy);
  const refused = inspectSnpPolicy(policy).find(({ level }) => level === 'refused');
  const actual = formatSnpPolicy(policy);
  return refused === undefined ? { outcome: 'passed', actual } : { outcome: 'failed', actual, because: refused.text };
}

function debugOff(report: SnpReport, allowed: boolean): Verdict {
  const policy = parseSnpPolicy(report.policy);
  if (!policy.flags.includes('DEBUG')) return { outcome: 'passed' };
  if (allowed) return { outcome: 'skipped', because: 'debug access is allowed by the caller' };
  return { outcome: 'failed', actual: formatSnpPolicy(policy), because: 'the host may read and write this guest' };
}

function knownMeasurement(report: SnpReport, known: readonly SnpLaunchDigest[] | undefined): Verdict {
  if (known === undefined) return NOT_GIVEN;
  const values = { expected: known.map(toHex), actual: toHex(report.measurement) };
  return known.some((digest) => equalBytes(digest, report.measurement))
    ? { outcome: 'passed', ...values }
    : { outcome: 'failed', ...values, because: `it is none of the ${known.length} known measurements` };
}

function sameBytes(actual: Uint8Array, expected: Uint8Array | undefined): Verdict {
  if (expected === undefined) return NOT_GIVEN;
  const values = { expected: toHex(expected), actual: toHex(actual) };
  return equalBytes(actual, expected)
    ? { outcome: 'passed', ...values }
    : { outcome: 'failed', ...values, because: 'the data differs' };
}

function within(actual: number, lowest: number | undefined, highest: number | undefined): Verdict {
  if (lowest === undefined || highest === undefined) return NOT_GIVEN;
  const expected = highest === Infinity ? `at least ${lowest}` : `${lowest} to ${highest}`;
  return actual >= lowest && actual <= highest
    ? { outcome: 'passed', expected, actual }
    : { outcome: 'failed', expected, actual, because: `it is ${actual}` };
}

function newEnough(report: SnpReport, minimum: SnpReferenceValues['minimumTcb']): Verdict {
  if (minimum === undefined) return NOT_GIVEN;
  if ((minimum.tcb.fmc !== undefined) !== (minimum.product === 'turin')) {
    throw attestationError('TCB_INVALID', `minimum TCB of ${minimum.product}: fmc belongs to Turin, and only there`);
  }
  const expected = `at least ${formatTcb(minimum.tcb)}`;
  for (const [name, bytes] of [
    ['reported', report.reportedTcb],
    ['current', report.currentTcb],
    ['committed', report.committedTcb],
    ['launch', report.launchTcb],
  ] as const) {
    const tcb = readTcb(bytes, minimum.product);
    if (tcb === undefined) {
      const because = `the ${name} TCB is not one of ${minimum.product}`;
      return { outcome: 'failed', expected, actual: toHex(bytes), because };
    }
    const older = olderComponents(tcb, minimum.tcb);
    if (older.length > 0) {
      const because = `${older.join(', ')} of the ${name} TCB is older`;
      return { outcome: 'failed', expected, actual: formatTcb(tcb), because, hint: 'Update the firmware of the host.' };
    }
  }
  return { outcome: 'passed', expected };
}

function readTcb(bytes: Uint8Array, product: SnpProduct): Tcb | undefined {
  try {
    return parseTcb(bytes, product);
  } catch (error) {
    if (isSevHarnessError(error, 'TCB_INVALID')) return undefined;
    throw error;
  }
}
