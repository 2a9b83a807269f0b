import type { AttemptRow, CheckRow, EvidenceItem, Outcome, Run, ScenarioRow, StepRow } from './run.ts';

/** A step and everything inside it, in the order in which it began. */
export function stepsOf(step: StepRow): StepRow[] {
  const steps: StepRow[] = [];
  const pending = [step];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    steps.push(next);
    for (let index = next.steps.length - 1; index >= 0; index -= 1) pending.push(next.steps[index] as StepRow);
  }
  return steps;
}

/** Order in which checks were made, as far as their times tell. */
export function byTime(a: CheckRow, b: CheckRow): number {
  return (a.atMs ?? 0) - (b.atMs ?? 0);
}

/** The checks of a step and of all steps inside it, in the order in which they were made. */
export function checksOf(step: StepRow): CheckRow[] {
  return stepsOf(step)
    .flatMap((each) => each.checks)
    .sort(byTime);
}

export function evidenceOf(step: StepRow): EvidenceItem[] {
  return stepsOf(step).flatMap((each) => each.evidence);
}

export function notesOf(step: StepRow): string[] {
  return stepsOf(step).flatMap((each) => each.notes);
}

/** The attempt that decided. */
export function lastAttempt(scenario: ScenarioRow): AttemptRow | undefined {
  return scenario.attempts.at(-1);
}

/** The checks of the attempt that decided. */
export function checksOfScenario(scenario: ScenarioRow): CheckRow[] {
  const attempt = lastAttempt(scenario);
  return attempt === undefined ? [] : checksOf(attempt.root);
}

export function scenarioDurationMs(scenario: ScenarioRow): number {
  return scenario.attempts.reduce((sum, attempt) => sum + attempt.durationMs, 0);
}

export interface Counts {
  readonly scenarios: Readonly<Record<Outcome, number>> & { readonly all: number };
  readonly checks: Readonly<Record<CheckRow['outcome'], number>> & { readonly all: number };
}

export function countRun(run: Pick<Run, 'scenarios'>): Counts {
  const scenarios = { all: 0, expected: 0, unexpected: 0, flaky: 0, skipped: 0, broken: 0 };
  const checks = { all: 0, passed: 0, failed: 0, skipped: 0 };
  for (const scenario of run.scenarios) {
    scenarios.all += 1;
    scenarios[scenario.outcome] += 1;
    for (const check of checksOfScenario(scenario)) {
      checks.all += 1;
      checks[check.outcome] += 1;
    }
  }
  return { scenarios, checks };
}

/** Scenarios with what needs eyes first: failures, then what could not be judged, then flaky, passes, skips. */
export function worstFirst(scenarios: readonly ScenarioRow[]): ScenarioRow[] {
  const rank: Record<Outcome, number> = { unexpected: 0, broken: 1, flaky: 2, expected: 3, skipped: 4 };
  return [...scenarios].sort((a, b) => rank[a.outcome] - rank[b.outcome]);
}
