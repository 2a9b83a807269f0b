import { reportError } from '../errors.ts';
import type { RunEvent } from './events.ts';
import { judgeAttempt, judgeRun, judgeScenario } from './judge.ts';
import {
  type AttemptRow,
  type CheckRow,
  type EvidenceItem,
  type HostFacts,
  INTERRUPTED,
  type ReportedError,
  type Run,
  type RunHeader,
  SCHEMA_VERSION,
  type ScenarioHeader,
  type ScenarioRow,
  type Status,
  type StepRow,
} from './run.ts';
import { stepsOf } from './select.ts';

interface OpenStep {
  title: string;
  startMs: number;
  /** Not set while it runs. */
  endMs?: number;
  /** Its scenario ended first. */
  isCutOff?: true;
  error?: ReportedError;
  readonly checks: CheckRow[];
  readonly evidence: EvidenceItem[];
  readonly notes: string[];
  readonly steps: OpenStep[];
}

interface OpenAttempt {
  readonly steps: Map<number, OpenStep>;
  readonly root: OpenStep;
  status?: Status;
  reason?: string;
}

interface OpenScenario {
  readonly header: ScenarioHeader;
  readonly attempts: Map<number, OpenAttempt>;
}

function openStep(title: string, startMs: number): OpenStep {
  return { title, startMs, checks: [], evidence: [], notes: [], steps: [] };
}

function closeStep(step: OpenStep, nowMs: number): StepRow {
  const steps = step.steps.map((child) => closeStep(child, nowMs));
  const row: StepRow = {
    title: step.title,
    status: 'passed',
    startMs: step.startMs,
    durationMs: Math.max(0, (step.endMs ?? nowMs) - step.startMs),
    ...(step.error === undefined ? {} : { error: step.error }),
    checks: [...step.checks],
    evidence: [...step.evidence],
    notes: [...step.notes],
    steps,
  };
  const wasStopped = step.error?.code === INTERRUPTED;
  const hasFailed =
    (step.error !== undefined && !wasStopped) ||
    stepsOf(row).some((each) => each.checks.some((check) => check.outcome === 'failed'));
  const isInterrupted = wasStopped || step.endMs === undefined || step.isCutOff === true;
  return { ...row, status: hasFailed ? 'failed' : isInterrupted ? 'interrupted' : 'passed' };
}

function closeAttempt(attempt: OpenAttempt, nowMs: number): AttemptRow {
  const root = closeStep(attempt.root, nowMs);
  const status = judgeAttempt(attempt.status ?? 'interrupted', root);
  const rootStatus =
    status === 'interrupted' ? root.status : status === 'failed' || status === 'timedOut' ? 'failed' : 'passed';
  return {
    status,
    startMs: root.startMs,
    durationMs: root.durationMs,
    ...(root.error === undefined ? {} : { error: root.error }),
    root: { ...root, status: rootStatus },
  };
}

function closeScenario(scenario: OpenScenario, nowMs: number): ScenarioRow {
  const open = [...scenario.attempts.entries()].sort(([a], [b]) => a - b).map(([, attempt]) => attempt);
  const attempts = open.map((attempt) => closeAttempt(attempt, nowMs));
  const reason = open.at(-1)?.reason;
  return { ...scenario.header, ...judgeScenario(attempts), ...(reason === undefined ? {} : { reason }), attempts };
}

export interface RunReducer {
  /** Takes the next event. `REPORT_EVENT_MISPLACED` when it names a place that never began. */
  push(event: RunEvent): void;
  /** The run as far as it is known: what is still open counts as interrupted. */
  snapshot(): Run;
  /** The run as if it came to its end now: how the exit code is known before `run-finished` tells it. */
  concluded(): Run;
}

