import type { SevFacts } from '../host/facts.ts';
import { capabilitiesOf } from '../host/needs.ts';
import { ruleCatalogue } from './catalogue.ts';
import { child } from './domain.ts';
import { type ProfileName, sourceOf } from './rule.ts';
import { applyEdits, removeElement, setAttribute, setText, type TextEdit } from './xml-edit.ts';
import { readXml, type XmlDocument, type XmlElement } from './xml-reader.ts';

/** A conformant guest with one rule broken that hosts enforce. */
export interface Mutant {
  /** Id of the check that judges it. */
  readonly id: string;
  readonly title: string;
  /** The finding that the linter must report, and under which profile. */
  readonly rule: string;
  readonly profile: ProfileName;
  readonly refusedAt: 'define' | 'start';
  /** The diagnoses that explain the refusal, by the host's age. */
  readonly diagnoses: readonly string[];
  /** Why the host cannot show it. */
  readonly isOutOfReach?: (facts: SevFacts) => string | undefined;
  readonly mutate: (document: XmlDocument, launchSecurity: XmlElement) => TextEdit | undefined;
}

/** The sentence that a mutant breaks, from the rule's own entry. */
export function sentenceOf({ rule }: Mutant): string {
  const entry = ruleCatalogue.find(({ id }) => id === rule);
  return entry === undefined ? '' : sourceOf(entry);
}

/** Every rule that libvirt, QEMU or KVM enforces by refusing the guest. */
export const enforcedMutants: readonly Mutant[] = [
  {
    id: 'wrong-cbitpos-refused',
    title: "a cbitpos that is not the host's is refused",
    rule: 'CBITPOS-MISMATCH',
    profile: 'modern',
    refusedAt: 'start',
    diagnoses: ['cbitpos-wrong'],
    mutate: (document, security) => replaceNumber(document, security, 'cbitpos', (cbitpos) => cbitpos - 1),
  },
  {
    id: 'zero-reduced-phys-bits-refused',
    title: 'reducedPhysBits 0 is refused',
    rule: 'REDUCEDPHYSBITS-MISMATCH',
    profile: 'modern',
    refusedAt: 'start',
    diagnoses: ['reduced-phys-bits-wrong'],
    mutate: (document, security) => replaceNumber(document, security, 'reducedPhysBits', () => 0),
  },
  {
    id: 'missing-policy-refused',
    title: 'a guest without policy is refused',
    rule: 'POLICY-MISSING',
    profile: 'modern',
    refusedAt: 'define',
    diagnoses: ['policy-missing'],
    mutate: (document, security) => withChild(security, 'policy', (policy) => removeElement(document, policy)),
  },
  {
    id: 'unknown-type-refused',
    title: 'launch security of a type that is none is refused',
    rule: 'LS-TYPE',
    profile: 'modern',
    refusedAt: 'define',
    diagnoses: ['launch-security-type'],
    mutate: (document, security) => setAttribute(document, security, 'type', 'sev-x'),
  },
  {
    id: 'es-policy-without-es-refused',
    title: 'a policy with SEV-ES is refused where the host has no SEV-ES',
    rule: 'POLICY-NOT-0x0033',
    profile: 'train',
    refusedAt: 'start',
    diagnoses: ['es-not-available', 'no-such-pool', 'es-refused-while-snp-is-on'],
    isOutOfReach: (facts) => (capabilitiesOf(facts)['sev-es'].met ? 'the host has SEV-ES' : undefined),
    mutate: (document, security) => withChild(security, 'policy', (policy) => setText(document, policy, '0x0037')),
  },
];

/** The mutant's XML; undefined when the guest has nothing to change. */
export function mutantXml(xml: string, { mutate }: Mutant): string | undefined {
  const document = readXml(xml);
  const security = child(document.root, 'launchSecurity');
  const edit = security === undefined ? undefined : mutate(document, security);
  return edit === undefined ? undefined : applyEdits(xml, [edit]);
}

function replaceNumber(
  document: XmlDocument,
  security: XmlElement,
  name: string,
  change: (value: number) => number,
): TextEdit | undefined {
  return withChild(security, name, (element) => setText(document, element, String(change(Number(element.text)))));
}

function withChild(parent: XmlElement, name: string, edit: (element: XmlElement) => TextEdit): TextEdit | undefined {
  const element = child(parent, name);
  return element === undefined ? undefined : edit(element);
}
