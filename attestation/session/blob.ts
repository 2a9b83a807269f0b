import { createCipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { concatBytes } from '../../core/bytes.ts';
import type { LaunchSessionBlob } from '../abi/launch-session.ts';
import { attestationError } from '../errors.ts';
import { deriveKey, littleEndian32 } from './kdf.ts';

const KEY_LENGTH = 16;

export interface SessionSecrets {
  /** ECDH shared x coordinate of guest owner and platform, 48 bytes, big-endian. */
  readonly sharedX: Uint8Array;
  readonly tek: Uint8Array;
  readonly tik: Uint8Array;
}

export interface SessionParameters {
  readonly nonce: Uint8Array;
  readonly wrapIv: Uint8Array;
  /** Guest policy, 32 bits. */
  readonly policy: number;
}

/** Wraps TEK and TIK for the platform and binds the policy to them. SEV API 55766 rev 3.24, section 2.3. */
export function sealSessionBlob(secrets: SessionSecrets, parameters: SessionParameters): LaunchSessionBlob {
  const { nonce, wrapIv, policy } = parameters;
  const { kek, kik } = deriveWrappingKeys(secrets.sharedX, nonce);
  const wrappedKeys = aes128Ctr(kek, wrapIv, concatBytes(secrets.tek, secrets.tik));
  return {
    nonce,
    wrappedKeys,
    wrapIv,
    wrapMac: hmacSha256(kik, wrappedKeys),
    policyMac: hmacSha256(secrets.tik, littleEndian32(policy)),
  };
}

/**
 * Unwraps TEK and TIK in the firmware's order: wrap MAC, decryption, policy MAC.
 *
 * The IV is under no MAC of its own; a changed one gives another TIK, which the policy MAC then betrays.
 * Throws `SESSION_WRAP_MAC_MISMATCH`, `SESSION_POLICY_MAC_MISMATCH`. SEV API 55766 rev 3.24, LAUNCH_START.
 */
export function unsealSessionBlob(
  sharedX: Uint8Array,
  blob: LaunchSessionBlob,
  policy: number,
): { tek: Uint8Array; tik: Uint8Array } {
  const { kek, kik } = deriveWrappingKeys(sharedX, blob.nonce);
  if (!timingSafeEqual(hmacSha256(kik, blob.wrappedKeys), blob.wrapMac)) {
    throw attestationError(
      'SESSION_WRAP_MAC_MISMATCH',
      'the session was not made for this PDH and this guest owner certificate, or its nonce, keys or MAC were changed',
      { hint: 'Make the session anew for the PDH that the platform has now; PDH_GEN and a platform reset change it.' },
    );
  }
  const keys = aes128Ctr(kek, blob.wrapIv, blob.wrappedKeys);
  const [tek, tik] = [keys.slice(0, KEY_LENGTH), keys.slice(KEY_LENGTH)];
  if (!timingSafeEqual(hmacSha256(tik, littleEndian32(policy)), blob.policyMac)) {
    throw attestationError(
      'SESSION_POLICY_MAC_MISMATCH',
      `the session was not made for policy 0x${policy.toString(16).padStart(4, '0')}, or its IV or policy MAC was changed`,
      { details: { policy } },
    );
  }
  return { tek, tik };
}

export function aes128Ctr(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  const cipher = createCipheriv('aes-128-ctr', key, iv);
  return Uint8Array.from(Buffer.concat([cipher.update(data), cipher.final()]));
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  return Uint8Array.from(createHmac('sha256', key).update(data).digest());
}

function deriveWrappingKeys(sharedX: Uint8Array, nonce: Uint8Array): { kek: Uint8Array; kik: Uint8Array } {
  const master = deriveKey(sharedX, 'sev-master-secret', nonce, KEY_LENGTH);
  const none = new Uint8Array();
  return {
    kek: deriveKey(master, 'sev-kek', none, KEY_LENGTH),
    kik: deriveKey(master, 'sev-kik', none, KEY_LENGTH),
  };
}
