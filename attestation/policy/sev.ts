import { hexNumber } from '../abi/fields.ts';
import { parsePolicyNumber } from './number.ts';

/** Names of AMD's table, as libvirt's and nova's documents write them. */
export type SevPolicyFlag = 'NODBG' | 'NOKS' | 'ES' | 'NOSEND' | 'DOMAIN' | 'SEV';

interface FlagMeaning {
  readonly bit: number;
  readonly set: string;
  readonly clear: string;
}

/** SEV API 55766 rev 3.24, section 2.4, table 2. */
export const SEV_POLICY_FLAGS: Readonly<Record<SevPolicyFlag, FlagMeaning>> = {
  NODBG: {
    bit: 0,
    set: 'the host cannot decrypt guest memory through the debug commands',
    clear: 'the host may read and write guest memory in plain text through the debug commands',
  },
  NOKS: {
    bit: 1,
    set: "no other guest may share this guest's key",
    clear: "the host may start other guests with this guest's key",
  },
  ES: {
    bit: 2,
    set: 'SEV-ES is required: register state is encrypted too',
    clear: 'plain SEV is enough: the host sees and can change the registers whenever the guest exits',
  },
  NOSEND: {
    bit: 3,
    set: 'the guest must not leave this platform',
    clear: 'the guest may be migrated, within what DOMAIN and SEV allow',
  },
  DOMAIN: {
    bit: 4,
    set: 'the guest may migrate to platforms of the same owner only',
    clear: 'the guest may migrate to platforms of any owner',
  },
  SEV: {
    bit: 5,
    set: 'the guest may migrate to SEV platforms only',
    clear: 'the guest may migrate to platforms without SEV',
  },
};

const FLAG_NAMES = Object.keys(SEV_POLICY_FLAGS) as readonly SevPolicyFlag[];
const RESERVED = 0x0000_ffc0;

export interface SevPolicy {
  /** The 32-bit number, unsigned. */
  readonly value: number;
  readonly flags: readonly SevPolicyFlag[];
  /** Lowest firmware API version that may run the guest; 0.0 is any. */
  readonly minApiMajor: number;
  readonly minApiMinor: number;
  /** Bits 6 to 15 that are set although they must not be, in place. */
  readonly reserved: number;
}

/**
 * Reads a policy from a number, or from text in hex with `0x` or in decimal.
 *
 * Reserved bits are reported by `inspectSevPolicy`, not refused here. Throws `POLICY_INVALID`.
 */
export function parseSevPolicy(input: number | string): SevPolicy {
  const value = Number(parsePolicyNumber(input, 32, 'SEV guest policy'));
  return {
    value,
    flags: FLAG_NAMES.filter((name) => (value & (1 << SEV_POLICY_FLAGS[name].bit)) !== 0),
    minApiMajor: (value >>> 16) & 0xff,
    minApiMinor: value >>> 24,
    reserved: value & RESERVED,
  };
}

/** `0x0033 NODBG NOKS DOMAIN SEV`; with a version floor `0x11000001 NODBG API>=0.17`; reserved bits last, by number. */
export function formatSevPolicy(input: SevPolicy | number): string {
  const policy = typeof input === 'number' ? parseSevPolicy(input) : input;
  return [
    hexNumber(policy.value, policy.value > 0xffff ? 8 : 4),
    ...policy.flags,
    ...(hasApiFloor(policy) ? [`API>=${policy.minApiMajor}.${policy.minApiMinor}`] : []),
    ...(policy.reserved === 0 ? [] : [`RESERVED(${bitNumbers(policy.reserved).join(',')})`]),
  ].join(' ');
}

/** `refused`: the firmware will not launch it. `weak`: allowed, but gives protection away. `moot`: says nothing. */
export interface PolicyFinding {
  readonly id: string;
  readonly level: 'refused' | 'weak' | 'moot';
  readonly text: string;
}

/** What is wrong, weak or contradictory in a policy; nothing when it is tight and consistent. */
export function inspectSevPolicy(policy: SevPolicy): PolicyFinding[] {
  const has = (flag: SevPolicyFlag) => policy.flags.includes(flag);
  const findings: PolicyFinding[] = [];
  const add = (level: PolicyFinding['level'], id: string, text: string) => findings.push({ id, level, text });
  if (policy.reserved !== 0) {
    const bits = bitNumbers(policy.reserved).join(', ');
    add('refused', 'policy.reserved-bits', `reserved bits ${bits} are set; the firmware answers POLICY_FAILURE`);
  }
  if (!has('NODBG')) add('weak', 'policy.debug-allowed', `NODBG is clear: ${SEV_POLICY_FLAGS.NODBG.clear}`);
  if (!has('NOKS')) add('weak', 'policy.key-sharing-allowed', `NOKS is clear: ${SEV_POLICY_FLAGS.NOKS.clear}`);
  const limits = (['DOMAIN', 'SEV'] as const).filter(has);
  if (has('NOSEND') && limits.length > 0) {
    add(
      'moot',
      'policy.send-limits-without-sending',
      `NOSEND forbids all migration, so ${limits.join(' and ')} limit${limits.length === 1 ? 's' : ''} nothing`,
    );
  }
  if (!has('NOSEND') && has('DOMAIN') && !has('SEV')) {
    add(
      'weak',
      'policy.domain-without-sev',
      'DOMAIN without SEV: a platform of the same owner counts as a target even where it lacks SEV',
    );
  }
  return findings;
}

/** One sentence per promise that the policy makes or does not make, then what is known of this very value. */
export function explainSevPolicy(policy: SevPolicy): string[] {
  const sentences = FLAG_NAMES.map((name) => {
    const isSet = policy.flags.includes(name);
    return `${name} is ${isSet ? 'set' : 'clear'}: ${isSet ? SEV_POLICY_FLAGS[name].set : SEV_POLICY_FLAGS[name].clear}.`;
  });
  sentences.push(
    hasApiFloor(policy)
      ? `Firmware older than API ${policy.minApiMajor}.${policy.minApiMinor} must refuse the guest.`
      : 'Firmware of any API version may run the guest.',
  );
  const known = KNOWN_POLICIES.get(policy.value);
  return known === undefined ? sentences : [...sentences, known];
}

const KNOWN_POLICIES: ReadonlyMap<number, string> = new Map([
  [
    0x0033,
    'This is the policy that OpenStack nova gives every SEV guest; neither tenant nor operator can change it. It asks for no SEV-ES.',
  ],
  [
    0x0003,
    'This is the policy of the examples in libvirt\'s article "Launch security with AMD SEV": nova\'s without DOMAIN and SEV, so migration is not limited.',
  ],
  [
    0x0037,
    "This is the policy in the domain XML example of nova's specification, whose own text says 0x0033: the example adds ES. Later nova uses it for SEV-ES guests.",
  ],
]);

function hasApiFloor(policy: SevPolicy): boolean {
  return policy.minApiMajor > 0 || policy.minApiMinor > 0;
}

function bitNumbers(mask: number): number[] {
  return Array.from({ length: 32 }, (_, bit) => bit).filter((bit) => (mask & (1 << bit)) !== 0);
}
