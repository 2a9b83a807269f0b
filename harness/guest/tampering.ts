import { randomBytes } from 'node:crypto';
import {
  type ChainCertificates,
  createLaunchSession,
  isSevHarnessError,
  type LaunchSession,
  parseSevCertificate,
  type SevCertificate,
} from '../../attestation/index.ts';
import { createOwnerSession, type Platform } from './platform.ts';

/** Policy of the sessions that are made only to have their keys. */
const ANY_POLICY = 0x0003;
/** Offsets in the session blob: the MAC of the wrapped keys, and the MAC of the policy (SEV API, section 2.2.2). */
const WRAP_MAC = 64;
const POLICY_MAC = 96;
/** Key usage, and Y of the point, in a SEV certificate (SEV API, appendix C.1). */
const USAGE = 0x08;
const POINT_Y = 0x5c;

/** A launch session with one thing about it changed. */
export type Tampering =
  | 'wrapped keys'
  | 'policy MAC'
  | 'point off the curve'
  | 'other key usage'
  | 'certificate too short'
  | 'session too short';

export function tamper(given: LaunchSession, tampering: Tampering): LaunchSession {
  const { godh, session } = given;
  switch (tampering) {
    case 'wrapped keys':
      return { ...given, session: flipped(session, WRAP_MAC) };
    case 'policy MAC':
      return { ...given, session: flipped(session, POLICY_MAC) };
    case 'point off the curve':
      return { ...given, godh: flipped(godh, POINT_Y) };
    case 'other key usage':
      return { ...given, godh: flipped(godh, USAGE) };
    case 'certificate too short':
      return { ...given, godh: godh.subarray(0, -1) };
    case 'session too short':
      return { ...given, session: session.subarray(0, -1) };
  }
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  return bytes.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

/** The platform with another, really generated PDH in place of its own, which no platform holds the secret of. */
export function withOtherPdh(platform: Platform): Platform {
  return { ...platform, certificates: { ...platform.certificates, pdh: otherPdh(platform) } };
}

/** An owner's certificate has the form of a PDH, and a key that was made for it. */
function otherPdh(platform: Platform): SevCertificate {
  return parseSevCertificate(createOwnerSession(platform, ANY_POLICY).godh);
}

/** The chain of a platform with the key of one certificate exchanged and its signatures left as they were. */
export function forgeChain(platform: Platform, role: 'pdh' | 'pek' | 'cek'): ChainCertificates {
  const { certificates } = platform;
  const genuine = certificates[role];
  if (genuine === undefined) return certificates;
  return { ...certificates, [role]: { ...genuine, publicKey: otherPdh(platform).publicKey } };
}

/** What an owner who insists on a verified platform says to a chain: nothing, or the rows that are not as they should be. */
export function ownerObjections(platform: ChainCertificates, trustedRoot: ChainCertificates['ark']): string[] {
  try {
    createLaunchSession({ platform, verification: { trustedRoot }, policy: ANY_POLICY, random: randomBytes });
    return [];
  } catch (error) {
    if (!isSevHarnessError(error, 'SESSION_CHAIN_UNVERIFIED')) throw error;
    return (error.details.rows as readonly string[]).map(String);
  }
}
