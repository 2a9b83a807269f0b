import { biosChecks } from './checks/bios.ts';
import { conditionChecks, type TruthTable, truthTableOf } from './checks/conditions.ts';
import { kernelChecks } from './checks/kernel.ts';
import { memoryChecks } from './checks/memory.ts';
import { novaChecks } from './checks/nova.ts';
import { processorChecks } from './checks/processor.ts';
import { sevFirmwareChecks } from './checks/sev-firmware.ts';
import { virtualizationChecks } from './checks/virtualization.ts';
import { known, type PreflightReadings } from './readings.ts';
import type { Finding, PreflightCheck, PreflightOptions, PreflightOutcome, PreflightRow, WrongWay } from './row.ts';

/** Something that is wrong with the host, by name, with the row that found it. */
export interface Diagnosis {
  readonly way: WrongWay;
  readonly row: string;
  readonly because: string;
  readonly hint?: string;
}

export interface PreflightReport {
  /** `usable` for SEV guests; `unknown` when nothing is wrong and one of the two conditions could not be read. */
  readonly verdict: 'usable' | 'unusable' | 'unknown';
  readonly conditions: TruthTable;
  /** What is wrong, the root first. */
  readonly diagnoses: readonly Diagnosis[];
  readonly counts: Readonly<Record<PreflightOutcome, number>>;
  readonly rows: readonly PreflightRow[];
  /** Lines of the kernel log about SEV, as evidence. */
  readonly kernelLog: readonly string[];
}

const CHECKS: readonly PreflightCheck[] = [
  ...processorChecks,
  ...biosChecks,
  ...kernelChecks,
  ...sevFirmwareChecks,
  ...virtualizationChecks,
  ...memoryChecks,
  ...conditionChecks,
  ...novaChecks,
];

/** Judges what was read. Pure: the same readings give the same report. */
export function evaluatePreflight(readings: PreflightReadings, options: PreflightOptions = {}): PreflightReport {
  const rows = new Map<string, PreflightRow>();
  for (const check of CHECKS) {
    const { id, parent, title, source } = check;
    const finding = inherited(parent === undefined ? undefined : rows.get(parent)) ?? check.evaluate(readings, options);
    rows.set(id, { id, ...(parent === undefined ? {} : { parent }), title, ...finding, source });
  }
  const ordered = inTreeOrder([...rows.values()]);
  const conditions = truthTableOf(readings);
  const hasFailed = ordered.some((row) => row.outcome === 'fail');
  return {
    verdict: hasFailed ? 'unusable' : conditions.sev === 'yes' ? 'usable' : 'unknown',
    conditions,
    diagnoses: diagnosesOf(ordered),
    counts: countsOf(ordered),
    rows: ordered,
    kernelLog: known(readings.kernelLog) ?? [],
  };
}

/** A failed parent skips its children, and what does not apply takes its children along. */
function inherited(parent: PreflightRow | undefined): Finding | undefined {
  switch (parent?.outcome) {
    case 'fail':
      return { outcome: 'skip', because: `${parent.id} failed` };
    case 'skip':
      return { outcome: 'skip', because: parent.because ?? `${parent.id} was skipped` };
    case 'n/a':
      return { outcome: 'n/a', because: parent.because ?? `${parent.id} does not apply` };
    default:
      return undefined;
  }
}

/** Each row followed by its descendants. */
function inTreeOrder(rows: readonly PreflightRow[], parent?: string): PreflightRow[] {
  return rows.filter((row) => row.parent === parent).flatMap((row) => [row, ...inTreeOrder(rows, row.id)]);
}

function diagnosesOf(rows: readonly PreflightRow[]): Diagnosis[] {
  return rows.flatMap((row) =>
    row.way === undefined
      ? []
      : [
          {
            way: row.way,
            row: row.id,
            because: row.because ?? row.found ?? row.title,
            ...(row.hint === undefined ? {} : { hint: row.hint }),
          },
        ],
  );
}

function countsOf(rows: readonly PreflightRow[]): Record<PreflightOutcome, number> {
  const counts: Record<PreflightOutcome, number> = { pass: 0, warn: 0, fail: 0, skip: 0, 'n/a': 0, unknown: 0 };
  for (const row of rows) counts[row.outcome]++;
  return counts;
}
