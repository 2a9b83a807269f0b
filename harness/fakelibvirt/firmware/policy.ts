import type { ApiVersion } from './certificate.ts';

/** Guest policy of SEV and SEV-ES (SEV API, table 2). */
export const POLICY = {
  NODBG: 1 << 0,
  NOKS: 1 << 1,
  ES: 1 << 2,
  NOSEND: 1 << 3,
  DOMAIN: 1 << 4,
  SEV: 1 << 5,
} as const;

const RESERVED = 0xffc0;

export function hasReservedBits(policy: number): boolean {
  return (policy & RESERVED) !== 0;
}

/** Bits 16 to 23 and 24 to 31 are the lowest firmware API, major and minor, that the owner accepts. */
export function isApiAtLeast({ apiMajor, apiMinor }: ApiVersion, policy: number): boolean {
  const floorMajor = (policy >>> 16) & 0xff;
  const floorMinor = policy >>> 24;
  return apiMajor > floorMajor || (apiMajor === floorMajor && apiMinor >= floorMinor);
}
