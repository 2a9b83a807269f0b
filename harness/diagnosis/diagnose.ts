import type {
  Component,
  Confidence,
  Entry,
  FindingKind,
  RefusalCategory,
  VersionRange,
  VersionTriple,
} from './entry.ts';
import { TABLE_VERSION } from './entry.ts';
import { errnoName, statusText } from './status.ts';
import { diagnosisTable } from './table/index.ts';
import { type KnownVersions, readVersions, writtenBy } from './versions.ts';

/** A text and where it is from: a log file, or libvirt's error with its numbers. */
export interface Evidence {
  readonly name: string;
  readonly text: string;
  readonly libvirt?: { readonly code: number; readonly domain: number };
}

export interface DiagnosisFinding {
  readonly id: string;
  readonly kind: FindingKind;
  readonly confidence: Confidence;
  readonly cause: string;
  readonly fix: string;
  /** What of the text misleads. */
  readonly caution?: string;
  /** Where it was first seen since the last start that its text tells of. */
  readonly evidence: string;
  readonly line: number;
  readonly text: string;
  readonly occurrences: number;
  /** Only on what every log tells of an earlier start alone: libvirt keeps one log for all starts of a guest. */
  readonly isFromEarlierStart?: true;
  /** The versions that print it in these words, where they are known. */
  readonly writtenBy?: string;
  readonly source: string;
  readonly refusal?: RefusalCategory;
}

/** A line that reports a failure and that the table does not know; of several starts in one text, of the last alone. */
export interface UnknownLine {
  readonly evidence: string;
  readonly line: number;
  readonly text: string;
}

export interface Diagnosis {
  readonly tableVersion: number;
  /** As the texts themselves say, or as they were given. */
  readonly versions: KnownVersions;
  /** Causes first, those of the last start first, the surest first. */
  readonly findings: readonly DiagnosisFinding[];
  readonly unknown: readonly UnknownLine[];
  /** How many lines `unknown` would have if it were not cut. */
  readonly unknownCount: number;
}

/** libvirt begins each start of a guest with it. */
const START = 'starting up libvirt version:';
const MAX_UNKNOWN = 20;
/** Longer lines are command lines of QEMU and the like; what matters stands at their start. */
const MAX_LINE = 4096;
const MAX_SHOWN = 300;

