import { toHex } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import type { LaunchDigest, Tik } from '../brands.ts';
import {
  checkLaunchContext,
  computeLaunchMeasurement,
  decodeMeasurementText,
  LAUNCH_MEASURE_BYTES,
  type LaunchContext,
  type LaunchMeasure,
  measurementsEqual,
  parseLaunchMeasure,
  TIK_BYTES,
  tikProblem,
} from '../measurement/measurement.ts';
import { formatSevPolicy } from '../policy/sev.ts';
import { type AttestationResult, attestationResult, type Check } from '../result.ts';

export interface LaunchEvidence {
  /** What the host returned: base64 text, or its 48 bytes. */
  readonly measurement: string | Uint8Array;
  readonly context: LaunchContext;
  /** What the guest owner wanted to be loaded: `computeLaunchDigest`. */
  readonly digest: LaunchDigest;
  /** The owner's key from the launch session; without it nothing can be verified. */
  readonly tik: Secret<Uint8Array> | undefined;
  /** A nonce that was stated beside the measurement; it must be the one inside. */
  readonly mnonce?: Uint8Array;
}

type Row = Omit<Check, 'title' | 'spec'>;

const TITLES = {
  'launch.measurement-encoding': 'the measurement is strict base64',
  'launch.measurement-length': `the measurement is ${LAUNCH_MEASURE_BYTES} bytes: 32 of HMAC and 16 of nonce`,
  'launch.tik-present': `the guest owner's transport integrity key is ${TIK_BYTES} bytes`,
  'launch.tik-not-zero': 'the launch had a session: the transport integrity key is not all zero',
  'launch.measurement-matches': 'the firmware that holds the key measured exactly the expected guest',
  'launch.nonce-matches': 'the nonce stated beside the measurement is the one inside it',
} as const;
type RowId = keyof typeof TITLES;

const SPEC: Readonly<Record<RowId, string>> = {
  'launch.measurement-encoding': 'RFC 4648, section 4',
  'launch.measurement-length': 'SEV API 55766 rev 3.24, section 6.5',
  'launch.tik-present': 'SEV API 55766 rev 3.24, section 2.3',
  'launch.tik-not-zero': 'SEV API 55766 rev 3.24, section 6.2',
  'launch.measurement-matches': 'SEV API 55766 rev 3.24, section 6.5',
  'launch.nonce-matches': 'SEV API 55766 rev 3.24, section 6.5',
};

/**
 * Is the launch measurement authentic: did the firmware that holds the owner's TIK measure this digest under this policy?
 *
 * It says nothing about who holds the TIK: put the rows of the certificate chain and the session beside these, with
 * `attestationResult([...chain.checks, ...launch.checks])`. No row contains the expected measurement, because a host that
 * reads the report could answer the next verification with it. Error: `LAUNCH_INPUT_INVALID` for impossible numbers.
 */
export function verifyLaunch(evidence: LaunchEvidence): AttestationResult {
  checkLaunchContext(evidence.context);
  const { row: encoding, bytes } = checkEncoding(evidence.measurement);
  const { row: length, measure } = checkLength(bytes);
  const tikPresent = checkTikPresent(evidence.tik);
  const rows = [encoding, length, tikPresent, checkTikNotZero(evidence.tik, tikPresent)];
  const rowsAndVerdict = [...rows, checkMatch(evidence, measure, rows), checkNonce(evidence.mnonce, measure)];
  return attestationResult(
    rowsAndVerdict.map(({ id, ...rest }) => ({ id, title: TITLES[id as RowId], ...rest, spec: SPEC[id as RowId] })),
  );
}