/** Builds the run from its events, one at a time. */
export function createRunReducer(): RunReducer {
  const scenarios = new Map<string, OpenScenario>();
  const errors: ReportedError[] = [];
  const leftBehind: string[] = [];
  let header: RunHeader | undefined;
  let hostFacts: HostFacts | undefined;
  let lastMs = 0;
  let wasInterrupted = false;
  let finished: { exitCode: number } | undefined;

  const attemptAt = (event: { type: string; scenario: string; attempt: number }): OpenAttempt => {
    const attempt = scenarios.get(event.scenario)?.attempts.get(event.attempt);
    if (attempt !== undefined) return attempt;
    throw reportError(
      'REPORT_EVENT_MISPLACED',
      `event '${event.type}' belongs to attempt ${event.attempt} of scenario '${event.scenario}', which never started`,
      { details: { type: event.type, scenario: event.scenario, attempt: event.attempt } },
    );
  };
  const stepAt = (event: { type: string; scenario: string; attempt: number }, number: number): OpenStep => {
    const step = attemptAt(event).steps.get(number);
    if (step !== undefined) return step;
    throw reportError(
      'REPORT_EVENT_MISPLACED',
      `event '${event.type}' belongs to step ${number} of scenario '${event.scenario}', which never started`,
      { details: { type: event.type, scenario: event.scenario, attempt: event.attempt, step: number } },
    );
  };

  const startAttempt = (event: RunEvent & { type: 'scenario-started' }) => {
    const scenario = scenarios.get(event.scenario) ?? { header: event.header, attempts: new Map() };
    scenarios.set(event.scenario, scenario);
    const root = openStep(event.header.title, event.atMs);
    scenario.attempts.set(event.attempt, { steps: new Map([[0, root]]), root });
  };
  const finishAttempt = (event: RunEvent & { type: 'scenario-finished' }) => {
    const attempt = attemptAt(event);
    attempt.status = event.status;
    if (event.reason !== undefined) attempt.reason = event.reason;
    if (event.error !== undefined) attempt.root.error = event.error;
    for (const step of attempt.steps.values()) {
      if (step.endMs !== undefined) continue;
      step.endMs = event.atMs;
      if (step !== attempt.root) step.isCutOff = true;
    }
  };

  const push = (event: RunEvent): void => {
    if (header === undefined && event.type !== 'run-started') {
      throw reportError('REPORT_EVENT_MISPLACED', `event '${event.type}' came before 'run-started'`, {
        details: { type: event.type },
      });
    }
    lastMs = Math.max(lastMs, event.atMs);
    switch (event.type) {
      case 'run-started':
        header = event.run;
        break;
      case 'host-described':
        hostFacts = event.host;
        break;
      case 'scenario-started':
        startAttempt(event);
        break;
      case 'step-started': {
        const step = openStep(event.title, event.atMs);
        stepAt(event, event.parent).steps.push(step);
        attemptAt(event).steps.set(event.step, step);
        break;
      }
      case 'step-finished': {
        const step = stepAt(event, event.step);
        // A body that outlives its own timeout still reports; what the scenario's end decided stays.
        if (step.endMs !== undefined) break;
        step.endMs = event.atMs;
        if (event.error !== undefined) step.error = event.error;
        break;
      }
      case 'check':
        stepAt(event, event.step).checks.push({ ...event.check, atMs: event.atMs });
        break;
      case 'evidence':
        stepAt(event, event.step).evidence.push(event.evidence);
        break;
      case 'note':
        stepAt(event, event.step).notes.push(event.text);
        break;
      case 'scenario-finished':
        finishAttempt(event);
        break;
      case 'run-error':
        errors.push(event.error);
        break;
      case 'left-behind':
        leftBehind.push(event.what);
        break;
      case 'interrupted':
        wasInterrupted = true;
        break;
      case 'run-finished':
        finished = { exitCode: event.exitCode };
        break;
    }
  };

  const build = (hasEnded: boolean): Run => {
    if (header === undefined) {
      throw reportError('REPORT_EVENT_MISPLACED', "no run can be told from its events: 'run-started' is missing");
    }
    const rows = [...scenarios.values()].map((scenario) => closeScenario(scenario, lastMs));
    const interrupted = wasInterrupted || !hasEnded;
    const judged = judgeRun({ scenarios: rows, errors, leftBehind, interrupted });
    // The process may know a reason to fail that no event tells; it never turns a red run green.
    const isContradicted = judged.exitCode === 0 && finished !== undefined && finished.exitCode !== 0;
    return {
      schemaVersion: SCHEMA_VERSION,
      ...header,
      status: isContradicted ? 'broken' : judged.status,
      ...(hasEnded ? {} : { unfinished: true }),
      exitCode: isContradicted ? (finished?.exitCode ?? judged.exitCode) : judged.exitCode,
      durationMs: lastMs,
      ...(hostFacts === undefined ? {} : { hostFacts }),
      scenarios: rows,
      errors: [...errors],
      leftBehind: [...leftBehind],
    };
  };

  return { push, snapshot: () => build(finished !== undefined), concluded: () => build(true) };
}

/** The run that its events tell: the only way from `run.jsonl` to `run.json`. */
export function reduceRun(events: Iterable<RunEvent>): Run {
  const reducer = createRunReducer();
  for (const event of events) reducer.push(event);
  return reducer.snapshot();
}
