import { KNOWN_DEFECTS } from './catalogue.ts';
import type { DefectVerdict, Detection, JudgedDefect } from './defect.ts';
import type { DefectReadings } from './readings.ts';

export function judgeDefects(readings: DefectReadings): readonly JudgedDefect[] {
  return KNOWN_DEFECTS.map((defect) => ({ defect, ...defect.judge(readings) }));
}

/** Defects that this host is shown to have, by what showed it. */
export function vulnerableTo(judged: readonly JudgedDefect[], ...by: readonly Detection[]): string[] {
  return judged
    .filter(({ defect, verdict }) => verdict === 'vulnerable' && by.includes(defect.detection))
    .map(({ defect, because }) => `${defect.id} (${defect.names}): ${because}`);
}

/** Defects that nobody could judge for want of what every host tells. */
export function unjudged(judged: readonly JudgedDefect[]): string[] {
  return judged.flatMap(({ defect, missing }) => (missing === undefined ? [] : [`${defect.id}: no ${missing}`]));
}

const ORDER: readonly DefectVerdict[] = ['vulnerable', 'exposed', 'unknown', 'unseen', 'fixed', 'not affected'];
const MEANING: Readonly<Record<DefectVerdict, string>> = {
  vulnerable: 'shown by a test or a version',
  exposed: 'a property of this generation; nobody claims a fix',
  unknown: 'what would decide it cannot be read here; not "fixed"',
  unseen: 'nothing that can be read shows it',
  fixed: 'shown by a test or a version',
  'not affected': 'does not concern this generation or set-up',
};

/** `26 entries: 2 fixed, 3 exposed, …` */
export function countVerdicts(judged: readonly JudgedDefect[]): string {
  return `${judged.length} entries: ${verdictCounts(judged)}`;
}

/** `6 entries by test: 3 exposed, 2 fixed, 1 not affected`: how many of the list these means looked at. */
export function countLookedAt(judged: readonly JudgedDefect[], ...by: readonly Detection[]): string {
  const rows = judged.filter(({ defect }) => by.includes(defect.detection));
  return `${rows.length} entries by ${by.join(' or ')}: ${verdictCounts(rows)}`;
}

/** `26 entries: 6 by test, …, 3 cannot be seen from outside`. */
export function countMeans(judged: readonly JudgedDefect[]): string {
  const count = (by: Detection) => judged.filter(({ defect }) => defect.detection === by).length;
  const seen = (['test', 'version', 'platform bit'] as const).map((by) => `${count(by)} by ${by}`);
  return `${judged.length} entries: ${seen.join(', ')}, ${count('none')} cannot be seen from outside`;
}

/** What a green verdict leaves open: how many entries nobody could decide here. */
export function undecided(judged: readonly JudgedDefect[], file: string): string | undefined {
  const rows = judged.filter(({ verdict }) => verdict === 'unknown' || verdict === 'unseen');
  if (rows.length === 0) return undefined;
  return `whether ${rows.length} of ${judged.length} known defects are fixed here (${verdictCounts(rows)}): ${file} names them`;
}

function verdictCounts(judged: readonly JudgedDefect[]): string {
  const counts = ORDER.flatMap((verdict) => {
    const count = judged.filter((row) => row.verdict === verdict).length;
    return count === 0 ? [] : [`${count} ${verdict}`];
  });
  return counts.join(', ');
}

/** The tests that could not be made, and why. */
export function untested(judged: readonly JudgedDefect[]): string[] {
  return judged
    .filter(({ defect, verdict }) => defect.detection === 'test' && verdict === 'unknown')
    .map(({ defect, because }) => `${defect.id} was not tested: ${because}`);
}

/** Every defect of the list with its verdict, worst first, and what was looked at. */
export function formatDefects(machine: string, readings: DefectReadings, judged: readonly JudgedDefect[]): string {
  const groups = ORDER.flatMap((verdict) => {
    const rows = judged.filter((row) => row.verdict === verdict);
    if (rows.length === 0) return [];
    return [`${verdict.toUpperCase()} (${MEANING[verdict]})`, ...rows.flatMap(formatRow), ''];
  });
  return [machine, formatVersions(readings), countVerdicts(judged), '', ...groups].join('\n');
}

function formatVersions({ firmware, microcode, kernel, tcb }: DefectReadings): string {
  const parts = [
    firmware === undefined
      ? 'firmware unknown'
      : `firmware ${firmware.apiMajor}.${firmware.apiMinor} build ${firmware.build}`,
    `microcode ${microcode === undefined ? 'unknown' : `0x${microcode.toString(16)}`}`,
    `kernel ${kernel ?? 'unknown'}`,
    'because' in tcb ? `TCB unknown: ${tcb.because}` : `TCB snp ${tcb.snp}, ucode ${tcb.ucode}`,
  ];
  return parts.join('; ');
}

function formatRow({ defect, because }: JudgedDefect): string[] {
  const how = defect.detection === 'none' ? 'cannot be seen from outside' : `by ${defect.detection}`;
  return [`  ${defect.names}`, `      breaks: ${defect.breaks}`, `      ${how}: ${because}`];
}
