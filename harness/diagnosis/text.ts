import type { Diagnosis, DiagnosisFinding } from './diagnose.ts';

export interface DiagnosisPaint {
  red(text: string): string;
  yellow(text: string): string;
  green(text: string): string;
  dim(text: string): string;
}

/** The diagnosis for people: each cause with what to do, then what merely followed, then what is harmless. */
export function formatDiagnosis(diagnosis: Diagnosis, paint: DiagnosisPaint): string {
  const { findings, unknown, unknownCount, tableVersion } = diagnosis;
  const lines: string[] = [headline(diagnosis)];
  for (const finding of findings) lines.push('', ...formatFinding(finding, paint));
  if (unknownCount > 0) {
    lines.push('', `  ${paint.yellow('unknown')}  the table does not know ${plural(unknownCount, 'line')} of failure:`);
    for (const { evidence, line, text } of unknown) lines.push(`           ${evidence}:${line}: ${text}`);
    if (unknownCount > unknown.length) lines.push(`           … and ${unknownCount - unknown.length} more`);
  }
  lines.push('', paint.dim(`  diagnosis table version ${tableVersion}; docs/diagnosis.md lists it`));
  return `${lines.join('\n')}\n`;
}

/** Whether the failure, if there is one, has a cause that the table names; of several starts in one log, the last one's. */
export function isExplained({ findings, unknownCount }: Diagnosis): boolean {
  const recent = findings.filter(({ isFromEarlierStart }) => !isFromEarlierStart);
  if (recent.some(({ kind }) => kind === 'cause')) return true;
  return unknownCount === 0 && !recent.some(({ kind }) => kind === 'symptom');
}

function headline(diagnosis: Diagnosis): string {
  const { findings, unknownCount } = diagnosis;
  const recent = findings.filter(({ isFromEarlierStart }) => !isFromEarlierStart);
  const countCauses = (some: readonly DiagnosisFinding[]) => some.filter(({ kind }) => kind === 'cause').length;
  const causes = countCauses(recent);
  const earlier = countCauses(findings) - causes;
  const more = earlier === 0 ? '' : ` ${plural(earlier, 'cause')} of earlier starts below.`;
  if (causes > 0) return `${plural(causes, 'cause')} found, the surest first.${more}`;
  if (isExplained(diagnosis))
    return earlier === 0
      ? 'Nothing in it reports a failure.'
      : `Nothing since the last start reports a failure.${more}`;
  const symptoms = recent.some(({ kind }) => kind === 'symptom');
  return symptoms && unknownCount === 0
    ? `Something failed, and the lines that say why are not here.${more}`
    : `Something failed in words that the table does not know.${more}`;
}

function formatFinding(finding: DiagnosisFinding, paint: DiagnosisPaint): string[] {
  const { kind, confidence, cause, fix, caution, evidence, line, text, occurrences, id, source } = finding;
  const label = { cause: paint.red('cause'), symptom: paint.yellow('followed'), benign: paint.green('harmless') }[kind];
  const age = finding.isFromEarlierStart ? ', of an earlier start' : '';
  const sureness = kind === 'cause' ? `, ${confidence}${age}` : age;
  const times = occurrences === 1 ? '' : ` (${occurrences} times)`;
  const words = finding.writtenBy === undefined ? '' : `; words of ${finding.writtenBy}`;
  return [
    `  ${label}  ${cause}`,
    ...(kind === 'benign' ? [] : [`         do: ${fix}`]),
    ...(caution === undefined ? [] : [`         beware: ${caution}`]),
    `         ${evidence}:${line}${times}: ${text}`,
    paint.dim(`         ${id}${sureness}; ${source}${words}`),
  ];
}

function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
