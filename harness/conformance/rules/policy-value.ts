import { attribute, childText, type DomainView } from '../domain.ts';

/** Bits of the SEV guest policy (SEV API, table 2). */
export const SEV_POLICY = { nodbg: 0x1n, es: 0x4n } as const;

/** Bits of the SEV-SNP guest policy (SEV-SNP firmware ABI, table 9): bit 17 is reserved and must be one. */
export const SNP_POLICY = { reservedOne: 0x20000n, debug: 0x80000n } as const;

/** nova's policies: NODBG, NOKS, DOMAIN and SEV; for SEV-ES with its bit. */
export const NOVA_POLICY = { sev: 0x33n, 'sev-es': 0x37n } as const;

/** libvirt reads the policy in base 16, with or without `0x`, into 32 bits (64 for SEV-SNP), and refuses white space behind it. */
export function parsePolicy(text: string, bits: 32 | 64 = 32): bigint | undefined {
  const digits = /^\s*\+?(?:0[xX])?([0-9a-fA-F]{1,32})$/.exec(text)?.[1];
  if (digits === undefined) return undefined;
  const value = BigInt(`0x${digits}`);
  return value < 1n << BigInt(bits) ? value : undefined;
}

/** Every bit of a SEV policy takes something away from the host; bits 6 to 15 are reserved. */
const RESTRICTING = 0xffff003fn;

/** Whether a change of the policy gives the host something that the guest's owner had forbidden. */
export function weakens(from: bigint, to: bigint): boolean {
  return (from & ~to & RESTRICTING) !== 0n;
}

export function policyText(value: bigint, digits = 4): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

export function isSev({ launchSecurity }: DomainView): boolean {
  return attribute(launchSecurity, 'type') === 'sev';
}

export function isEs(domain: DomainView): boolean {
  const policy = parsePolicy(childText(domain.launchSecurity, 'policy') ?? '');
  return isSev(domain) && policy !== undefined && (policy & SEV_POLICY.es) !== 0n;
}

export function isSnp({ launchSecurity }: DomainView): boolean {
  return attribute(launchSecurity, 'type') === 'sev-snp';
}
