import { hexNumber } from '../abi/fields.ts';
import { parsePolicyNumber } from './number.ts';
import type { PolicyFinding } from './sev.ts';

export type SnpPolicyFlag =
  | 'SMT'
  | 'MIGRATE_MA'
  | 'DEBUG'
  | 'SINGLE_SOCKET'
  | 'CXL_ALLOW'
  | 'MEM_AES_256_XTS'
  | 'RAPL_DIS'
  | 'CIPHERTEXT_HIDING_DRAM'
  | 'PAGE_SWAP_DISABLE';

/** Bit numbers: SEV-SNP firmware ABI 56860 rev 1.58, section 4.3. Bits 21 and above came with later ABI versions. */
export const SNP_POLICY_BITS: Readonly<Record<SnpPolicyFlag, bigint>> = {
  SMT: 16n,
  MIGRATE_MA: 18n,
  DEBUG: 19n,
  SINGLE_SOCKET: 20n,
  CXL_ALLOW: 21n,
  MEM_AES_256_XTS: 22n,
  RAPL_DIS: 23n,
  CIPHERTEXT_HIDING_DRAM: 24n,
  PAGE_SWAP_DISABLE: 25n,
};

const FLAG_NAMES = Object.keys(SNP_POLICY_BITS) as readonly SnpPolicyFlag[];
const MUST_BE_ONE = 1n << 17n;
const RESERVED = ((1n << 64n) - 1n) & ~((1n << 26n) - 1n);

export interface SnpPolicy {
  /** The 64-bit number, unsigned. */
  readonly value: bigint;
  readonly flags: readonly SnpPolicyFlag[];
  readonly minAbiMajor: number;
  readonly minAbiMinor: number;
  /** Bit 17, which every valid policy has set. */
  readonly hasRequiredBit: boolean;
  /** Bits 26 to 63 that are set although they must not be, in place. */
  readonly reserved: bigint;
}

/** Reads a policy from a number, or from text in hex with `0x` or in decimal. Throws `POLICY_INVALID`. */
export function parseSnpPolicy(input: number | bigint | string): SnpPolicy {
  const value = parsePolicyNumber(input, 64, 'SEV-SNP guest policy');
  return {
    value,
    flags: FLAG_NAMES.filter((name) => (value & (1n << SNP_POLICY_BITS[name])) !== 0n),
    minAbiMajor: Number((value >> 8n) & 0xffn),
    minAbiMinor: Number(value & 0xffn),
    hasRequiredBit: (value & MUST_BE_ONE) !== 0n,
    reserved: value & RESERVED,
  };
}

/** `0x30000 SMT`; with a version floor `0x30137 SMT ABI>=1.55`. */
export function formatSnpPolicy(policy: SnpPolicy): string {
  return [
    hexNumber(policy.value, 5),
    ...policy.flags,
    ...(policy.minAbiMajor > 0 || policy.minAbiMinor > 0 ? [`ABI>=${policy.minAbiMajor}.${policy.minAbiMinor}`] : []),
    ...(policy.hasRequiredBit ? [] : ['MISSING(17)']),
    ...(policy.reserved === 0n ? [] : [`RESERVED(${hexNumber(policy.reserved, 1)})`]),
  ].join(' ');
}

export function inspectSnpPolicy(policy: SnpPolicy): PolicyFinding[] {
  const findings: PolicyFinding[] = [];
  if (!policy.hasRequiredBit) {
    findings.push({
      id: 'snp-policy.required-bit',
      level: 'refused',
      text: 'bit 17 is clear and must be set; the firmware answers POLICY_FAILURE',
    });
  }
  if (policy.reserved !== 0n) {
    findings.push({
      id: 'snp-policy.reserved-bits',
      level: 'refused',
      text: `reserved bits ${hexNumber(policy.reserved, 1)} are set; the firmware answers POLICY_FAILURE`,
    });
  }
  if (policy.flags.includes('DEBUG')) {
    findings.push({
      id: 'snp-policy.debug-allowed',
      level: 'weak',
      text: 'DEBUG is set: the host may read and write guest memory in plain text through the debug commands',
    });
  }
  if (policy.flags.includes('MIGRATE_MA')) {
    findings.push({
      id: 'snp-policy.migration-agent-allowed',
      level: 'weak',
      text: "MIGRATE_MA is set: whoever owns the migration agent can export the guest's state",
    });
  }
  return findings;
}
