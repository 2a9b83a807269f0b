import { attribute, child, childText, shown } from '../domain.ts';
import type { HostValues, Problem, Rule, RuleContext } from '../rule.ts';
import { type Quote, SENTENCE } from '../sources.ts';
import { appendChild, setAttribute, setText } from '../xml-edit.ts';
import { whatAsksForEncryption } from './encryption-intent.ts';
import { isSev, isSnp } from './policy-value.ts';

const MAX_NUMBER = 0xffffffff;
const KVM_ONLY: Quote = {
  document: 'QEMU',
  text: 'softmmu/vl.c, without KVM it ends: nothing makes the confidential guest ready (machine->cgs->ready)',
};
const KNOWN_TYPES = ['sev', 'sev-snp'];

export const launchSecurityRules: readonly Rule[] = [
  {
    id: 'LS-MISSING',
    promise: 'a domain that asks for an encrypted guest has <launchSecurity>',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.launchSecurity],
    *check({ domain, profile, host }) {
      const intent = domain.launchSecurity === undefined ? whatAsksForEncryption(domain) : undefined;
      if (intent === undefined) return;
      const needsHost = profile === 'train' && host === undefined;
      yield {
        at: domain.root,
        message: `the guest runs unencrypted: ${intent}, but there is no <launchSecurity>`,
        suggestion: `add <launchSecurity type='sev'> with policy 0x0033${needsHost ? " and the host's cbitpos and reducedPhysBits" : ''}`,
        ...(needsHost ? {} : { edits: [appendChild(domain.document, domain.root, launchSecurityLines(host))] }),
      };
    },
  },
  {
    id: 'LS-TYPE',
    promise: "the type of <launchSecurity> is 'sev' or 'sev-snp'",
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.launchSecurity, SENTENCE.sevType],
    *check({ domain }) {
      const { launchSecurity } = domain;
      if (launchSecurity === undefined) return;
      const type = attribute(launchSecurity, 'type');
      if (type !== undefined && KNOWN_TYPES.includes(type)) return;
      yield {
        at: launchSecurity,
        message:
          type === undefined ? '<launchSecurity> has no type' : `launch security type '${shown(type)}' is not AMD SEV`,
        suggestion: "type='sev'",
        // Another type is what somebody wants of another platform.
        ...(type ? {} : { edits: [setAttribute(domain.document, launchSecurity, 'type', 'sev')] }),
      };
    },
  },
  {
    id: 'LS-TYPE-SNP',
    promise: "the type is 'sev': the seed documents know no SEV-SNP",
    severity: { train: 'error' },
    sources: [SENTENCE.sevType],
    *check({ domain }) {
      if (domain.launchSecurity === undefined || !isSnp(domain)) return;
      yield {
        at: domain.launchSecurity,
        message: "launch security type 'sev-snp' is newer than the seed documents",
        // Rewriting it to 'sev' would take protection away from the guest, so a person has to.
        suggestion: "judge it with --profile modern, or ask for type='sev'",
      };
    },
  },
  {
    id: 'DOMAIN-NOT-KVM',
    promise: "the domain is of type 'kvm'",
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.kvm, KVM_ONLY],
    *check({ domain }) {
      const { document, launchSecurity, root } = domain;
      const type = attribute(root, 'type') ?? '';
      if (launchSecurity === undefined || type === 'kvm') return;
      yield {
        at: root,
        message: `the domain is of type '${shown(type)}', and only KVM can encrypt a guest`,
        suggestion: "type='kvm'",
        edits: [setAttribute(document, root, 'type', 'kvm')],
      };
    },
  },
  {
    id: 'CBITPOS-MISSING',
    promise: '<cbitpos> is given',
    severity: { train: 'error' },
    sources: [SENTENCE.processorFamily],
    check: (context) => missingHostValue(context, 'cbitpos'),
  },
  {
    id: 'CBITPOS-MISMATCH',
    promise: "<cbitpos> is the host's",
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.processorFamily],
    check: (context) => wrongHostValue(context, 'cbitpos'),
  },
  {
    id: 'REDUCEDPHYSBITS-MISSING',
    promise: '<reducedPhysBits> is given',
    severity: { train: 'error' },
    sources: [SENTENCE.processorFamily],
    check: (context) => missingHostValue(context, 'reducedPhysBits'),
  },
  {
    id: 'REDUCEDPHYSBITS-MISMATCH',
    promise: "<reducedPhysBits> is the host's, and at least 1",
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.processorFamily],
    check: (context) => wrongHostValue(context, 'reducedPhysBits'),
  },
];

type HostElement = keyof HostValues;

function* missingHostValue({ domain, host }: RuleContext, name: HostElement): Iterable<Problem> {
  const { launchSecurity, document } = domain;
  if (launchSecurity === undefined || !isSev(domain) || childText(launchSecurity, name) !== undefined) return;
  const value = host?.[name];
  const empty = child(launchSecurity, name);
  yield {
    at: empty ?? launchSecurity,
    message: `<${name}> is ${empty === undefined ? 'missing' : 'empty'}`,
    suggestion:
      value === undefined
        ? `<${name}> with the value of the host's domain capabilities (give --host or --cbitpos and --reduced-phys-bits)`
        : `<${name}>${value}</${name}>`,
    ...(value === undefined
      ? {}
      : {
          edits: [
            empty === undefined
              ? appendChild(document, launchSecurity, [`<${name}>${value}</${name}>`])
              : setText(document, empty, String(value)),
          ],
        }),
  };
}

function* wrongHostValue({ domain, host }: RuleContext, name: HostElement): Iterable<Problem> {
  const { launchSecurity, document } = domain;
  const element = child(launchSecurity, name);
  const given = childText(launchSecurity, name);
  if (element === undefined || given === undefined || !(isSev(domain) || isSnp(domain))) return;
  const because = whatIsWrong(element.text, name, host?.[name]);
  if (because === undefined) return;
  const value = host?.[name];
  yield {
    at: element,
    message: `<${name}> is '${shown(given)}', ${because}`,
    suggestion:
      value === undefined ? `the value of the host's domain capabilities (give --host)` : `<${name}>${value}</${name}>`,
    ...(value === undefined ? {} : { edits: [setText(document, element, String(value))] }),
  };
}

/** libvirt reads the number with strtoul: white space before it is skipped, behind it refused. */
function whatIsWrong(text: string, name: HostElement, expected: number | undefined): string | undefined {
  const given = text.trimStart();
  if (/^\+?[0-9]{1,10}\s+$/.test(given)) return 'with white space behind it, which libvirt refuses';
  if (!/^\+?[0-9]{1,10}$/.test(given)) return 'which is not a whole number';
  if (Number(given) > MAX_NUMBER) return 'which is more than 32 bits';
  if (expected !== undefined) return Number(given) === expected ? undefined : `but the host's is ${expected}`;
  // QEMU refuses 0 whatever the host (sev_kvm_init: "reduced_phys_bits check failed, it should be >=1").
  return name === 'reducedPhysBits' && Number(given) === 0 ? 'and QEMU refuses less than 1' : undefined;
}

function launchSecurityLines(host: HostValues | undefined): string[] {
  const values =
    host === undefined
      ? []
      : [`  <cbitpos>${host.cbitpos}</cbitpos>`, `  <reducedPhysBits>${host.reducedPhysBits}</reducedPhysBits>`];
  return ["<launchSecurity type='sev'>", ...values, '  <policy>0x0033</policy>', '</launchSecurity>'];
}