const LOOKS_LIKE_FAILURE =
  /\b(?:fail(?:ed|ure)?|error|cannot|can't|could not|unable|refused|denied|invalid|unsupported|not (?:supported|permitted|available|found|accessible)|fatal|panic|timed out|out of memory|killed|segfault|rejected|terminat(?:ed|ing)|abort(?:ed)?|assertion)\b/i;
/** A line of the kernel's log, as dmesg and as journalctl print it, and what of it can concern a guest with SEV. */
const KERNEL_LINE = /^(?:<\d+>)?\[\s*\d+\.\d+\]|\bkernel: \[?/;
const KERNEL_SUBJECT = /\bsev|\bccp\b|kvm|\bsvm\b|amd-vi|\bpsp\b|encrypt|qemu|libvirt|out of memory/i;
/** QEMU prints what is none as `warning: ` or `info: `, behind the option that it concerns. */
const QEMU_ERROR = /\bqemu-(?:system-\w+|kvm): (?!(?:.*: )?(?:warning|info): )/;
/** Success in words of failure. */
const HARMLESS = /\b(?:0 errors?|no errors?|error[ _-]?(?:policy|log|handling)|werror|rerror)\b/i;

const entries: readonly Entry[] = Object.values(diagnosisTable).flat();
const KIND_ORDER: Readonly<Record<FindingKind, number>> = { cause: 0, symptom: 1, benign: 2 };
const CONFIDENCE_ORDER: Readonly<Record<Confidence, number>> = { certain: 0, likely: 1, possible: 2 };

/** Says what the texts of a failed start mean. Never throws: what is not known is said to be unknown. */
export function diagnose(evidence: readonly Evidence[], given: KnownVersions = {}): Diagnosis {
  const versions = { ...readVersions(evidence.map(({ text }) => text)), ...given };
  const findings = new Map<string, DiagnosisFinding>();
  const unknown: UnknownLine[] = [];
  let unknownCount = 0;
  for (const one of evidence) {
    const lastStart = one.text.lastIndexOf(START);
    const denied = entries.filter(({ unless }) => unless?.test(one.text));
    for (const { line, start, text } of linesOf(one.text)) {
      // A kernel knows no starts: its log may stand in front of QEMU's in one text.
      const isEarlier = start < lastStart && !KERNEL_LINE.test(text);
      const matches = explain(text, one, versions);
      for (const { entry, groups } of matches) {
        if (denied.includes(entry)) continue;
        const known = findings.get(entry.id);
        const occurrences = (known?.occurrences ?? 0) + 1;
        const isNews = known === undefined || (known.isFromEarlierStart && !isEarlier);
        const place = { evidence: one.name, line, text: shownLine(text) };
        const seen = isNews ? finding(entry, groups, place, versions) : known;
        const age = isNews && isEarlier ? { isFromEarlierStart: true as const } : {};
        findings.set(entry.id, { ...seen, occurrences, ...age });
      }
      if (matches.length > 0 || isEarlier || !reportsFailure(text)) continue;
      unknownCount++;
      if (unknown.length < MAX_UNKNOWN) unknown.push({ evidence: one.name, line, text: shownLine(text) });
    }
  }
  const order = ({ kind, confidence, isFromEarlierStart }: DiagnosisFinding) =>
    KIND_ORDER[kind] * 6 + (isFromEarlierStart ? 3 : 0) + CONFIDENCE_ORDER[confidence];
  return {
    tableVersion: TABLE_VERSION,
    versions,
    findings: [...findings.values()].sort((a, b) => order(a) - order(b)),
    unknown,
    unknownCount,
  };
}

/** The lines of a text without their ends, cut where they are long. A copy of them all would be as large again. */
function* linesOf(text: string): Iterable<{ line: number; start: number; text: string }> {
  let start = 0;
  for (let line = 1; start <= text.length; line++) {
    const found = text.indexOf('\n', start);
    const end = found < 0 ? text.length : found;
    const bare = text[end - 1] === '\r' && end > start ? end - 1 : end;
    yield { line, start, text: text.slice(start, Math.min(bare, start + MAX_LINE)) };
    start = end + 1;
  }
}

interface Match {
  readonly entry: Entry;
  readonly groups: Readonly<Record<string, string>>;
}

function explain(text: string, { libvirt }: Evidence, versions: KnownVersions): Match[] {
  const all = entries.flatMap((entry): Match[] => {
    const match = entry.pattern.exec(text);
    if (match === null || !isForVersions(entry, versions)) return [];
    if (libvirt && entry.libvirt && !(libvirt.code === entry.libvirt.code && libvirt.domain === entry.libvirt.domain))
      return [];
    const groups = { ...match.groups };
    return entry.applies?.(groups) === false ? [] : [{ entry, groups }];
  });
  const isExplained = all.some(({ entry }) => entry.kind !== 'symptom' && !entry.isFallback);
  return isExplained ? all.filter(({ entry }) => !entry.isFallback) : all;
}

function isForVersions({ versions: ranges }: Entry, versions: KnownVersions): boolean {
  return Object.entries(ranges ?? {}).every(([component, range]) => {
    const version = versions[component as Component];
    return version === undefined || isInRange(version, range);
  });
}

function isInRange(version: VersionTriple, { from, before }: VersionRange): boolean {
  return (from === undefined || compare(version, from) >= 0) && (before === undefined || compare(version, before) < 0);
}

function compare(a: VersionTriple, b: VersionTriple): number {
  const index = a.findIndex((part, at) => part !== b[at]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}

function finding(entry: Entry, groups: Match['groups'], place: UnknownLine, versions: KnownVersions): DiagnosisFinding {
  const isUnsure = Object.keys(entry.versions ?? {}).some(
    (component) => versions[component as Component] === undefined,
  );
  const words = writtenBy(place.text);
  return {
    id: entry.id,
    kind: entry.kind,
    confidence: isUnsure ? 'possible' : entry.confidence,
    cause: fill(entry.cause, groups),
    fix: entry.fix,
    ...(entry.caution === undefined ? {} : { caution: entry.caution }),
    ...place,
    occurrences: 1,
    ...(words === undefined ? {} : { writtenBy: words }),
    source: entry.source,
    ...(entry.refusal === undefined ? {} : { refusal: entry.refusal }),
  };
}

function fill(template: string, groups: Match['groups']): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    if (name === 'errno') return errnoName(groups.ret ?? '');
    if (name === 'status') return statusText(groups.fw ?? groups.fw2 ?? '');
    return shownLine(groups[name] ?? '?');
  });
}

/** Whether a line that the table does not know reports a failure. A kernel has many of its own that concern no guest. */
function reportsFailure(text: string): boolean {
  if (QEMU_ERROR.test(text)) return true;
  if (!LOOKS_LIKE_FAILURE.test(text) || HARMLESS.test(text) || isCommandLine(text)) return false;
  return !KERNEL_LINE.test(text) || KERNEL_SUBJECT.test(text);
}

/** libvirt writes QEMU's command line into its log, environment first, words behind backslashes; the kernel writes its own. */
function isCommandLine(text: string): boolean {
  return (
    /\\$/.test(text) ||
    /^-[a-z]/.test(text) ||
    /^\/\S*qemu\S* /.test(text) ||
    /\b(?:Kernel c|C)ommand line: /.test(text)
  );
}

/** One line as people may read it, without what steers a terminal. */
function shownLine(text: string): string {
  const plain = text.trim().replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd');
  return plain.length <= MAX_SHOWN ? plain : `${plain.slice(0, MAX_SHOWN - 1)}…`;
}
