import { child, childText, type DomainView, shown } from '../domain.ts';
import type { Problem, Rule } from '../rule.ts';
import { SENTENCE } from '../sources.ts';
import { appendChild, setText } from '../xml-edit.ts';
import type { XmlElement } from '../xml-reader.ts';
import { isSev, isSnp, NOVA_POLICY, parsePolicy, policyText, SEV_POLICY, SNP_POLICY, weakens } from './policy-value.ts';

const SNP_ABI = { document: 'SEV-SNP firmware ABI', text: 'guest policy, bit 17: reserved, must be one' } as const;
const SNP_LAUNCH_START = { document: 'Linux', text: 'arch/x86/kvm/svm/sev.c, snp_launch_start' } as const;
const SNP_DEBUG = { document: 'SEV-SNP firmware ABI', text: 'guest policy, bit 19: debugging is allowed' } as const;
const SNP_DEFAULT = 0x30000n;

export const policyRules: readonly Rule[] = [
  {
    id: 'POLICY-MISSING',
    promise: '<policy> is given, as a hexadecimal number that fits',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.policy],
    *check({ domain, profile }) {
      const { launchSecurity, document } = domain;
      if (launchSecurity === undefined || !(isSev(domain) || (isSnp(domain) && profile === 'modern'))) return;
      if (readPolicy(domain)?.value !== undefined) return;
      const element = child(launchSecurity, 'policy');
      const bits = isSnp(domain) ? 64 : 32;
      const words = childText(launchSecurity, 'policy');
      // What only has white space behind it says what its owner wants, which may be more than nova's.
      const readable = words !== undefined && parsePolicy(words, bits) !== undefined ? words : undefined;
      const value = readable ?? (isSnp(domain) ? policyText(SNP_DEFAULT, 8) : policyText(NOVA_POLICY.sev));
      yield {
        at: element ?? launchSecurity,
        message:
          words === undefined
            ? '<policy> is missing, and libvirt refuses the domain'
            : `<policy> is '${shown(words)}'${readable === undefined ? '' : ' with white space behind it'}, which libvirt does not read as a number of ${bits} bits`,
        suggestion: `<policy>${value}</policy>`,
        edits: [
          element === undefined
            ? appendChild(document, launchSecurity, [`<policy>${value}</policy>`])
            : setText(document, element, value),
        ],
      };
    },
  },
  {
    id: 'POLICY-NOT-0x0033',
    promise: 'the policy is 0x0033',
    severity: { train: 'error' },
    sources: [SENTENCE.policy],
    *check({ domain }) {
      const policy = isSev(domain) ? readPolicy(domain) : undefined;
      if (policy?.value === undefined || policy.value === NOVA_POLICY.sev) return;
      const asksForEs = (policy.value & SEV_POLICY.es) !== 0n;
      yield changedPolicy(domain, policy, {
        message: `the policy is ${policyText(policy.value)}, not 0x0033`,
        suggestion: asksForEs
          ? 'SEV-ES is newer than the seed documents: judge it with --profile modern'
          : '<policy>0x0033</policy>',
        to: asksForEs ? undefined : NOVA_POLICY.sev,
      });
    },
  },
  {
    id: 'POLICY-NOT-NOVA',
    promise: 'the policy is 0x0033, or 0x0037 with SEV-ES',
    severity: { modern: 'error' },
    sources: [SENTENCE.policy, { document: 'nova', text: 'SEV-ES adds bit 2: 0x0037 (since 2025.2)' }],
    *check({ domain }) {
      const policy = isSev(domain) ? readPolicy(domain) : undefined;
      if (policy?.value === undefined) return;
      const wanted = (policy.value & SEV_POLICY.es) === 0n ? NOVA_POLICY.sev : NOVA_POLICY['sev-es'];
      if (policy.value === wanted) return;
      yield changedPolicy(domain, policy, {
        message: `the policy is ${policyText(policy.value)}; nova's is ${policyText(wanted)}`,
        suggestion: `<policy>${policyText(wanted)}</policy>`,
        to: wanted,
      });
    },
  },
  {
    id: 'POLICY-DEBUG-ALLOWED',
    promise: 'the policy forbids debugging (bit 0, NODBG)',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.policyHides],
    *check({ domain }) {
      const policy = isSev(domain) ? readPolicy(domain) : undefined;
      if (policy?.value === undefined || (policy.value & SEV_POLICY.nodbg) !== 0n) return;
      yield changedPolicy(domain, policy, {
        message: `the policy ${policyText(policy.value)} lets the host decrypt the guest's memory (DBG_DECRYPT)`,
        suggestion: `<policy>${policyText(policy.value | SEV_POLICY.nodbg)}</policy>`,
        to: policy.value | SEV_POLICY.nodbg,
      });
    },
  },
  {
    id: 'SNP-POLICY-RESERVED-BIT',
    promise: 'bit 17 of the SNP policy is set',
    severity: { modern: 'error' },
    sources: [SNP_ABI, SNP_LAUNCH_START],
    *check({ domain }) {
      const policy = isSnp(domain) ? readPolicy(domain) : undefined;
      if (policy?.value === undefined || (policy.value & SNP_POLICY.reservedOne) !== 0n) return;
      yield changedPolicy(domain, policy, {
        message: `the SNP policy ${policyText(policy.value, 8)} has bit 17 clear: KVM refuses to launch it (EINVAL)`,
        suggestion: `<policy>${policyText(policy.value | SNP_POLICY.reservedOne, 8)}</policy>`,
        to: policy.value | SNP_POLICY.reservedOne,
      });
    },
  },
  {
    id: 'SNP-POLICY-DEBUG-ALLOWED',
    promise: 'the SNP policy forbids debugging (bit 19 clear)',
    severity: { modern: 'error' },
    sources: [SNP_DEBUG, SENTENCE.policyHides],
    *check({ domain }) {
      const policy = isSnp(domain) ? readPolicy(domain) : undefined;
      if (policy?.value === undefined || (policy.value & SNP_POLICY.debug) === 0n) return;
      yield changedPolicy(domain, policy, {
        message: `the SNP policy ${policyText(policy.value, 8)} lets the host decrypt the guest's memory`,
        suggestion: `<policy>${policyText(policy.value & ~SNP_POLICY.debug, 8)}</policy>`,
        to: policy.value & ~SNP_POLICY.debug,
      });
    },
  },
];

interface Policy {
  readonly element: XmlElement;
  readonly value: bigint | undefined;
}

function readPolicy(domain: DomainView): Policy | undefined {
  const element = child(domain.launchSecurity, 'policy');
  return element === undefined ? undefined : { element, value: parsePolicy(element.text, isSnp(domain) ? 64 : 32) };
}

/** A policy is bound into the owner's session: changing one under a session makes LAUNCH_START fail with code 11. */
function changedPolicy(
  domain: DomainView,
  { element, value }: Policy,
  { message, suggestion, to }: { message: string; suggestion: string; to: bigint | undefined },
): Problem {
  const bound = childText(domain.launchSecurity, 'session') !== undefined;
  const weaker = to !== undefined && value !== undefined && isSev(domain) && weakens(value, to);
  const asked = weaker ? `${suggestion}, if the guest's owner can do without what that gives up` : suggestion;
  return {
    at: element,
    message,
    suggestion: bound ? `${asked}, and a new session: <session> is bound to the policy` : asked,
    // Who forbade the host more than nova does may have meant it.
    ...(to === undefined || bound || weaker
      ? {}
      : { edits: [setText(domain.document, element, policyText(to, isSnp(domain) ? 8 : 4))] }),
  };
}
