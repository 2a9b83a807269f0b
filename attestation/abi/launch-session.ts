import { attestationError } from '../errors.ts';
import { fieldReader, fieldWriter } from './fields.ts';

/** Launch session blob: SEV API 55766 rev 3.24, section 2.3 and LAUNCH_START. */
const LAUNCH_SESSION = { nonce: 0x00, wrappedKeys: 0x10, wrapIv: 0x30, wrapMac: 0x40, policyMac: 0x60 } as const;

export const LAUNCH_SESSION_LENGTH = 0x80;

export interface LaunchSessionBlob {
  /** 16 bytes; makes the derived keys of two sessions differ. */
  readonly nonce: Uint8Array;
  /** 32 bytes: TEK then TIK, encrypted with the KEK. */
  readonly wrappedKeys: Uint8Array;
  /** 16 bytes; no MAC covers it. */
  readonly wrapIv: Uint8Array;
  /** 32 bytes, HMAC-SHA-256 over the wrapped keys with the KIK. */
  readonly wrapMac: Uint8Array;
  /** 32 bytes, HMAC-SHA-256 over the policy with the TIK. */
  readonly policyMac: Uint8Array;
}

/** Splits a session blob; nothing in it is verified. Throws `SESSION_MALFORMED`. */
export function parseLaunchSessionBlob(bytes: Uint8Array): LaunchSessionBlob {
  const fields = fieldReader(bytes, LAUNCH_SESSION_LENGTH, (rule) =>
    attestationError('SESSION_MALFORMED', `launch session blob: ${rule}`),
  );
  return {
    nonce: fields.bytes(LAUNCH_SESSION.nonce, 16),
    wrappedKeys: fields.bytes(LAUNCH_SESSION.wrappedKeys, 32),
    wrapIv: fields.bytes(LAUNCH_SESSION.wrapIv, 16),
    wrapMac: fields.bytes(LAUNCH_SESSION.wrapMac, 32),
    policyMac: fields.bytes(LAUNCH_SESSION.policyMac, 32),
  };
}

/** The 128 bytes that libvirt's `<session>` and QEMU's `session-file` carry in base64. */
export function encodeLaunchSessionBlob(blob: LaunchSessionBlob): Uint8Array {
  const fields = fieldWriter(LAUNCH_SESSION_LENGTH);
  fields.bytes(LAUNCH_SESSION.nonce, blob.nonce);
  fields.bytes(LAUNCH_SESSION.wrappedKeys, blob.wrappedKeys);
  fields.bytes(LAUNCH_SESSION.wrapIv, blob.wrapIv);
  fields.bytes(LAUNCH_SESSION.wrapMac, blob.wrapMac);
  fields.bytes(LAUNCH_SESSION.policyMac, blob.policyMac);
  return fields.finish();
}
