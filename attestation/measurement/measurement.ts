import { createHmac, timingSafeEqual } from 'node:crypto';
import { fromBase64, isAllZero } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchDigest, LaunchMeasurement, Mnonce, Tik } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { integerInRange } from './range.ts';

/** Measurement (32 bytes), then the nonce that the firmware drew for it (16 bytes). */
export const LAUNCH_MEASURE_BYTES = 48;
export const MEASUREMENT_BYTES = 32;
export const TIK_BYTES = 16;
const DIGEST_BYTES = 32;
const MNONCE_BYTES = 16;

export interface LaunchMeasure {
  readonly measurement: LaunchMeasurement;
  readonly mnonce: Mnonce;
}

/** What the measurement covers besides digest and nonce. */
export interface LaunchContext {
  /** Version and build of the SEV firmware that ran the launch, each 0..255 (`query-sev`). */
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly buildId: number;
  /** Guest policy, 32 bits. Take it from the owner's session, not from the host. */
  readonly policy: number;
}

/**
 * Takes LAUNCH_MEASURE's output buffer apart; nothing is verified.
 *
 * Error: `LAUNCH_MEASUREMENT_MALFORMED` when it is not exactly 48 bytes. Source: SEV API 55766 rev 3.24, section 6.5.
 */
export function parseLaunchMeasure(bytes: Uint8Array): LaunchMeasure {
  // Not slice(): a Buffer's shares its memory.
  const blob = new Uint8Array(bytes);
  if (blob.length !== LAUNCH_MEASURE_BYTES) {
    throw attestationError(
      'LAUNCH_MEASUREMENT_MALFORMED',
      `launch measurement must be ${LAUNCH_MEASURE_BYTES} bytes (32 of measurement, 16 of nonce), is ${blob.length}`,
      { details: { expectedBytes: LAUNCH_MEASURE_BYTES, actualBytes: blob.length } },
    );
  }
  return {
    measurement: blob.slice(0, MEASUREMENT_BYTES) as LaunchMeasurement,
    mnonce: blob.slice(MEASUREMENT_BYTES) as Mnonce,
  };
}

/**
 * Bytes of the base64 text in `query-sev-launch-measure` and libvirt's `sev-measurement`.
 *
 * Error: `LAUNCH_MEASUREMENT_MALFORMED` for white space, characters of the URL-safe alphabet, missing or surplus padding
 * and padding bits that are not zero, all of which virt-qemu-sev-validate accepts.
 */
export function decodeMeasurementText(text: string): Uint8Array {
  const bytes = fromBase64(text);
  if (bytes !== undefined) return bytes;
  const stray = /[^A-Za-z0-9+/=]/.exec(text);
  const why =
    stray === null
      ? 'its padding is wrong'
      : `character ${JSON.stringify(stray[0])} at offset ${stray.index} is not in the alphabet`;
  throw attestationError(
    'LAUNCH_MEASUREMENT_MALFORMED',
    `launch measurement must be strict base64 (RFC 4648 section 4), ${why}`,
    {
      details: { length: text.length },
      hint: 'Give the text of `virsh domlaunchsecinfo` or query-sev-launch-measure as it is, on one line.',
    },
  );
}

/** The key that the firmware got in the launch session. Errors: `TIK_INVALID` when not 16 bytes, or all zero. */
export function parseTik(bytes: Uint8Array): Secret<Tik> {
  const problem = tikProblem(bytes);
  if (problem !== undefined) throw attestationError('TIK_INVALID', `TIK is not usable: ${problem}`);
  return new Secret(new Uint8Array(bytes) as Tik);
}

/** Why these bytes can be no TIK, without saying what they are. */
export function tikProblem(bytes: Uint8Array): string | undefined {
  if (bytes.length !== TIK_BYTES) return `expected ${TIK_BYTES} bytes, got ${bytes.length}`;
  if (isAllZero(bytes))
    return 'it is all zero, as after a launch without session, whose measurement anyone can compute';
  return undefined;
}

/**
 * The measurement that genuine firmware returns for this launch. Keep it from the host: whoever knows it can answer the
 * next verification with it.
 *
 * Errors: `TIK_INVALID`, `LAUNCH_INPUT_INVALID`. Source: SEV API 55766 rev 3.24, section 6.5.
 */
export function computeLaunchMeasurement(
  tik: Secret<Tik>,
  context: LaunchContext,
  digest: LaunchDigest,
  mnonce: Mnonce,
): LaunchMeasurement {
  checkLaunchContext(context);
  integerInRange('bytes of the launch digest', digest.length, DIGEST_BYTES, DIGEST_BYTES);
  integerInRange('bytes of the nonce', mnonce.length, MNONCE_BYTES, MNONCE_BYTES);
  const key = tik.reveal();
  const problem = tikProblem(key);
  if (problem !== undefined) throw attestationError('TIK_INVALID', `TIK is not usable: ${problem}`);
  const head = new DataView(new ArrayBuffer(8));
  head.setUint8(0, 0x04);
  head.setUint8(1, context.apiMajor);
  head.setUint8(2, context.apiMinor);
  head.setUint8(3, context.buildId);
  head.setUint32(4, context.policy, true);
  const hmac = createHmac('sha256', key).update(new Uint8Array(head.buffer)).update(digest).update(mnonce).digest();
  return new Uint8Array(hmac) as LaunchMeasurement;
}

/** Error: `LAUNCH_INPUT_INVALID` for a version or build above one byte, or a policy above 32 bits. */
export function checkLaunchContext(context: LaunchContext): void {
  integerInRange('API major version', context.apiMajor, 0, 0xff);
  integerInRange('API minor version', context.apiMinor, 0, 0xff);
  integerInRange('build id', context.buildId, 0, 0xff);
  integerInRange('policy', context.policy, 0, 0xffff_ffff);
}

/** In time that does not depend on where they differ. */
export function measurementsEqual(a: LaunchMeasurement, b: LaunchMeasurement): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}
