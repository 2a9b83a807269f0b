import type { Finding, LintReport, RuleChange } from './lint.ts';
import type { ProfileName } from './rule.ts';

/** The colours that a terminal can show; each returns its text as it is where there are none. */
export interface LintPaint {
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
  dim(text: string): string;
}

export interface LintSubject {
  readonly name: string;
  readonly profile: ProfileName;
  /** Where the host's values come from; undefined when there are none. */
  readonly comparedWith: string | undefined;
}

/** The findings for people: rule and place, what is wrong, what to change, and who says so. */
export function formatFindings(report: LintReport, subject: LintSubject, paint: LintPaint): string {
  const { findings, isEncrypted } = report;
  const values =
    subject.comparedWith === undefined
      ? 'host values not compared'
      : `host values compared with ${subject.comparedWith}`;
  const head = `${subject.name}: ${summaryOf(findings)} (profile ${subject.profile}, ${values})`;
  const lines = [findings.length === 0 ? paint.green(head) : head];
  if (!isEncrypted && findings.length === 0)
    lines.push('  no <launchSecurity>, and nothing that asks for it: the rules are for SEV guests');
  for (const { rule, severity, location, message, suggestion, source } of findings)
    lines.push(
      '',
      `  ${severity === 'error' ? paint.red('error  ') : paint.yellow('warning')} ${rule}  ${location}`,
      `          ${message}`,
      `          change: ${suggestion}`,
      paint.dim(`          ${source}`),
    );
  return `${lines.join('\n')}\n`;
}

/** One line for each change: `  /domain/os/type/@machine: pc → q35  (MACHINE-NOT-Q35)`. */
export function formatChanges(changes: readonly RuleChange[]): string {
  return changes
    .map(({ place, from = 'nothing', to = 'nothing', rule }) => `  ${place}: ${from} → ${to}  (${rule})\n`)
    .join('');
}

/** `2 errors, 1 warning`. */
export function summaryOf(findings: readonly Finding[]): string {
  const count = (severity: Finding['severity']) => findings.filter((finding) => finding.severity === severity).length;
  const words = (number: number, word: string) => (number === 0 ? [] : [`${number} ${word}${number === 1 ? '' : 's'}`]);
  const parts = [...words(count('error'), 'error'), ...words(count('warning'), 'warning')];
  return parts.length === 0 ? 'clean' : parts.join(', ');
}
