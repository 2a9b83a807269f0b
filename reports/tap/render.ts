import type { CheckRow, Run, ScenarioRow } from '../model/run.ts';
import { checksOfScenario, scenarioDurationMs } from '../model/select.ts';
import { showableLine } from '../model/text.ts';
import { scenarioReason, verdictOf } from '../model/verdict.ts';

/** A description on one line; `#` would begin a directive. */
function description(text: string): string {
  return showableLine(text).replaceAll('\\', '\\\\').replaceAll('#', '\\#');
}

/** Diagnostics as YAML whose scalars are JSON, which YAML includes. */
function diagnostics(values: Readonly<Record<string, unknown>>): string[] {
  const lines = Object.entries(values)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `  ${key}: ${JSON.stringify(value)}`);
  return lines.length === 0 ? [] : ['  ---', ...lines, '  ...'];
}

function point(isOk: boolean, number: number, text: string, skip?: string): string {
  const directive = skip === undefined ? '' : ` # SKIP ${showableLine(skip)}`;
  return `${isOk ? 'ok' : 'not ok'} ${number} - ${description(text)}${directive}`;
}

function checkLines(check: CheckRow, number: number): string[] {
  const { outcome, because, expected, actual, source } = check;
  const head = point(
    outcome !== 'failed',
    number,
    `${check.id}: ${check.title}`,
    outcome === 'skipped' ? (because ?? '') : undefined,
  );
  return outcome === 'failed' ? [head, ...diagnostics({ expected, actual, because, source })] : [head];
}

function scenarioLines(scenario: ScenarioRow, number: number): string[] {
  const checks = checksOfScenario(scenario);
  const subtest = [
    `# Subtest: ${description(scenario.id)}`,
    ...checks.flatMap((check, index) => checkLines(check, index + 1)),
    `1..${checks.length}`,
  ].map((line) => `    ${line}`);
  const isOk = ['expected', 'flaky', 'skipped'].includes(scenario.outcome);
  const error = scenario.attempts.at(-1)?.error;
  const text = `${scenario.id}: ${scenario.title}${scenario.outcome === 'flaky' ? ` (flaky: attempt ${scenario.attempts.length})` : ''}`;
  return [
    ...(checks.length > 0 ? subtest : []),
    point(isOk, number, text, scenario.outcome === 'skipped' ? scenarioReason(scenario) : undefined),
    ...diagnostics({
      duration_ms: Math.round(scenarioDurationMs(scenario)),
      outcome: scenario.outcome,
      ...(isOk ? {} : { message: scenarioReason(scenario), code: error?.code, hint: error?.hint }),
    }),
  ];
}

/** TAP 14: a test point a scenario with its checks as a subtest, and a last point for the run as a whole. */
export function renderTap(run: Run): string {
  const verdict = verdictOf(run);
  const last = run.scenarios.length + 1;
  const lines = [
    'TAP version 14',
    `# ${showableLine(verdict.sentence)}`,
    `# ${showableLine(verdict.worth)}`,
    ...run.scenarios.flatMap((scenario, index) => scenarioLines(scenario, index + 1)),
    point(run.exitCode === 0, last, `run: ${verdict.word}`),
    ...(run.exitCode === 0
      ? []
      : diagnostics({
          status: run.status,
          errors: run.errors.map((error) => error.message),
          left_behind: run.leftBehind,
        })),
    `1..${last}`,
  ];
  return `${lines.join('\n')}\n`;
}
