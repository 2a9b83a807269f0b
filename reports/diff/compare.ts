import { isDeepStrictEqual } from 'node:util';
import type { JsonValue } from '../../core/errors.ts';
import type { Run, ScenarioRow } from '../model/run.ts';
import { checksOfScenario, scenarioDurationMs } from '../model/select.ts';
import { mapStrings, wordingOf } from '../model/text.ts';
import { scenarioReason } from '../model/verdict.ts';

/** `absent`: the other run has it, this one does not know it. */
export type DiffState = 'passed' | 'failed' | 'broken' | 'flaky' | 'skipped' | 'absent';

/** A check, or a whole scenario where `check` is not set. */
export interface DiffItem {
  readonly scenario: string;
  readonly check?: string;
  readonly title: string;
  readonly before: DiffState;
  readonly after: DiffState;
  /** Of the newer run that has it. */
  readonly because?: string;
}

/** A check that held both times, and by another value; a host that says the same at another time gives no other. */
export interface ValueChange {
  readonly scenario: string;
  readonly check: string;
  readonly before: JsonValue;
  readonly after: JsonValue;
}

export interface FactChange {
  readonly fact: string;
  /** Not set where the run does not know the fact. */
  readonly before?: string;
  readonly after?: string;
}

export interface DurationChange {
  readonly scenario: string;
  readonly beforeMs: number;
  readonly afterMs: number;
  /** After divided by before. */
  readonly ratio: number;
}

interface RunName {
  readonly runId: string;
  readonly startedAt: string;
  readonly host: string;
  readonly status: Run['status'];
}

/** What changed from one run to another. Every check of either run that is not plainly the same is in one list. */
export interface RunDiff {
  readonly before: RunName;
  readonly after: RunName;
  /** The later run was interrupted, or met an error outside of scenarios: what it lacks it may not have come to. */
  readonly wasStopped: boolean;
  readonly newFailures: readonly DiffItem[];
  /** Judged before, and now kept from a verdict by the harness, the host or an interrupt: no promise is broken by that. */
  readonly notJudged: readonly DiffItem[];
  /** The same, and not judged before either. */
  readonly neverJudged: readonly DiffItem[];
  readonly stillFailing: readonly DiffItem[];
  readonly fixed: readonly DiffItem[];
  /** Passed before, and passed now only on a retry. */
  readonly nowFlaky: readonly DiffItem[];
  /** Judged before, and skipped or left out now: nothing says any more that it holds. */
  readonly lost: readonly DiffItem[];
  /** Judged now, and not judged or unknown before; failures are among `newFailures`. */
  readonly gained: readonly DiffItem[];
  readonly unchanged: number;
  /** Among the unchanged; not those whose value is the expected one, as a measurement is of its own run. */
  readonly values: readonly ValueChange[];
  readonly facts: readonly FactChange[];
  readonly durations: readonly DurationChange[];
}

/** A change of time is worth a line from this factor on, either way, and from this many milliseconds on. */
const NOTABLE_RATIO = 1.5;
const NOTABLE_MS = 200;

type Known = Omit<DiffItem, 'before' | 'after'> & { readonly state: DiffState };

function scenarioState(scenario: ScenarioRow): DiffState {
  switch (scenario.outcome) {
    case 'expected':
      return 'passed';
    case 'unexpected':
      return 'failed';
    case 'flaky':
    case 'broken':
    case 'skipped':
      return scenario.outcome;
  }
}

/** All that a run judged, by a key that names it in any run. */
function knownOf(run: Run): Map<string, Known> {
  const known = new Map<string, Known>();
  for (const scenario of run.scenarios) {
    const checks = checksOfScenario(scenario);
    const because = scenarioReason(scenario);
    const hasFailedCheck = checks.some((check) => check.outcome === 'failed');
    // A scenario that failed by its checks is told by them.
    const state = hasFailedCheck ? 'passed' : scenarioState(scenario);
    known.set(scenario.id, {
      scenario: scenario.id,
      title: scenario.title,
      state,
      ...(because === '' ? {} : { because }),
    });
    for (const check of checks) {
      known.set(`${scenario.id}\n${check.id}`, {
        scenario: scenario.id,
        check: check.id,
        title: check.title,
        state: check.outcome,
        ...(check.because === undefined ? {} : { because: check.because }),
      });
    }
  }
  return known;
}

function isUnjudged(state: DiffState): boolean {
  return state === 'broken' || state === 'skipped' || state === 'absent';
}

type Change =
  | 'newFailures'
  | 'notJudged'
  | 'neverJudged'
  | 'stillFailing'
  | 'fixed'
  | 'nowFlaky'
  | 'lost'
  | 'gained'
  | 'unchanged';

