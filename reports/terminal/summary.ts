import { join } from 'node:path';
import {
  type CheckRow,
  INTERRUPTED,
  PROMISE_BROKEN,
  type ReportedError,
  type Run,
  type ScenarioRow,
  type StepRow,
} from '../model/run.ts';
import { countRun, lastAttempt, worstFirst } from '../model/select.ts';
import { count, formatDuration, formatValue, mapStrings, showable, showableLine } from '../model/text.ts';
import { scenarioReason, type Tone, uncheckedOf, verdictOf } from '../model/verdict.ts';
import { createPaint, type Paint } from './paint.ts';

export interface SummaryOptions {
  readonly isColoured?: boolean;
  /** The report folder, as the user would type it. */
  readonly reportPath?: string;
  /** The report could not be written, and why stands just above: also a run that passed does not end with 0. */
  readonly isUnwritten?: boolean;
  /** Errors outside of scenarios stand just above, where progress printed them. */
  readonly areErrorsTold?: boolean;
}

/** Evidence of a failed step is quoted when it is this short: it is the host's own message. */
const QUOTED_LINES = 6;

/** One labelled value; further lines stand below the first. */
function field(label: string, text: string, paint: Paint): string[] {
  const [first = '', ...rest] = text.split('\n');
  return [`        ${paint.dim(label.padEnd(9))} ${first}`, ...rest.map((each) => `${' '.repeat(18)}${each}`)];
}

function errorLines(error: ReportedError, paint: Paint): string[] {
  const details =
    error.details === undefined || Object.keys(error.details).length === 0
      ? []
      : field('details', JSON.stringify(error.details), paint);
  return [
    `      ${paint.red('error')} ${error.code === undefined ? '' : `${showableLine(error.code)} `}${paint.dim(`(${error.kind})`)}`,
    ...field('message', error.message, paint),
    ...details,
    ...(error.hint === undefined ? [] : field('hint', error.hint, paint)),
  ];
}

function checkLines(check: CheckRow, stepTitle: string | undefined, paint: Paint): string[] {
  return [
    `      ${paint.red('✗')} ${paint.bold(showableLine(check.id))} ${showableLine(check.title)}`,
    ...(check.expected === undefined ? [] : field('expected', formatValue(check.expected), paint)),
    ...(check.actual === undefined ? [] : field('actual', formatValue(check.actual), paint)),
    ...(check.because === undefined ? [] : field('because', check.because, paint)),
    ...(check.source === undefined ? [] : field('source', check.source, paint)),
    ...(stepTitle === undefined ? [] : field('step', stepTitle, paint)),
  ];
}

function evidenceLines(step: StepRow, paint: Paint): string[] {
  return step.evidence.flatMap((item) => {
    const isQuoted = item.mediaType.startsWith('text/plain') && item.text !== undefined;
    const text = isQuoted ? (item.text ?? '').trimEnd() : '';
    const quoted =
      text !== '' && text.split('\n').length <= QUOTED_LINES ? field(showableLine(item.name), text, paint) : [];
    return quoted.length > 0 ? quoted : field('evidence', `artifacts/${item.path}`, paint);
  });
}

/** Codes of errors that only say what the checks or the verdict say. */
const SAID_ELSEWHERE: readonly (string | undefined)[] = [PROMISE_BROKEN, INTERRUPTED];

/** What is wrong inside a step, innermost first; an error that only passed through is told once. */
function stepLines(step: StepRow, path: readonly string[], told: Set<string>, paint: Paint): string[] {
  const inner = step.steps.flatMap((child) => stepLines(child, [...path, child.title], told, paint));
  const where = path.length === 0 ? undefined : path.join(' › ');
  const failed = step.checks.filter((check) => check.outcome === 'failed');
  const checks = failed.flatMap((check) => checkLines(check, where, paint));
  const key = step.error === undefined ? '' : `${step.error.code}\n${step.error.message}`;
  const isNew = step.error !== undefined && !SAID_ELSEWHERE.includes(step.error.code) && !told.has(key);
  told.add(key);
  const error = step.error !== undefined && isNew ? errorLines(step.error, paint) : [];
  const isBad = failed.length > 0 || isNew;
  return [...inner, ...checks, ...error, ...(isBad ? evidenceLines(step, paint) : [])];
}

/** The error that alone kept a scenario from being judged. */
function stopper(scenario: ScenarioRow): string | undefined {
  const error = lastAttempt(scenario)?.error;
  if (error === undefined || scenario.outcome !== 'broken') return undefined;
  return `${error.code}\n${error.message}`;
}

/** Each scenario with those after it that the same error stopped: a host that is gone is told once. */
function groupAlike(scenarios: readonly ScenarioRow[]): (readonly [ScenarioRow, ...ScenarioRow[]])[] {
  const isFirst = (row: ScenarioRow, place: number) =>
    stopper(row) === undefined || scenarios.findIndex((other) => stopper(other) === stopper(row)) === place;
  return scenarios
    .filter(isFirst)
    .map((row) => [
      row,
      ...scenarios.filter((other) => other !== row && stopper(row) !== undefined && stopper(other) === stopper(row)),
    ]);
}

