import { isAllZero } from '../../core/bytes.ts';
import type { Secret } from '../../core/secret.ts';
import { encodeLaunchSessionBlob, parseLaunchSessionBlob } from '../abi/launch-session.ts';
import { SEV_CERTIFICATE, SEV_CERTIFICATE_LENGTH } from '../abi/sev-certificate.ts';
import type { Tek, Tik } from '../brands.ts';
import type { ChainCertificates } from '../certs/chain-files.ts';
import { assertOnCurve, computeSharedX, generateEcKeyPair, type RandomSource, randomBytes } from '../certs/p384.ts';
import { encodeSevCertificate, parseSevCertificate, type SevCertificate } from '../certs/sev-certificate.ts';
import { attestationError } from '../errors.ts';
import { parseTik } from '../measurement/measurement.ts';
import { formatSevPolicy, inspectSevPolicy, parseSevPolicy } from '../policy/sev.ts';
import { type ChainOptions, type ChainResult, verifyChain } from '../verify/chain.ts';
import { sealSessionBlob, unsealSessionBlob } from './blob.ts';
import { parseTek } from './transport-keys.ts';

export interface SessionRequest {
  /** The platform's chain; its PDH is who the keys are sealed to. */
  readonly platform: ChainCertificates;
  /** How to verify that chain. */
  readonly verification?: ChainOptions | undefined;
  /** Guest policy as a number, or as text that `parseSevPolicy` takes. */
  readonly policy: number | string;
  /** Fresh randomness; keys and nonce must never repeat, or AES-CTR gives its plaintext away. */
  readonly random: RandomSource;
  /** Seal to a PDH that nothing vouches for: whoever made it can read every secret of the guest. */
  readonly insecure?: boolean | undefined;
}

export interface LaunchSession {
  /** Guest owner certificate, 2084 bytes: libvirt's `<dhCert>`. */
  readonly godh: Uint8Array;
  /** Session blob, 128 bytes: libvirt's `<session>`. */
  readonly session: Uint8Array;
  readonly tik: Secret<Tik>;
  readonly tek: Secret<Tek>;
  /** The verdict on the platform's chain: with `insecure` it may be anything. */
  readonly chain: ChainResult;
}

/**
 * Makes a guest owner's launch session for a verified platform and one policy.
 *
 * Fresh P-384 key, nonce, IV, TEK and TIK in each call. Throws `SESSION_CHAIN_UNVERIFIED`, `POLICY_INVALID`,
 * `EC_POINT_INVALID`, `RANDOM_SOURCE_BROKEN`. SEV API 55766 rev 3.24, sections 2.2.2 and 2.3.
 */
export function createLaunchSession(request: SessionRequest): LaunchSession {
  const policy = launchablePolicy(request.policy);
  const chain = verifyChain(request.platform, { ...request.verification, leaf: 'pdh' });
  const pdh = request.platform.pdh;
  if (pdh === undefined || (!chain.ok && request.insecure !== true)) throw unverified(chain);
  assertOnCurve(pdh.publicKey, 'PDH');

  const owner = generateEcKeyPair(request.random);
  const tek = parseTek(nonZero(request.random));
  const tik = parseTik(nonZero(request.random));
  const blob = sealSessionBlob(
    { sharedX: computeSharedX(owner.scalar, pdh.publicKey, 'PDH'), tek: tek.reveal(), tik: tik.reveal() },
    { nonce: randomBytes(request.random, 16), wrapIv: randomBytes(request.random, 16), policy },
  );
  const godh: SevCertificate = {
    usage: 'PDH',
    algorithm: 'ECDH-SHA256',
    apiMajor: pdh.apiMajor,
    apiMinor: pdh.apiMinor,
    publicKey: owner.point,
    slots: [undefined, undefined],
  };
  return { godh: encodeSevCertificate(godh), session: encodeLaunchSessionBlob(blob), tik, tek, chain };
}

