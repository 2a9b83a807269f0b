import { createHmac } from 'node:crypto';
import type { LaunchSession } from '../../attestation/index.ts';
import { concatBytes } from '../../core/bytes.ts';

/** Flags that AMD defines, bits 0 to 5: NODBG, NOKS, ES, NOSEND, DOMAIN, SEV (SEV API, section 2.4). */
const FLAG_BITS = 6;
const RESERVED_BITS = [6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const ES = 1 << 2;
const NODBG = 1 << 0;
const NOKS = 1 << 1;

/** Every combination of the flags; none of them forbids another. */
export const FLAG_POLICIES: readonly number[] = Array.from({ length: 1 << FLAG_BITS }, (_, value) => value);

/** A good policy with one reserved bit, for each of them. */
export const RESERVED_POLICIES: readonly number[] = RESERVED_BITS.map((bit) => (1 << bit) | NODBG | NOKS);

export function demandsEs(policy: number): boolean {
  return (policy & ES) !== 0;
}

export function allowsDebug(policy: number): boolean {
  return (policy & NODBG) === 0;
}

export interface FirmwareApi {
  readonly apiMajor: number;
  readonly apiMinor: number;
}

/** Policies that ask for at least a firmware API: those that this firmware meets, and those above it. */
export function floorPolicies({ apiMajor, apiMinor }: FirmwareApi): {
  readonly met: number[];
  readonly above: number[];
} {
  const floor = (major: number, minor: number) => (((minor << 24) | (major << 16)) >>> 0) + (NODBG | NOKS);
  const fits = ([major, minor]: readonly [number, number]) => major <= 255 && minor <= 255;
  const older: (readonly [number, number])[] = [
    [apiMajor, apiMinor],
    ...(apiMinor > 0 ? [[apiMajor, apiMinor - 1] as const] : []),
    // Compared major number first: a larger minor number of an older major one is older.
    ...(apiMajor > 0 ? [[apiMajor - 1, 255] as const] : []),
  ];
  const newer: (readonly [number, number])[] = [
    [apiMajor, apiMinor + 1],
    [apiMajor + 1, 0],
    [255, 255],
  ];
  return {
    met: older.map(([major, minor]) => floor(major, minor)),
    above: newer.filter(fits).map(([major, minor]) => floor(major, minor)),
  };
}

/** Where the session blob has the MAC of the policy: HMAC-SHA-256 under TIK of the policy as LE32 (SEV API, 2.2.2). */
const POLICY_MAC = 0x60;

/**
 * The same session for another policy, signed by the owner: also for one that no careful owner would sign.
 *
 * Keys are used again; no guest of such a session is ever given a secret.
 */
export function sessionForPolicy(session: LaunchSession, policy: number): LaunchSession {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(policy >>> 0);
  const mac = createHmac('sha256', session.tik.reveal()).update(word).digest();
  return { ...session, session: concatBytes(session.session.subarray(0, POLICY_MAC), mac) };
}