function scenarioLines([scenario, ...alike]: readonly [ScenarioRow, ...ScenarioRow[]], paint: Paint): string[] {
  const attempts = scenario.outcome === 'flaky' ? scenario.attempts.slice(0, -1) : scenario.attempts.slice(-1);
  const word = scenario.outcome === 'broken' ? 'not judged' : scenario.outcome === 'flaky' ? 'flaky' : 'failed';
  const head = `  ${paint.bold(paint.red(showableLine(scenario.id)))} ${word}: ${showableLine(scenario.title)}`;
  const where = `    ${paint.dim(`${showableLine(scenario.file)} · ${count(scenario.attempts.length, 'attempt')}`)}`;
  const body = attempts.flatMap((attempt) => [
    ...(scenario.attempts.length > 1
      ? [
          `    attempt ${scenario.attempts.indexOf(attempt) + 1}: ${attempt.status} after ${formatDuration(attempt.durationMs)}`,
        ]
      : []),
    ...stepLines(attempt.root, [], new Set(), paint),
  ]);
  const reason = body.length === 0 ? [`      ${showableLine(scenarioReason(scenario))}`] : [];
  const required = scenario.reason === undefined || body.length === 0 ? [] : field('reason', scenario.reason, paint);
  const same = alike.length === 0 ? [] : field('the same', `stopped ${alike.map(({ id }) => id).join(', ')}`, paint);
  return ['', head, where, ...body, ...reason, ...required, ...same];
}

function toneColour(tone: Tone, paint: Paint): (text: string) => string {
  if (tone === 'passed') return paint.green;
  return tone === 'failed' ? paint.red : paint.yellow;
}

function tally(parts: readonly (readonly [number, string])[]): string {
  const shown = parts.filter(([number]) => number > 0).map(([number, word]) => `${number} ${word}`);
  return shown.length === 0 ? 'none' : shown.join(', ');
}

/** What a person reads last: the failures again with all they need, then verdict, counts and the report's path. */
export function renderSummary(stored: Run, options: SummaryOptions = {}): string {
  // What comes from hosts must not be able to steer the terminal.
  const run = mapStrings(stored, showable);
  const paint = createPaint(options.isColoured === true);
  const verdict = verdictOf(run);
  const isLost = options.isUnwritten === true && run.exitCode === 0;
  const colour = toneColour(isLost ? 'broken' : verdict.tone, paint);
  const word = `${verdict.word.toUpperCase()}${isLost ? ', BUT NOT REPORTED' : ''}`;
  const { scenarios, checks } = countRun(run);
  const bad = worstFirst(run.scenarios).filter((row) => !['expected', 'skipped'].includes(row.outcome));
  const skipped = run.scenarios.filter((row) => row.outcome === 'skipped');
  const open = run.scenarios.filter((row) => row.outcome === 'expected').flatMap(uncheckedOf);
  const hangs = run.scenarios.filter((row) => lastAttempt(row)?.status === 'timedOut').length;
  const lines = [
    ...groupAlike(bad).flatMap((rows) => scenarioLines(rows, paint)),
    ...(options.areErrorsTold === true ? [] : run.errors).flatMap((error) => ['', ...errorLines(error, paint)]),
    ...(skipped.length > 0
      ? [
          '',
          ...skipped.map(
            (row) => `  ${paint.cyan('skipped')} ${showableLine(row.id)}: ${showableLine(scenarioReason(row))}`,
          ),
        ]
      : []),
    ...(open.length > 0 ? ['', ...open.map((words) => `  ${paint.cyan('not checked')} ${showableLine(words)}`)] : []),
    ...(run.leftBehind.length > 0
      ? ['', ...run.leftBehind.map((what) => `  ${paint.red('left behind')} ${showableLine(what)}`)]
      : []),
    '',
    `${paint.bold(colour(word))}  ${showableLine(verdict.sentence)}`,
    showableLine(verdict.worth),
    '',
    `${paint.dim('scenarios')}  ${tally([
      [scenarios.expected, 'passed'],
      [scenarios.unexpected, 'failed'],
      [scenarios.flaky, 'flaky'],
      [scenarios.broken, 'not judged'],
      [scenarios.skipped, 'skipped'],
    ])}${hangs > 0 ? ` (${hangs} timed out)` : ''}`,
    `${paint.dim('checks   ')}  ${tally([
      [checks.passed, 'passed'],
      [checks.failed, 'failed'],
      [checks.skipped, 'skipped'],
    ])}`,
    `${paint.dim('time     ')}  ${formatDuration(run.durationMs)}`,
    ...(options.isUnwritten === true ? [`${paint.dim('report   ')}  could not be written, as said above`] : []),
    ...(options.reportPath === undefined
      ? []
      : [`${paint.dim('report   ')}  ${join(options.reportPath, 'index.html')}`]),
  ];
  return `${lines.join('\n')}\n`;
}
