import { randomBytes } from 'node:crypto';
import { toHex } from '../../core/bytes.ts';
import type { RunEvent } from '../../reports/model/events.ts';
import { type Fault, type ProfileName, profiles } from '../fakelibvirt/index.ts';
import { UNASKED } from '../fixtures/asked-faults.ts';
import { createRunId, currentOwner } from '../guest/ownership.ts';
import type { FaultsOptions } from './faults.ts';
import { runScenarios } from './run-scenarios.ts';
import type { ScenarioFile } from './scenario-files.ts';

/** What went red in one scenario: failed checks, and `!CODE` for an error that was thrown. */
export type RedByScenario = Map<string, Set<string>>;

export interface Observed {
  readonly red: RedByScenario;
  /** Scenarios whose needs the profile does not meet. */
  readonly skipped: Set<string>;
  /** Scenarios whose clean run never asked for the fault: not run again, and green like it. */
  readonly leftOut: Set<string>;
  readonly ended: number;
}

/** Its slots are few and it has both kinds, so that it runs every scenario, and fast. */
const DEFAULT_PROFILES: readonly ProfileName[] = ['naples-es'];
/** What hosts with hundreds of slots have under a fault, as many as the default profile: to fill and to lose a few shows the same. */
export const FEW_SLOTS = 11;
const MANY_SLOTS = 100;

/** All scenarios, once, on one profile under one fault or none. */
export interface Trial {
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
export function cleanTrials(broken: readonly Trial[], options: FaultsOptions): Trial[] {
  const named = options.fault.length === 0 ? Object.keys(profiles) : broken.map((trial) => trial.profile);
  const on = options.profile === undefined ? new Set(named) : [options.profile];
  return [...on].flatMap((profile) => {
    const whole = { profile, fault: undefined };
    const few = withFewSlots(whole);
    const isBroken = broken.some((trial) => trial.profile === profile);
    return isBroken && few !== whole ? [whole, few] : [whole];
  });
}

export function faultTrials(faults: readonly Fault[], options: FaultsOptions): Trial[] {
  return faults.flatMap((fault) => {
    const on = options.profile === undefined ? (fault.profiles ?? DEFAULT_PROFILES) : [options.profile];
    return on.map((profile) => withFewSlots({ profile, fault }));
  });
}

/** Runs all trials in one go, scenario by scenario: most trials end only with the last scenario. */
export async function runTrials(
  what: {
    readonly scenarios: readonly ScenarioFile[];
    readonly trials: readonly Trial[];
    readonly folder: string;
    readonly leavesOutUnasked: boolean;
  },
  signal: AbortSignal,
  hear: {
    /** After each scenario of a trial, of which `observed` may still grow. */
    onRun: (trial: Trial, observed: Observed, isLast: boolean) => void;
    onStray: (what: string) => void;
  },
): Promise<void> {
  const { scenarios, trials, folder, leavesOutUnasked } = what;
  const observed = trials.map(() => ({
    red: new Map<string, Set<string>>(),
    skipped: new Set<string>(),
    leftOut: new Set<string>(),
    ended: 0,
  }));
  const cleanOf = ({ profile, maxAsid }: Trial) =>
    observed[trials.findIndex((one) => one.fault === undefined && one.profile === profile && one.maxAsid === maxAsid)];
  const startedAtMs = Date.now();
  const onScenarioEvent = (event: RunEvent & { scenario: string }) => {
    const [id = '', key = ''] = event.scenario.split('@');
    const own = observed[Number(key)];
    const trial = trials[Number(key)];
    if (own === undefined || trial === undefined) return;
    const add = (what: string) => own.red.set(id, (own.red.get(id) ?? new Set()).add(what));
    if (event.type === 'check' && event.check.outcome === 'failed') add(event.check.id);
    // What Ctrl-C cut short shows nothing: its trial does not come to its end.
    if (event.type !== 'scenario-finished' || event.status === 'interrupted') return;
    if (event.error !== undefined && event.error.code !== 'SCENARIO_PROMISE_BROKEN')
      add(`!${event.error.code ?? event.error.message}`);
    if (event.reason === UNASKED) own.leftOut.add(id);
    // Left out because its clean run was skipped: it would be skipped again. A fault that makes a scenario judge nothing is missed.
    if (event.status === 'skipped' && (trial.fault === undefined || cleanOf(trial)?.skipped.has(id)))
      own.skipped.add(id);
    own.ended++;
    hear.onRun(trial, own, own.ended === scenarios.length);
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
