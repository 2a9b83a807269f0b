import { harnessError } from '../errors.ts';
import { ruleCatalogue } from './catalogue.ts';
import { attribute, pathOf, shown, viewDomain } from './domain.ts';
import { type HostValues, type ProfileName, ruleId, type Severity, sourceOf } from './rule.ts';
import { applyEdits, type Change, type TextEdit } from './xml-edit.ts';
import { readXml, type XmlDocument } from './xml-reader.ts';

export interface Finding {
  readonly rule: string;
  readonly severity: Severity;
  /** XPath, then line and column from 1: `/domain/os/loader at 12:5`. */
  readonly location: string;
  readonly message: string;
  /** The sentence that is broken, with its document. */
  readonly source: string;
}

/** A finding with what would mend it. */
export interface Suggestion extends Finding {
  readonly suggestion: string;
  /** Absent where a person has to decide. */
  readonly edits?: readonly TextEdit[];
}

export interface LintOptions {
  readonly profile: ProfileName;
  /** Values of the host's domain capabilities; without them they are not compared. */
  readonly host?: HostValues;
}

export interface LintReport {
  /** Whether the domain has `<launchSecurity>`: the rules are for domains that have. */
  readonly isEncrypted: boolean;
  readonly findings: readonly Suggestion[];
}

/**
 * Judges domain XML by the rules of the profile, in the order of the document.
 *
 * Nothing is read but the text. Throws `DOMAIN_XML_MALFORMED`, `DOMAIN_XML_FORBIDDEN`, `DOMAIN_XML_OTHER_ROOT`.
 */
export function lintDomain(xml: string, options: LintOptions): LintReport {
  const document = readDomain(xml);
  const domain = viewDomain(document);
  const context = { domain, profile: options.profile, host: options.host };
  const findings: (Suggestion & { start: number })[] = [];
  for (const rule of ruleCatalogue) {
    const severity = rule.severity[options.profile];
    if (severity === undefined) continue;
    for (const problem of rule.check(context)) {
      const { line, column } = document.placeOf(problem.at.start);
      findings.push({
        start: problem.at.start,
        rule: ruleId(rule, problem),
        severity: problem.severity ?? severity,
        location: `${pathOf(problem.at)} at ${line}:${column}`,
        message: problem.message,
        source: sourceOf(rule, problem),
        suggestion: problem.suggestion,
        ...(problem.edits === undefined ? {} : { edits: problem.edits }),
      });
    }
  }
  findings.sort((a, b) => a.start - b.start);
  return {
    isEncrypted: domain.launchSecurity !== undefined,
    findings: findings.map(({ start: _, ...finding }) => finding),
  };
}

export interface FixReport extends LintReport {
  /** The document with the changes; the very same text when nothing could be changed. */
  readonly xml: string;
  /** Findings that are gone now. */
  readonly mended: readonly Suggestion[];
  /** All that was changed, in the order in which it was. */
  readonly changes: readonly RuleChange[];
}

/** A change, and the rule that asks for it. */
export interface RuleChange extends Change {
  readonly rule: string;
}

/** Each round mends what does not touch another change; a document that never settles is left at the last round. */
const MAX_ROUNDS = 40;

/** Makes every suggested change that is certain, and leaves the rest of the text as it is, byte for byte. */
export function fixDomain(xml: string, options: LintOptions): FixReport {
  let mended: readonly Suggestion[] = [];
  let text = xml;
  let report = lintDomain(text, options);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const chosen = withoutConflicts(report.findings, text.length);
    if (chosen.length === 0) break;
    mended = [...mended, ...chosen];
    const edits = chosen.flatMap((finding) => finding.edits ?? []);
    text = applyEdits(text, edits);
    report = lintDomain(text, options);
  }
  const changes = mended.flatMap(({ rule, edits = [] }) =>
    edits.flatMap(({ change }) => (change.from === change.to ? [] : [{ rule, ...change }])),
  );
  return { ...report, xml: text, mended, changes };
}

/** Findings whose edits touch no edit of an earlier one, not even at the same place. */
function withoutConflicts(findings: readonly Suggestion[], length: number): Suggestion[] {
  const taken = new Uint8Array(length + 1);
  return findings.filter(({ edits = [] }) => {
    if (edits.length === 0 || edits.some(({ start, end }) => taken.subarray(start, end + 1).includes(1))) return false;
    for (const { start, end } of edits) taken.fill(1, start, end + 1);
    return true;
  });
}

function readDomain(xml: string): XmlDocument {
  const document = readXml(xml);
  if (document.root.name !== 'domain')
    throw harnessError('DOMAIN_XML_OTHER_ROOT', `the root element is <${document.root.name}>, not <domain>`, {
      hint: 'Give the XML of one domain, as virsh dumpxml prints it.',
    });
  const namespace = attribute(document.root, 'xmlns');
  if (namespace !== undefined && namespace !== '')
    throw harnessError(
      'DOMAIN_XML_OTHER_ROOT',
      `<domain> is of the namespace '${shown(namespace)}', in which libvirt finds nothing`,
      { hint: 'Leave xmlns="…" out; namespaces with a prefix, such as xmlns:qemu, may stay.' },
    );
  return document;
}