function checkEncoding(measurement: string | Uint8Array): { row: Row; bytes: Uint8Array | undefined } {
  const id = 'launch.measurement-encoding' satisfies RowId;
  if (typeof measurement !== 'string') {
    return { row: { id, outcome: 'skipped', because: 'the measurement was given as bytes' }, bytes: measurement };
  }
  try {
    return { row: { id, outcome: 'passed' }, bytes: decodeMeasurementText(measurement) };
  } catch (error) {
    if (!isSevHarnessError(error)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return { row: { id, outcome: 'failed', because: error.message, ...hint }, bytes: undefined };
  }
}

function checkLength(bytes: Uint8Array | undefined): { row: Row; measure: LaunchMeasure | undefined } {
  const id = 'launch.measurement-length' satisfies RowId;
  if (bytes === undefined) {
    return { row: { id, outcome: 'skipped', because: 'launch.measurement-encoding failed' }, measure: undefined };
  }
  const lengths = { expected: LAUNCH_MEASURE_BYTES, actual: bytes.length };
  if (bytes.length === LAUNCH_MEASURE_BYTES) {
    return { row: { id, outcome: 'passed', ...lengths }, measure: parseLaunchMeasure(bytes) };
  }
  const because = `got ${bytes.length} bytes`;
  const hint =
    bytes.length === 32 ? 'Give measurement and nonce together: 32 bytes are a digest, or lack the nonce.' : undefined;
  return { row: { id, outcome: 'failed', ...lengths, because, ...(hint && { hint }) }, measure: undefined };
}

function checkNonce(stated: Uint8Array | undefined, measure: LaunchMeasure | undefined): Row {
  const id = 'launch.nonce-matches' satisfies RowId;
  if (stated === undefined) return { id, outcome: 'skipped', because: 'no nonce was stated beside the measurement' };
  if (measure === undefined) return { id, outcome: 'skipped', because: 'the measurement could not be read' };
  const [expected, actual] = [toHex(stated), toHex(measure.mnonce)];
  if (expected === actual) return { id, outcome: 'passed', expected, actual };
  return { id, outcome: 'failed', expected, actual, because: 'nonce and measurement are of different launches' };
}

function checkTikPresent(tik: Secret<Uint8Array> | undefined): Row {
  const id = 'launch.tik-present' satisfies RowId;
  if (tik === undefined) {
    return {
      id,
      outcome: 'incomplete',
      because: 'no TIK was given, and only its holder can verify a launch measurement',
      hint: 'Give the TIK that was made with the launch session (NAME_tik.bin).',
    };
  }
  const lengths = { expected: TIK_BYTES, actual: tik.reveal().length };
  if (lengths.actual === TIK_BYTES) return { id, outcome: 'passed', ...lengths };
  return { id, outcome: 'failed', ...lengths, because: `the key has ${lengths.actual} bytes` };
}

function checkTikNotZero(tik: Secret<Uint8Array> | undefined, present: Row): Row {
  const id = 'launch.tik-not-zero' satisfies RowId;
  if (tik === undefined || present.outcome !== 'passed') {
    return { id, outcome: 'skipped', because: `launch.tik-present is ${present.outcome}` };
  }
  const problem = tikProblem(tik.reveal());
  if (problem === undefined) return { id, outcome: 'passed' };
  return {
    id,
    outcome: 'failed',
    because: problem,
    hint: 'Launch the guest with a session made for it, and use its TIK.',
  };
}

function checkMatch(evidence: LaunchEvidence, measure: LaunchMeasure | undefined, rows: readonly Row[]): Row {
  const id = 'launch.measurement-matches' satisfies RowId;
  const blocker = rows.find((row) => row.outcome === 'failed' || row.outcome === 'incomplete');
  if (blocker !== undefined || measure === undefined || evidence.tik === undefined) {
    return { id, outcome: 'skipped', because: `${blocker?.id} is ${blocker?.outcome}` };
  }
  const { context, digest } = evidence;
  const computed = computeLaunchMeasurement(evidence.tik as Secret<Tik>, context, digest, measure.mnonce);
  const row = {
    id,
    expected: {
      launchDigestHex: toHex(digest),
      policy: formatSevPolicy(context.policy),
      sevFirmware: `${context.apiMajor}.${context.apiMinor} build ${context.buildId}`,
      mnonceHex: toHex(measure.mnonce),
    },
    actual: { measurementHex: toHex(measure.measurement) },
  };
  if (measurementsEqual(computed, measure.measurement)) return { ...row, outcome: 'passed' };
  return {
    ...row,
    outcome: 'failed',
    because:
      'the measurement is not the HMAC of the expected digest, policy, firmware version and nonce under this TIK',
    hint: 'Run `sev-harness attest explain` with the same inputs: it looks for the one that differs.',
  };
}
