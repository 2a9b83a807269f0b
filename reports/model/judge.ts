import type { ErrorKind } from '../../core/errors.ts';
import type { AttemptRow, Outcome, ReportedError, Run, ScenarioRow, Status } from './run.ts';
import { checksOf } from './select.ts';

/** Only the product's own errors count against the product; all others leave the question open. */
function isProduct(kind: ErrorKind): boolean {
  return kind === 'product';
}

/** The attempt's status: a broken promise fails it even where nobody threw. */
export function judgeAttempt(status: Status, root: AttemptRow['root']): Status {
  const hasFailedCheck = checksOf(root).some((check) => check.outcome === 'failed');
  return hasFailedCheck && (status === 'passed' || status === 'skipped') ? 'failed' : status;
}

function judgeFailed(attempt: AttemptRow): Outcome {
  if (checksOf(attempt.root).some((check) => check.outcome === 'failed')) return 'unexpected';
  if (attempt.status === 'interrupted') return 'broken';
  return attempt.error === undefined || isProduct(attempt.error.kind) ? 'unexpected' : 'broken';
}

/** What a scenario's attempts mean together. The last one decides; having needed it makes a pass `flaky`. */
export function judgeScenario(attempts: readonly AttemptRow[]): { status: Status; outcome: Outcome } {
  const last = attempts.at(-1);
  if (last === undefined) return { status: 'interrupted', outcome: 'broken' };
  switch (last.status) {
    case 'passed':
      return { status: 'passed', outcome: attempts.length > 1 ? 'flaky' : 'expected' };
    case 'skipped':
      return { status: 'skipped', outcome: 'skipped' };
    case 'failed':
    case 'timedOut':
    case 'interrupted':
      return { status: last.status, outcome: judgeFailed(last) };
  }
}

export interface RunFacts {
  readonly scenarios: readonly Pick<ScenarioRow, 'outcome'>[];
  readonly errors: readonly Pick<ReportedError, 'kind'>[];
  readonly leftBehind: readonly string[];
  /** Ctrl-C, or a stream that stops in the middle. */
  readonly interrupted: boolean;
}

/**
 * The run's status and exit code: 0 everything as expected (flaky included, which reports say loudly), 1 a product
 * failure, 2 a harness or environment error, an interruption, something left behind, or nothing executed.
 *
 * A product failure outranks the rest: it stays true whatever else went wrong.
 */
export function judgeRun(facts: RunFacts): Pick<Run, 'status' | 'exitCode'> {
  const outcomes = facts.scenarios.map((scenario) => scenario.outcome);
  const hasProductFailure = outcomes.includes('unexpected') || facts.errors.some((error) => isProduct(error.kind));
  if (facts.interrupted) return { status: 'interrupted', exitCode: hasProductFailure ? 1 : 2 };
  if (hasProductFailure) return { status: 'failed', exitCode: 1 };
  const hasExecuted = outcomes.some((outcome) => outcome !== 'skipped');
  const isBroken =
    outcomes.includes('broken') || facts.errors.length > 0 || facts.leftBehind.length > 0 || !hasExecuted;
  return isBroken ? { status: 'broken', exitCode: 2 } : { status: 'passed', exitCode: 0 };
}
