import type { Fault } from '../fakelibvirt/index.ts';
import { FEW_SLOTS, type Observed, type RedByScenario, type Trial } from './fault-trials.ts';

/** What one trial showed, held against what the catalogue says. */
export interface FaultRow {
  readonly fault: string;
  readonly profile: string;
  /** Where the host was given fewer slots than its profile has. */
  readonly slots?: number;
  readonly outcome: 'caught' | 'missed' | 'clean' | 'false-alarm';
  /** `scenario: check` that was red but not expected, or expected but not red. */
  readonly unexpected: readonly string[];
  readonly missing: readonly string[];
  /** Scenarios that were run, and those left out because their clean run never asked for the fault. */
  readonly ran: number;
  readonly leftOut: number;
}

function expectedRed(fault: Fault, profile: string): RedByScenario {
  const red: RedByScenario = new Map();
  for (const { scenario, checks, profiles: on } of fault.expected) {
    if (on !== undefined && !(on as readonly string[]).includes(profile)) continue;
    red.set(scenario, new Set([...(red.get(scenario) ?? []), ...checks]));
  }
  return red;
}

export function judge({ profile, fault, maxAsid }: Trial, observed: Observed): FaultRow {
  const { red } = observed;
  const named = fault === undefined ? new Map<string, Set<string>>() : expectedRed(fault, profile);
  const expected = new Map([...named].filter(([scenario]) => !observed.skipped.has(scenario)));
  const without = (from: RedByScenario, other: RedByScenario) =>
    [...from].flatMap(([scenario, checks]) =>
      [...checks].filter((check) => !other.get(scenario)?.has(check)).map((check) => `${scenario}: ${check}`),
    );
  const unexpected = without(red, expected);
  const missing = without(expected, red);
  const caught = red.size > 0 && missing.length === 0;
  const outcome = unexpected.length > 0 ? 'false-alarm' : fault === undefined ? 'clean' : caught ? 'caught' : 'missed';
  const leftOut = observed.leftOut.size;
  const ran = observed.ended - leftOut;
  const slots = maxAsid === undefined ? {} : { slots: FEW_SLOTS };
  return { fault: fault?.id ?? 'none', profile, ...slots, outcome, unexpected, missing, ran, leftOut };
}

export function formatRow(row: FaultRow): string {
  const host = row.slots === undefined ? row.profile : `${row.profile} with ${row.slots} slots`;
  const what = `${row.fault === 'none' ? 'no fault' : row.fault}, ${host}`;
  const details = [
    ...row.unexpected.map((check) => `  red, but not expected: ${check}`),
    ...row.missing.map((check) => `  expected red, but is not: ${check}`),
  ];
  return [`${row.outcome.padEnd(12)} ${what}`, ...details].join('\n');
}

/** How far the trials are, of which `surprising` have shown red where nothing should be. */
export function formatProgress({
  runs,
  ofRuns,
  surprising,
}: {
  readonly runs: number;
  readonly ofRuns: number;
  readonly surprising: number;
}): string {
  const so = surprising === 0 ? 'no false alarm so far' : `false alarms in ${surprising} trials so far`;
  return `${`${Math.floor((100 * runs) / ofRuns)} %`.padEnd(12)} ${runs} of ${ofRuns} scenario runs, ${so}`;
}

/** One line for each profile with faults, and how much was really run. */
export function formatTotals(rows: readonly FaultRow[]): string[] {
  const profileNames = new Set(rows.filter((row) => row.fault !== 'none').map((row) => row.profile));
  const perProfile = [...profileNames].map((profile) => {
    const own = rows.filter((row) => row.profile === profile);
    const count = (outcome: FaultRow['outcome']) => own.filter((row) => row.outcome === outcome).length;
    const faults = own.filter((row) => row.fault !== 'none').length;
    return `${profile.padEnd(12)} ${faults} faults, ${count('caught')} caught, ${count('false-alarm')} false alarms`;
  });
  const sum = (of: 'ran' | 'leftOut') => rows.reduce((total, row) => total + row[of], 0);
  const leftOut = sum('leftOut');
  return [
    ...perProfile,
    `${sum('ran')} scenario runs; ${leftOut} left out, whose clean run never asked for the fault${leftOut > 0 ? ' (--all runs them)' : ''}`,
  ];
}
