import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toHex } from '../../core/bytes.ts';
import type { RunEvent } from '../../reports/model/events.ts';
import { harnessError } from '../errors.ts';
import { type Fault, faultCatalogue, type ProfileName, profiles } from '../fakelibvirt/index.ts';
import { createRunId, currentOwner } from '../guest/ownership.ts';
import { catchInterrupts } from './interrupt.ts';
import { EXIT, say } from './output.ts';
import { runScenarios } from './run-scenarios.ts';
import { loadScenarios, type ScenarioFile } from './scenario-files.ts';

export interface FaultsOptions {
  readonly profile?: string;
  readonly fault: readonly string[];
  readonly json?: boolean;
}

/** What went red in one scenario: failed checks, and `!CODE` for an error that was thrown. */
type RedByScenario = Map<string, Set<string>>;

interface Observed {
  readonly red: RedByScenario;
  /** Scenarios whose needs the profile does not meet. */
  readonly skipped: Set<string>;
}

interface FaultRow {
  readonly fault: string;
  readonly profile: string;
  readonly outcome: 'caught' | 'missed' | 'clean' | 'false-alarm';
  /** `scenario: check` that was red but not expected, or expected but not red. */
  readonly unexpected: readonly string[];
  readonly missing: readonly string[];
}

/** Its slots are few and it has both kinds, so that it runs every scenario, and fast. */
const DEFAULT_PROFILES: readonly ProfileName[] = ['naples-es'];

/**
 * Runs every scenario clean on every profile, where all must be green, and under every fault, where exactly the checks
 * that the catalogue names must go red.
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
  const everRed = new Set<string>();
  const report = (row: FaultRow) => {
    rows.push(row);
    if (options.json) process.stdout.write(`${JSON.stringify(row)}\n`);
    else say(formatRow(row));
  };
  try {
    const everyProfile = options.fault.length === 0 ? Object.keys(profiles) : DEFAULT_PROFILES;
    const cleanProfiles = options.profile === undefined ? everyProfile : [options.profile];
    for (const profile of cleanProfiles) {
      if (interrupt.signal.aborted) break;
      const observed = await redChecks(scenarios, profile, undefined, folder, interrupt.signal);
      report(judge('none', profile, observed, new Map(), true));
    }
    for (const fault of faults) {
      const on = options.profile === undefined ? (fault.profiles ?? DEFAULT_PROFILES) : [options.profile];
      for (const profile of on) {
        if (interrupt.signal.aborted) break;
        const observed = await redChecks(scenarios, profile, fault, folder, interrupt.signal);
        report(judge(fault.id, profile, observed, expectedRed(fault), false));
        for (const [scenario, checks] of observed.red) for (const check of checks) everRed.add(`${scenario}: ${check}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const caught = faults.filter((fault) => {
    const own = rows.filter((row) => row.fault === fault.id);
    return own.length > 0 && own.every((row) => row.outcome === 'caught');
  });
  const falseAlarms = rows.filter((row) => row.outcome === 'false-alarm').length;
  const isWholeCatalogue = options.fault.length === 0 && options.profile === undefined;
  const vacuous = isWholeCatalogue ? neverRed(scenarios, everRed) : [];
  for (const check of vacuous) say(`no fault turns this check red: ${check}`);
  say(`${faults.length} faults, ${caught.length} caught, ${falseAlarms} false alarms`);
  if (interrupt.signal.aborted) return EXIT.broken;
  return caught.length === faults.length && falseAlarms === 0 && vacuous.length === 0 ? EXIT.ok : EXIT.product;
}

/** Declared checks that stayed green or skipped under every fault: nothing shows that they can fail. */
function neverRed(scenarios: readonly ScenarioFile[], everRed: ReadonlySet<string>): string[] {
  return scenarios
    .flatMap(({ definition }) => Object.keys(definition.checks).map((check) => `${definition.id}: ${check}`))
    .filter((check) => !everRed.has(check));
}

