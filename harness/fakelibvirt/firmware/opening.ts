import { ALGORITHM, CERTIFICATE_BYTES, isOfKind, pointOf, USAGE } from './certificate.ts';
import { NO_KEYS, SESSION_BYTES, type TransportKeys, unwrapSession } from './channel.ts';
import type { FirmwareCore, GuestContext } from './core.ts';
import { LaunchDigest } from './digest.ts';
import { isOnCurve, sharedSecretUnchecked } from './p384.ts';
import { hasReservedBits, isApiAtLeast, POLICY } from './policy.ts';
import { fail, type Refusal } from './status.ts';

/** How many bytes of key a memory slot takes. */
const MEMORY_KEY_BYTES = 16;

export interface OpeningRequest {
  readonly policy: number;
  /** DH certificate and session of the peer; without a certificate the launch is unauthenticated. */
  readonly dhCert?: Uint8Array;
  readonly session?: Uint8Array;
  /** Handle of a guest whose memory key is to be shared; 0 or absent for a key of its own. */
  readonly sharedHandle?: number;
}

/** A context made from a session: what LAUNCH_START and RECEIVE_START have in common. */
export function openGuest(
  core: FirmwareCore,
  request: OpeningRequest,
  state: 'LUPDATE' | 'RUPDATE',
): GuestContext | Refusal {
  const policy = request.policy >>> 0;
  // An unauthenticated launch takes the policy as it comes: neither the API floor nor the reserved bits are looked at.
  const keys = request.dhCert ? openChannel(core, policy, request.dhCert, request.session) : NO_KEYS;
  if ('status' in keys) return keys;
  const shared = request.sharedHandle ? core.guests.get(request.sharedHandle) : undefined;
  if (request.sharedHandle && !shared) return fail('INVALID_GUEST');
  if (shared && (shared.policy !== policy || (policy & POLICY.NOKS) !== 0)) return fail('POLICY_FAILURE');
  const handle = core.firstFreeHandle();
  if (handle === undefined) return fail('RESOURCE_LIMIT');
  const isEsRefused = !core.isEsEnabled || core.options.isEsRefusedBySnp === true;
  if ((policy & POLICY.ES) !== 0 && isEsRefused && !core.hasFault('es-without-support')) return fail('UNSUPPORTED');
  return {
    handle,
    policy,
    state,
    keys: keys !== NO_KEYS && core.hasFault('session-ignored') ? NO_KEYS : keys,
    memoryKey: shared?.memoryKey ?? core.random(MEMORY_KEY_BYTES),
    digest: new LaunchDigest(core.faults),
    asid: undefined,
    activation: 'inactive',
    launchDigest: undefined,
    measurement: undefined,
  };
}

/** TEK and TIK of the session, after the checks of the firmware in their order. */
function openChannel(
  core: FirmwareCore,
  policy: number,
  dhCert: Uint8Array,
  session: Uint8Array = new Uint8Array(),
): TransportKeys | Refusal {
  if (session.length !== SESSION_BYTES || dhCert.length !== CERTIFICATE_BYTES) return fail('INVALID_LENGTH');
  const z = agreeWith(core, dhCert);
  if (!z) return fail('INVALID_CERTIFICATE');
  const keys =
    unwrapSession(z, session, policy, !core.hasFault('session-mac-unchecked')) ??
    openWithOldPdh(core, policy, dhCert, session);
  if (!keys) return fail('BAD_MEASUREMENT');
  const isTooNew = !isApiAtLeast(core.options.version, policy);
  if (isTooNew && !core.hasFault('policy-api-floor-ignored')) return fail('POLICY_FAILURE');
  if (hasReservedBits(policy) && !core.hasFault('policy-reserved-ignored')) return fail('POLICY_FAILURE');
  if ((policy & POLICY.NOSEND) !== 0 && core.hasFault('nosend-refused')) return fail('POLICY_FAILURE');
  return keys;
}

/** Fault old-pdh-still-opens. */
function openWithOldPdh(core: FirmwareCore, policy: number, dhCert: Uint8Array, session: Uint8Array) {
  const old = core.identity.previousPdhKeys;
  const point = pointOf(dhCert);
  if (!old || !point || !core.hasFault('old-pdh-still-opens')) return undefined;
  return unwrapSession(sharedSecretUnchecked(old.secret, point), session, policy);
}

/**
 * Z of ECDH between the PDH and a peer's certificate, or `undefined` where the certificate is none for this.
 *
 * Its signatures are not looked at: whoever made it proves nothing but that they know its key.
 */
export function agreeWith(core: FirmwareCore, dhCert: Uint8Array): Uint8Array | undefined {
  const point = isOfKind(dhCert, USAGE.PDH, ALGORITHM.ECDH_SHA256) ? pointOf(dhCert) : undefined;
  if (!point) return undefined;
  if (isOnCurve(point)) return core.identity.agreeWith(point);
  const isUnchecked =
    core.hasFault('godh-point-unchecked') || (point.y === 0n && core.hasFault('small-order-point-accepted'));
  return isUnchecked ? sharedSecretUnchecked(core.identity.pdhKeys.secret, point) : undefined;
}
