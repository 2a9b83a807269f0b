import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { toHex } from '../../core/bytes.ts';
import type { RunEvent } from '../../reports/model/events.ts';
import { harnessError } from '../errors.ts';
import { type Fault, faultCatalogue, isProfileName, type ProfileName, profiles } from '../fakelibvirt/index.ts';
import { UNASKED } from '../fixtures/asked-faults.ts';
import { createRunId, currentOwner } from '../guest/ownership.ts';
import { assertKnownFaults } from './fault-names.ts';
import { catchInterrupts } from './interrupt.ts';
import { EXIT, say } from './output.ts';
import { runScenarios } from './run-scenarios.ts';
import { loadScenarios, type ScenarioFile } from './scenario-files.ts';

export interface FaultsOptions {
  readonly profile?: string;
  readonly fault: readonly string[];
  readonly json?: boolean;
  /** Also run scenarios whose clean run never asks the host for the fault. */
  readonly all?: boolean;
}

/** What went red in one scenario: failed checks, and `!CODE` for an error that was thrown. */
type RedByScenario = Map<string, Set<string>>;

interface Observed {
  readonly red: RedByScenario;
  /** Scenarios whose needs the profile does not meet. */
  readonly skipped: Set<string>;
  /** Scenarios whose clean run never asked for the fault: not run again, and green like it. */
  readonly leftOut: Set<string>;
  readonly ended: number;
}

interface FaultRow {
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

/** Its slots are few and it has both kinds, so that it runs every scenario, and fast. */
const DEFAULT_PROFILES: readonly ProfileName[] = ['naples-es'];
/** What hosts with hundreds of slots have under a fault, as many as the default profile: to fill and to lose a few shows the same. */
const FEW_SLOTS = 11;
const MANY_SLOTS = 100;

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
  const stray: string[] = [];
  try {
    await runTrials({ scenarios, trials, folder, leavesOutUnasked: options.all !== true }, interrupt.signal, {
      onTrial: (trial, observed) => {
        report(judge(trial, observed));
        if (trial.fault === undefined) return;
        for (const [scenario, checks] of observed.red) for (const check of checks) everRed.add(`${scenario}: ${check}`);
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
  return profile === undefined
    ? named
    : named.filter((fault) => fault.profiles === undefined || (fault.profiles as readonly string[]).includes(profile));
}

/** All scenarios, once, on one profile under one fault or none. */
interface Trial {
  readonly profile: string;
  readonly fault: Fault | undefined;
  /** The highest ASID of a host that has few slots only. */
  readonly maxAsid?: number | undefined;
}

function withFewSlots(trial: Trial): Trial {
  const { minSevAsid, maxAsid } = profiles[trial.profile as ProfileName].memoryEncryption;
  return maxAsid - minSevAsid < MANY_SLOTS ? trial : { ...trial, maxAsid: minSevAsid + FEW_SLOTS - 1 };
}

/** Come first: what they ask their hosts for decides what is left out of the others. */
function cleanTrials(broken: readonly Trial[], options: FaultsOptions): Trial[] {
  const named = options.fault.length === 0 ? Object.keys(profiles) : broken.map((trial) => trial.profile);
  const on = options.profile === undefined ? new Set(named) : [options.profile];
  return [...on].flatMap((profile) => {
    const whole = { profile, fault: undefined };
    const few = withFewSlots(whole);
    const isBroken = broken.some((trial) => trial.profile === profile);
    return isBroken && few !== whole ? [whole, few] : [whole];
  });
}

function faultTrials(faults: readonly Fault[], options: FaultsOptions): Trial[] {
  return faults.flatMap((fault) => {
    const on = options.profile === undefined ? (fault.profiles ?? DEFAULT_PROFILES) : [options.profile];
    return on.map((profile) => withFewSlots({ profile, fault }));
  });
}

/** Runs all trials in one go, and hands over each as soon as its last scenario has ended. */
async function runTrials(
  what: {
    readonly scenarios: readonly ScenarioFile[];
    readonly trials: readonly Trial[];
    readonly folder: string;
    readonly leavesOutUnasked: boolean;
  },
  signal: AbortSignal,
  hear: { onTrial: (trial: Trial, observed: Observed) => void; onStray: (what: string) => void },
): Promise<void> {
  const { scenarios, trials, folder, leavesOutUnasked } = what;
  const observed = trials.map(() => ({
    red: new Map<string, Set<string>>(),
    skipped: new Set<string>(),
    leftOut: new Set<string>(),
    ended: 0,
  }));
  const startedAtMs = Date.now();
  const onScenarioEvent = (event: RunEvent & { scenario: string }) => {
    const [id = '', key = ''] = event.scenario.split('@');
    const own = observed[Number(key)];
    const trial = trials[Number(key)];
    if (own === undefined || trial === undefined) return;
    const add = (what: string) => own.red.set(id, (own.red.get(id) ?? new Set()).add(what));
    if (event.type === 'check' && event.check.outcome === 'failed') add(event.check.id);
    if (event.type !== 'scenario-finished') return;
    if (event.error !== undefined && event.error.code !== 'SCENARIO_PROMISE_BROKEN')
      add(`!${event.error.code ?? event.error.message}`);
    if (event.status === 'skipped') (event.reason === UNASKED ? own.leftOut : own.skipped).add(id);
    own.ended++;
    if (own.ended === scenarios.length) hear.onTrial(trial, own);
  };
  await runScenarios({
    files: scenarios.map((entry) => entry.file),
    settings: {
      owner: currentOwner(createRunId(startedAtMs, toHex(randomBytes(3)))),
      host: `fake:${DEFAULT_PROFILES[0]}`,
      faults: [],
      required: [],
      maxGuests: undefined,
      startedAtMs,
      reportDir: folder,
      timeoutMs: 120_000,
      // Every trial has an emulated host of its own.
      allowDestructive: true,
      leavesOutUnasked,
      reportsFailuresOnly: true,
      hasBuiltInImagesOnly: true,
      variants: trials.map(({ profile, fault, maxAsid }, index) => ({
        key: String(index),
        host: `fake:${profile}`,
        faults: fault === undefined ? [] : [fault.id],
        maxAsid,
      })),
    },
    retries: 0,
    atOnce: 2,
    signal,
    emit: (event) => {
      if ('scenario' in event) onScenarioEvent(event);
      if (event.type === 'run-error') hear.onStray(event.error.message);
      if (event.type === 'left-behind') hear.onStray(event.what);
    },
  });
}

function expectedRed(fault: Fault, profile: string): RedByScenario {
  const red: RedByScenario = new Map();
  for (const { scenario, checks, profiles: on } of fault.expected) {
    if (on !== undefined && !(on as readonly string[]).includes(profile)) continue;
    red.set(scenario, new Set([...(red.get(scenario) ?? []), ...checks]));
  }
  return red;
}

function judge({ profile, fault, maxAsid }: Trial, observed: Observed): FaultRow {
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

function formatRow(row: FaultRow): string {
  const host = row.slots === undefined ? row.profile : `${row.profile} with ${row.slots} slots`;
  const what = `${row.fault === 'none' ? 'no fault' : row.fault}, ${host}`;
  const details = [
    ...row.unexpected.map((check) => `  red, but not expected: ${check}`),
    ...row.missing.map((check) => `  expected red, but is not: ${check}`),
  ];
  return [`${row.outcome.padEnd(12)} ${what}`, ...details].join('\n');
}

/** One line for each profile with faults, and how much was really run. */
function formatTotals(rows: readonly FaultRow[]): string[] {
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
