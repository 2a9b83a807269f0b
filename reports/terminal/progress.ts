import type { RunEvent } from '../model/events.ts';
import { createRunReducer } from '../model/reduce.ts';
import { INTERRUPTED, type Outcome, type ReportedError, type ScenarioRow } from '../model/run.ts';
import { checksOfScenario, lastAttempt } from '../model/select.ts';
import { countMade, formatValue, mapStrings, showableLine, versionName } from '../model/text.ts';
import { scenarioReason } from '../model/verdict.ts';
import { createPaint, durationColumn, type StatusWord, statusColumn } from './paint.ts';

/** A step that takes this long is reported as slow, and again whenever its time has doubled. */
const SLOW_MS = 10_000;
/** As wide as a duration column. */
const BLANK_DURATION = ' '.repeat(12);
const CLEAR_LINE = '\r\u001b[2K';
const SPINNER = ['⠋', '⠙', '⠸', '⠴', '⠦', '⠇'];

export interface ProgressOptions {
  readonly write: (text: string) => void;
  /** A terminal gets one line that changes in place; anything else gets a line for each step. */
  readonly isTty: boolean;
  readonly isColoured: boolean;
  /** Width of the terminal. */
  readonly columns: () => number;
}

export interface Progress {
  push(event: RunEvent): void;
  /** Lets time pass without an event: prints `SLOW`, turns the live line. `atMs` as in events. */
  tick(atMs: number): void;
  /** Removes the live line. */
  close(): void;
}

interface LiveStep {
  readonly scenario: string;
  readonly path: readonly string[];
  readonly depth: number;
  readonly startMs: number;
  readonly parent: LiveStep | undefined;
  children: number;
  failedChecks: number;
  nextSlowMs: number;
  /** What a step inside it has said. */
  toldError?: string;
}

function errorKey(error: ReportedError): string {
  return `${error.code}\n${error.message}`;
}

type Place = { readonly scenario: string; readonly attempt: number };

function wordOf(outcome: Outcome, row: ScenarioRow): StatusWord {
  switch (outcome) {
    case 'expected':
      return 'PASS';
    case 'unexpected':
      return 'FAIL';
    case 'flaky':
      return 'FLAKY';
    case 'skipped':
      return 'SKIP';
    case 'broken':
      return row.status === 'interrupted' ? 'STOP' : 'BROKEN';
  }
}