function selectFaults(options: FaultsOptions): readonly Fault[] {
  const unknown = options.fault.find((id) => !faultCatalogue.some((fault) => fault.id === id));
  if (unknown !== undefined)
    throw harnessError('CLI_USAGE', `unknown fault '${unknown}'`, {
      hint: `Faults: ${faultCatalogue.map((fault) => fault.id).join(', ')}.`,
    });
  if (options.profile !== undefined && !(options.profile in profiles))
    throw harnessError('CLI_USAGE', `--profile: unknown profile '${options.profile}'`, {
      hint: `Profiles: ${Object.keys(profiles).join(', ')}.`,
    });
  const named = faultCatalogue.filter((fault) => options.fault.length === 0 || options.fault.includes(fault.id));
  const { profile } = options;
  return profile === undefined
    ? named
    : named.filter((fault) => fault.profiles === undefined || (fault.profiles as readonly string[]).includes(profile));
}

async function redChecks(
  scenarios: readonly ScenarioFile[],
  profile: string,
  fault: Fault | undefined,
  folder: string,
  signal: AbortSignal,
): Promise<Observed> {
  const red: RedByScenario = new Map();
  const skipped = new Set<string>();
  const add = (scenario: string, what: string) => red.set(scenario, (red.get(scenario) ?? new Set()).add(what));
  const startedAtMs = Date.now();
  const reportDir = mkdtempSync(path.join(folder, 'run-'));
  mkdirSync(path.join(reportDir, 'artifacts'));
  await runScenarios({
    files: scenarios.map((entry) => entry.file),
    settings: {
      owner: currentOwner(createRunId(startedAtMs, toHex(randomBytes(3)))),
      host: `fake:${profile}`,
      faults: fault === undefined ? [] : [fault.id],
      required: [],
      maxGuests: undefined,
      startedAtMs,
      reportDir,
      timeoutMs: 120_000,
    },
    retries: 0,
    atOnce: 2,
    signal,
    emit: (event: RunEvent) => {
      if (event.type === 'check' && event.check.outcome === 'failed') add(event.scenario, event.check.id);
      if (event.type === 'scenario-finished' && event.error !== undefined) {
        const { code, message } = event.error;
        if (code !== 'SCENARIO_PROMISE_BROKEN') add(event.scenario, `!${code ?? message}`);
      }
      if (event.type === 'scenario-finished' && event.status === 'skipped') skipped.add(event.scenario);
      if (event.type === 'run-error') add('run', `!${event.error.code ?? event.error.message}`);
      if (event.type === 'left-behind') add('run', `left behind: ${event.what}`);
    },
  });
  return { red, skipped };
}

function expectedRed(fault: Fault): RedByScenario {
  return new Map(fault.expected.map(({ scenario, checks }) => [scenario, new Set(checks)]));
}

function judge(fault: string, profile: string, observed: Observed, named: RedByScenario, clean: boolean): FaultRow {
  const { red } = observed;
  const expected = new Map([...named].filter(([scenario]) => !observed.skipped.has(scenario)));
  const without = (from: RedByScenario, other: RedByScenario) =>
    [...from].flatMap(([scenario, checks]) =>
      [...checks].filter((check) => !other.get(scenario)?.has(check)).map((check) => `${scenario}: ${check}`),
    );
  const unexpected = without(red, expected);
  const missing = without(expected, red);
  const caught = red.size > 0 && missing.length === 0;
  const outcome = unexpected.length > 0 ? 'false-alarm' : clean ? 'clean' : caught ? 'caught' : 'missed';
  return { fault, profile, outcome, unexpected, missing };
}

function formatRow(row: FaultRow): string {
  const what = row.fault === 'none' ? `no fault, ${row.profile}` : `${row.fault}, ${row.profile}`;
  const details = [
    ...row.unexpected.map((check) => `  red, but not expected: ${check}`),
    ...row.missing.map((check) => `  expected red, but is not: ${check}`),
  ];
  return [`${row.outcome.padEnd(12)} ${what}`, ...details].join('\n');
}