function changeOf(before: DiffState, after: DiffState): Change {
  if (after === 'failed') return before === 'failed' ? 'stillFailing' : 'newFailures';
  if (after === 'broken') return isUnjudged(before) ? 'neverJudged' : 'notJudged';
  if (isUnjudged(after)) return isUnjudged(before) ? 'unchanged' : 'lost';
  if (before === 'failed') return 'fixed';
  if (isUnjudged(before)) return 'gained';
  return after === 'flaky' && before !== 'flaky' ? 'nowFlaky' : 'unchanged';
}

function factsOf(run: Run): Map<string, string> {
  const host = run.hostFacts;
  return new Map([
    ['host', run.host],
    ['harness', run.harnessVersion],
    ['node', run.nodeVersion],
    ['platform', run.platform],
    ['faults', run.faults.join(', ') || 'none'],
    ['required', run.required.join(', ') || 'none'],
    ...(host === undefined
      ? []
      : ([
          ['kind', host.kind],
          ['hostname', host.hostname],
          ['profile', host.profile ?? ''],
          ['generation', host.generation ?? ''],
          ['capabilities', host.capabilities.join(', ')],
          ...Object.entries(host.versions).map(([what, version]) => [`version of ${what}`, version] as const),
          ...Object.entries(host.facts),
        ] as const)),
  ]);
}

function changedFacts(before: Run, after: Run): FactChange[] {
  const [old, now] = [factsOf(before), factsOf(after)];
  return [...new Set([...old.keys(), ...now.keys()])]
    .filter((fact) => (old.get(fact) ?? '') !== (now.get(fact) ?? ''))
    .map((fact) => {
      const [from, to] = [old.get(fact) ?? '', now.get(fact) ?? ''];
      return { fact, ...(from === '' ? {} : { before: from }), ...(to === '' ? {} : { after: to }) };
    });
}

function changedValues(before: Run, after: Run): ValueChange[] {
  const valuesOf = (run: Run) =>
    new Map(
      run.scenarios.flatMap((scenario) =>
        checksOfScenario(scenario).flatMap(({ id: check, outcome, expected, actual }) =>
          outcome !== 'passed' || actual === undefined || isDeepStrictEqual(expected, actual)
            ? []
            : [[`${scenario.id}\n${check}`, { scenario: scenario.id, check, actual }] as const],
        ),
      ),
    );
  const old = valuesOf(before);
  return [...valuesOf(after)].flatMap(([key, { actual: now, ...check }]) => {
    const was = old.get(key)?.actual;
    return was === undefined || isDeepStrictEqual(untimed(was), untimed(now))
      ? []
      : [{ ...check, before: was, after: now }];
  });
}

function untimed(value: JsonValue): JsonValue {
  return mapStrings(value, wordingOf);
}

function changedDurations(before: Run, after: Run): DurationChange[] {
  return after.scenarios.flatMap((scenario) => {
    const old = before.scenarios.find((each) => each.id === scenario.id);
    if (old === undefined || isUnjudged(scenarioState(old)) || isUnjudged(scenarioState(scenario))) return [];
    const [beforeMs, afterMs] = [scenarioDurationMs(old), scenarioDurationMs(scenario)];
    const ratio = afterMs / Math.max(beforeMs, 1);
    const isNotable =
      Math.abs(afterMs - beforeMs) >= NOTABLE_MS && (ratio >= NOTABLE_RATIO || ratio <= 1 / NOTABLE_RATIO);
    return isNotable ? [{ scenario: scenario.id, beforeMs, afterMs, ratio: Math.round(ratio * 100) / 100 }] : [];
  });
}

/** Compares a run with an earlier one, check by check. */
export function diffRuns(before: Run, after: Run): RunDiff {
  const [old, now] = [knownOf(before), knownOf(after)];
  const wasStopped = after.status === 'interrupted' || after.errors.length > 0;
  const lists: Record<Change, DiffItem[]> = {
    newFailures: [],
    notJudged: [],
    neverJudged: [],
    stillFailing: [],
    fixed: [],
    nowFlaky: [],
    lost: [],
    gained: [],
    unchanged: [],
  };
  for (const key of new Set([...now.keys(), ...old.keys()])) {
    const known = now.get(key) ?? old.get(key);
    if (known === undefined) continue;
    const states = { before: old.get(key)?.state ?? 'absent', after: now.get(key)?.state ?? 'absent' } as const;
    const { state: _, ...item } = known;
    const change = changeOf(states.before, states.after);
    const scenario = now.get(item.scenario)?.state;
    const wasKeptFrom = scenario === 'broken' || (scenario === undefined && wasStopped);
    lists[change === 'lost' && wasKeptFrom ? 'notJudged' : change].push({ ...item, ...states });
  }
  const nameOf = ({ runId, startedAt, host, status }: Run): RunName => ({ runId, startedAt, host, status });
  return {
    before: nameOf(before),
    after: nameOf(after),
    wasStopped,
    ...lists,
    unchanged: lists.unchanged.length,
    values: changedValues(before, after),
    facts: changedFacts(before, after),
    durations: changedDurations(before, after),
  };
}
