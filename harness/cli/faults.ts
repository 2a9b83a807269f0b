import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { harnessError } from '../errors.ts';
import { type Fault, faultCatalogue, isProfileName, profiles } from '../fakelibvirt/index.ts';
import { assertKnownFaults } from './fault-names.ts';
import { type FaultRow, formatProgress, formatRow, formatTotals, judge } from './fault-rows.ts';
import { cleanTrials, faultTrials, type RedByScenario, runTrials, type Trial } from './fault-trials.ts';
import { catchInterrupts } from './interrupt.ts';
import { EXIT, say } from './output.ts';
import { loadScenarios, type ScenarioFile } from './scenario-files.ts';

export interface FaultsOptions {
  readonly profile?: string;
  readonly fault: readonly string[];
  readonly json?: boolean;
  /** Also run scenarios whose clean run never asks the host for the fault. */
  readonly all?: boolean;
}

/** Rows come late: this says in the meantime that something goes on. */
const PROGRESS_EVERY_MS = 10_000;

/**
 * Runs every scenario clean on every profile, where all must be green, and under every fault, where exactly the checks
 * that the catalogue names must go red. A scenario that never asks for a fault is run under it only with `all`.
 */
export async function faultsVerb(options: FaultsOptions): Promise<number> {
  const scenarios = await loadScenarios();
  const faults = selectFaults(options);
  const folder = mkdtempSync(path.join(tmpdir(), 'sevh-faults-'));
  using interrupt = catchInterrupts({
    onFirst: () => say('Interrupted: the table below is not complete.'),
    onSecond: async () => {},
  });
  const rows: FaultRow[] = [];
  const report = (row: FaultRow) => {
    rows.push(row);
    if (options.json) process.stdout.write(`${JSON.stringify(row)}\n`);
    else say(formatRow(row));
  };
  const broken = faultTrials(faults, options);
  const trials = [...cleanTrials(broken, options), ...broken];
  const everRed = new Set<string>();
  const noteRed = (red: RedByScenario) => {
    for (const [scenario, checks] of red) for (const check of checks) everRed.add(`${scenario}: ${check}`);
  };
  const surprising = new Set<Trial>();
  let runs = 0;
  let saidAtMs = Date.now();
  const stray: string[] = [];
  try {
    await runTrials({ scenarios, trials, folder, leavesOutUnasked: options.all !== true }, interrupt.signal, {
      onRun: (trial, observed, isLast) => {
        runs++;
        const row = judge(trial, observed);
        if (row.unexpected.length > 0) surprising.add(trial);
        if (isLast) report(row);
        if (isLast && trial.fault !== undefined) noteRed(observed.red);
        if (Date.now() - saidAtMs < PROGRESS_EVERY_MS) return;
        saidAtMs = Date.now();
        say(formatProgress({ runs, ofRuns: trials.length * scenarios.length, surprising: surprising.size }));
      },
      onStray: (what) => stray.push(what),
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  for (const what of stray) say(`error       outside of any scenario: ${what}`);
  const caught = faults.filter((fault) => {
    const own = rows.filter((row) => row.fault === fault.id);
    return own.length > 0 && own.every((row) => row.outcome === 'caught');
  });
  const falseAlarms = rows.filter((row) => row.outcome === 'false-alarm').length;
  const isWholeCatalogue = options.fault.length === 0 && options.profile === undefined;
  const vacuous = isWholeCatalogue ? neverRed(scenarios, everRed) : [];
  for (const check of vacuous) say(`no fault turns this check red: ${check}`);
  for (const line of formatTotals(rows)) say(line);
  say(`${faults.length} faults, ${caught.length} caught, ${falseAlarms} false alarms`);
  if (interrupt.signal.aborted) return EXIT.broken;
  if (stray.length > 0 || rows.length < trials.length) return EXIT.broken;
  return caught.length === faults.length && falseAlarms === 0 && vacuous.length === 0 ? EXIT.ok : EXIT.product;
}

/** Declared checks that stayed green or skipped under every fault: nothing shows that they can fail. */
function neverRed(scenarios: readonly ScenarioFile[], everRed: ReadonlySet<string>): string[] {
  return scenarios
    .flatMap(({ definition }) => Object.keys(definition.checks).map((check) => `${definition.id}: ${check}`))
    .filter((check) => !everRed.has(check));
}

function selectFaults(options: FaultsOptions): readonly Fault[] {
  assertKnownFaults(options.fault);
  if (options.profile !== undefined && !isProfileName(options.profile))
    throw harnessError('CLI_USAGE', `--profile: unknown profile '${options.profile}'`, {
      hint: `Profiles: ${Object.keys(profiles).join(', ')}.`,
    });
  const named = faultCatalogue.filter((fault) => options.fault.length === 0 || options.fault.includes(fault.id));
  const { profile } = options;
  const profilesOf = (fault: Fault): readonly string[] => fault.profiles ?? Object.keys(profiles);
  const faults = profile === undefined ? named : named.filter((fault) => profilesOf(fault).includes(profile));
  if (faults.length === 0)
    throw harnessError('CLI_USAGE', `--profile ${profile}: no such host can have ${options.fault.join(', ')}`, {
      hint: `Profiles that can: ${[...new Set(named.flatMap(profilesOf))].join(', ')}.`,
    });
  return faults;
}
