import type { DomainView } from './domain.ts';
import { type Quote, quoteText } from './sources.ts';
import type { TextEdit } from './xml-edit.ts';
import type { XmlElement } from './xml-reader.ts';

export type Severity = 'error' | 'warning';

/** `train`: what the seed documents ask. `modern`: the same guests on QEMU 6.2, libvirt 8 and later. */
export type ProfileName = 'train' | 'modern';

export const PROFILES: readonly ProfileName[] = ['train', 'modern'];

/** What the host's domain capabilities say; without it, mismatches cannot be judged. */
export interface HostValues {
  readonly cbitpos: number;
  readonly reducedPhysBits: number;
}

export interface RuleContext {
  readonly domain: DomainView;
  readonly profile: ProfileName;
  readonly host: HostValues | undefined;
}

/** One place in the document that breaks a rule. */
export interface Problem {
  /** The `<kind>` of the rule's id, where it has one. */
  readonly kind?: string;
  readonly at: XmlElement;
  readonly message: string;
  /** The change that is asked for, in words or XML. */
  readonly suggestion: string;
  /** The same as edits of the text; absent where a person has to decide. */
  readonly edits?: readonly TextEdit[];
  /** Where this place is less grave than the rule. */
  readonly severity?: Severity;
  /** The sentence that this place breaks, where it is not the rule's own. */
  readonly source?: Quote;
}

export interface Rule {
  /** As reported; a part in angle brackets stands for the problem's kind. */
  readonly id: string;
  /** The rule as a promise about the document. */
  readonly promise: string;
  /** A profile that is absent does not have the rule. */
  readonly severity: Readonly<Partial<Record<ProfileName, Severity>>>;
  readonly sources: readonly Quote[];
  check(context: RuleContext): Iterable<Problem>;
}

export function ruleId(rule: Rule, problem: Problem): string {
  return problem.kind === undefined ? rule.id : rule.id.replace(/<[a-z]+>$/, problem.kind);
}

export function sourceOf(rule: Rule, problem?: Problem): string {
  return (problem?.source === undefined ? rule.sources : [problem.source]).map(quoteText).join('; ');
}