/** Live progress from the event stream. It holds no timer: whoever owns the clock calls `tick`. */
export function createProgress(options: ProgressOptions): Progress {
  const paint = createPaint(options.isColoured);
  const reducer = createRunReducer();
  const open = new Map<string, LiveStep>();
  /** Errors whose words were printed: a host that is gone stops every scenario in the same words. */
  const told = new Set<string>();
  let liveLine = '';
  let turns = 0;
  let finished = 0;

  const keyOf = (place: Place, step: number) => `${place.scenario}\n${place.attempt}\n${step}`;
  const clearLive = () => {
    if (liveLine !== '') options.write(CLEAR_LINE);
    liveLine = '';
  };
  const line = (word: StatusWord, text: string) => {
    clearLive();
    options.write(`${statusColumn(word, paint)} ${text}\n`);
  };
  /** An error in full, with what to do, where it is met first. */
  const lineWithError = (word: StatusWord, text: string, error: ReportedError) => {
    if (told.has(errorKey(error))) return line(word, `${text}${paint.dim('the same error as above')}`);
    told.add(errorKey(error));
    line(word, `${text}${paint.dim(error.message)}`);
    if (error.hint !== undefined) line('HINT', `${BLANK_DURATION} ${error.hint}`);
  };
  const label = (step: LiveStep) => [paint.bold(step.scenario), ...step.path].join(paint.dim(' › '));
  /** Of each scenario that runs, the innermost open step. */
  const innermost = () => [...open.values()].filter((step) => step.children === 0);

  const drawLive = (atMs: number) => {
    if (!options.isTty) return;
    const [first, ...others] = innermost();
    if (first === undefined) return clearLive();
    const spin = SPINNER[turns % SPINNER.length] ?? '';
    const more = others.length > 0 ? ` (and ${others.length} more)` : '';
    const path = [first.scenario, ...first.path].join(' › ');
    const text = `${spin} ${((atMs - first.startMs) / 1000).toFixed(1)}s ${path}${more} · ${finished} done`;
    const fitting = [...text].slice(0, Math.max(10, options.columns() - 1)).join('');
    options.write(`${liveLine === '' ? '' : CLEAR_LINE}${paint.dim(fitting)}`);
    liveLine = fitting;
  };

  const startStep = (
    key: string,
    scenario: string,
    title: string | undefined,
    parent: LiveStep | undefined,
    atMs: number,
  ) => {
    const path = title === undefined ? [] : [...(parent?.path ?? []), title];
    if (parent !== undefined) parent.children += 1;
    const depth = parent === undefined ? 0 : parent.depth + 1;
    open.set(key, { scenario, path, depth, startMs: atMs, parent, children: 0, failedChecks: 0, nextSlowMs: SLOW_MS });
  };
  const endStep = (key: string): LiveStep | undefined => {
    const step = open.get(key);
    open.delete(key);
    if (step?.parent !== undefined) {
      step.parent.children -= 1;
      step.parent.failedChecks += step.failedChecks;
    }
    return step;
  };

  const finishStep = (event: RunEvent & { type: 'step-finished' }) => {
    const step = endStep(keyOf(event, event.step));
    if (step === undefined) return;
    const hasFailed = event.error !== undefined || step.failedChecks > 0;
    // Steps inside steps are told only where one went wrong: a scenario may start a thousand guests.
    if (!hasFailed && (options.isTty || step.depth > 1)) return;
    const { error } = event;
    const wasStopped = error?.code === INTERRUPTED;
    const word = wasStopped && step.failedChecks === 0 ? 'STOP' : hasFailed ? 'FAIL' : 'PASS';
    const text = `${durationColumn(event.atMs - step.startMs)} ${label(step)}`;
    if (error === undefined || wasStopped || step.toldError === errorKey(error)) line(word, text);
    else lineWithError(word, `${text}: `, error);
    if (error !== undefined && step.parent !== undefined) step.parent.toldError = errorKey(error);
  };

  const finishScenario = (event: RunEvent & { type: 'scenario-finished' }) => {
    const toldError = open.get(keyOf(event, 0))?.toldError;
    for (const [key, step] of open) {
      if (step.scenario === event.scenario) open.delete(key);
    }
    finished += 1;
    const row = reducer.snapshot().scenarios.find((scenario) => scenario.id === event.scenario);
    const attempt = row === undefined ? undefined : lastAttempt(row);
    if (row === undefined || attempt === undefined) return;
    const reason = scenarioReason(row);
    const error = attempt.error?.message === reason ? attempt.error : undefined;
    const word = wordOf(row.outcome, row);
    const head = `${durationColumn(attempt.durationMs)} ${paint.bold(row.id)} `;
    const isSaid = error !== undefined && toldError === errorKey(error);
    if (error !== undefined && !isSaid) lineWithError(word, head, error);
    else line(word, `${head}${paint.dim(isSaid ? 'by the error above' : reason || countMade(checksOfScenario(row)))}`);
  };

  const push = (raw: RunEvent) => {
    if (raw.type === 'evidence') return;
    // What comes from hosts must not be able to steer the terminal.
    const event = mapStrings(raw, showableLine);
    reducer.push(event);
    switch (event.type) {
      case 'run-started':
      case 'run-finished':
        break;
      case 'host-described': {
        const { name, kind, generation, versions } = event.host;
        const parts = [
          generation,
          ...Object.entries(versions).map(([what, version]) => `${versionName(what)} ${version}`),
        ];
        const known = parts.filter((part) => part !== undefined);
        line('HOST', `${paint.bold(name)} ${kind}${known.length > 0 ? ` · ${known.join(', ')}` : ''}`);
        break;
      }
      case 'scenario-started': {
        startStep(keyOf(event, 0), event.scenario, undefined, undefined, event.atMs);
        const title = event.header.title;
        if (event.attempt > 1)
          line('RETRY', `${BLANK_DURATION} ${paint.bold(event.scenario)} attempt ${event.attempt}`);
        else if (!options.isTty) line('START', `${BLANK_DURATION} ${paint.bold(event.scenario)} ${title}`);
        break;
      }
      case 'step-started':
        startStep(
          keyOf(event, event.step),
          event.scenario,
          event.title,
          open.get(keyOf(event, event.parent)),
          event.atMs,
        );
        break;
      case 'step-finished':
        finishStep(event);
        break;
      case 'check': {
        const step = open.get(keyOf(event, event.step));
        if (event.check.outcome !== 'failed') break;
        if (step !== undefined) step.failedChecks += 1;
        const { id, title, expected, actual } = event.check;
        const values = [
          expected === undefined ? '' : ` expected ${formatValue(expected)}`,
          actual === undefined ? '' : ` actual ${formatValue(actual)}`,
        ].join('');
        line('FAIL', `${BLANK_DURATION} ${paint.bold(event.scenario)} ${id}: ${`${title}${values}`}`);
        break;
      }
      case 'note':
        line('NOTE', `${BLANK_DURATION} ${paint.bold(event.scenario)} ${event.text}`);
        break;
      case 'scenario-finished':
        finishScenario(event);
        break;
      case 'run-error':
        lineWithError('ERROR', event.error.code === undefined ? '' : `${event.error.code} `, event.error);
        break;
      case 'left-behind':
        line('LEFT', `behind: ${event.what}`);
        break;
      case 'interrupted':
        line('STOP', 'interrupted');
        break;
    }
  };

  const tick = (atMs: number) => {
    for (const step of innermost()) {
      const runningMs = atMs - step.startMs;
      if (runningMs < step.nextSlowMs) continue;
      while (runningMs >= step.nextSlowMs) step.nextSlowMs *= 2;
      line('SLOW', `${durationColumn(runningMs, true)} ${label(step)}`);
    }
    turns += 1;
    drawLive(atMs);
  };

  return { push, tick, close: clearLive };
}