export interface SessionToOpen {
  readonly godh: Uint8Array;
  readonly session: Uint8Array;
  /** Private key of the platform's PDH, 48 bytes, big-endian. Only firmware, real or emulated, has it. */
  readonly pdhPrivateKey: Secret<Uint8Array>;
  /** The policy that the host asks for. */
  readonly policy: number | string;
}

/**
 * Opens a launch session as the firmware does in LAUNCH_START.
 *
 * Throws `SESSION_MALFORMED`, `GODH_INVALID`, `EC_POINT_INVALID`, `SESSION_WRAP_MAC_MISMATCH`,
 * `SESSION_POLICY_MAC_MISMATCH`, and `TIK_INVALID` or `TEK_INVALID` for keys that are all zero.
 */
export function openLaunchSession(input: SessionToOpen): { tik: Secret<Tik>; tek: Secret<Tek> } {
  const policy = parseSevPolicy(input.policy).value;
  const blob = parseLaunchSessionBlob(input.session);
  const owner = parseGuestOwnerCertificate(input.godh);
  const sharedX = computeSharedX(input.pdhPrivateKey.reveal(), owner.publicKey, 'guest owner certificate');
  const { tek, tik } = unsealSessionBlob(sharedX, blob, policy);
  return { tek: parseTek(tek), tik: parseTik(tik) };
}

/**
 * Reads a GODH: like any SEV certificate, but with its signature slots ignored, as the firmware ignores them.
 *
 * Throws `SEV_CERTIFICATE_MALFORMED`, `GODH_INVALID`.
 */
export function parseGuestOwnerCertificate(bytes: Uint8Array): SevCertificate {
  const unsigned = Uint8Array.from(bytes);
  if (unsigned.length === SEV_CERTIFICATE_LENGTH) unsigned.set(EMPTY_SLOTS, SEV_CERTIFICATE.signedLength);
  const godh = parseSevCertificate(unsigned);
  if (godh.usage !== 'PDH' || godh.algorithm !== 'ECDH-SHA256') {
    throw attestationError(
      'GODH_INVALID',
      `guest owner certificate: expected key usage PDH with ECDH-SHA256, got ${godh.usage} with ${godh.algorithm}`,
    );
  }
  return godh;
}

const EMPTY_SLOTS = encodeSevCertificate({
  usage: 'PDH',
  algorithm: 'ECDH-SHA256',
  apiMajor: 0,
  apiMinor: 0,
  publicKey: { x: new Uint8Array(), y: new Uint8Array() },
  slots: [undefined, undefined],
}).subarray(SEV_CERTIFICATE.signedLength);

function launchablePolicy(input: number | string): number {
  const policy = parseSevPolicy(input);
  const refused = inspectSevPolicy(policy).find((finding) => finding.level === 'refused');
  if (refused === undefined) return policy.value;
  throw attestationError('POLICY_INVALID', `policy ${formatSevPolicy(policy)}: ${refused.text}`, {
    details: { policy: policy.value },
  });
}

function unverified(chain: ChainResult) {
  const open = chain.checks.filter((row) => row.outcome === 'failed' || row.outcome === 'incomplete');
  const first = open[0];
  return attestationError(
    'SESSION_CHAIN_UNVERIFIED',
    `no session for an unverified platform: ${first === undefined ? 'nothing leads to a trusted root' : `${first.id} is ${first.outcome}: ${first.because}`}`,
    {
      details: { verdict: chain.verdict, rows: open.map((row) => row.id) },
      hint: first?.hint ?? 'Pass the whole chain, or accept a session that protects nothing by saying it is insecure.',
    },
  );
}

/** 16 random bytes that are not all zero: zero keys are what a launch without a session has. */
function nonZero(random: RandomSource): Uint8Array {
  for (let attempt = 0; attempt < 4; attempt += 1) {
    const bytes = randomBytes(random, 16);
    if (!isAllZero(bytes)) return bytes;
  }
  throw attestationError('RANDOM_SOURCE_BROKEN', 'the source of random bytes gives nothing but zeros');
}
