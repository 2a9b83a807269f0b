import { describe, expect, test } from 'vitest';
import { judgeAttempt, judgeRun, judgeScenario } from './judge.ts';
import type { AttemptRow, CheckRow, ReportedError, StepRow } from './run.ts';

function step(checks: readonly CheckRow['outcome'][] = [], steps: readonly StepRow[] = []): StepRow {
  return {
    title: 'step',
    status: 'passed',
    startMs: 0,
    durationMs: 1,
    checks: checks.map((outcome, index) => ({ id: `check-${index}`, outcome, title: 'promise' })),
    evidence: [],
    notes: [],
    steps,
  };
}

function attempt(status: AttemptRow['status'], kind?: ReportedError['kind'], root = step()): AttemptRow {
  return {
    status,
    startMs: 0,
    durationMs: 1,
    root,
    ...(kind === undefined ? {} : { error: { kind, message: 'error' } }),
  };
}

const clean = { scenarios: [{ outcome: 'expected' as const }], errors: [], leftBehind: [], interrupted: false };

describe('judgeRun', () => {
  test('everything as expected is exit code 0', () => {
    expect(judgeRun(clean)).toEqual({ status: 'passed', exitCode: 0 });
  });

  test.each([
    ['a flaky scenario', { scenarios: [{ outcome: 'flaky' as const }] }, 'passed', 0],
    [
      'a skip beside a pass',
      { scenarios: [{ outcome: 'skipped' as const }, { outcome: 'expected' as const }] },
      'passed',
      0,
    ],
    [
      'a product failure',
      { scenarios: [{ outcome: 'unexpected' as const }, { outcome: 'broken' as const }] },
      'failed',
      1,
    ],
    ['a product error outside of scenarios', { errors: [{ kind: 'product' as const }] }, 'failed', 1],
    [
      'a scenario that could not be judged',
      { scenarios: [{ outcome: 'broken' as const }, { outcome: 'expected' as const }] },
      'broken',
      2,
    ],
    ['a harness error', { errors: [{ kind: 'harness' as const }] }, 'broken', 2],
    ['an environment error', { errors: [{ kind: 'environment' as const }] }, 'broken', 2],
    ['something left behind', { leftBehind: ['a guest'] }, 'broken', 2],
    ['no scenario', { scenarios: [] }, 'broken', 2],
    ['only skips', { scenarios: [{ outcome: 'skipped' as const }] }, 'broken', 2],
    ['an interruption', { interrupted: true }, 'interrupted', 2],
    [
      'an interruption after a product failure',
      { scenarios: [{ outcome: 'unexpected' as const }], interrupted: true },
      'interrupted',
      1,
    ],
    [
      'a product failure with leftovers',
      { scenarios: [{ outcome: 'unexpected' as const }], leftBehind: ['a guest'] },
      'failed',
      1,
    ],
  ])('%s', (_name, change, status, exitCode) => {
    expect(judgeRun({ ...clean, ...change })).toEqual({ status, exitCode });
  });
});

describe('judgeScenario', () => {
  test.each([
    ['passed at once', [attempt('passed')], 'passed', 'expected'],
    ['passed on retry', [attempt('failed', 'product'), attempt('passed')], 'passed', 'flaky'],
    ['skipped', [attempt('skipped')], 'skipped', 'skipped'],
    ['failed with a product error', [attempt('failed', 'product')], 'failed', 'unexpected'],
    ['failed without an error', [attempt('failed')], 'failed', 'unexpected'],
    ['failed with a harness error', [attempt('failed', 'harness')], 'failed', 'broken'],
    ['failed with an environment error', [attempt('failed', 'environment')], 'failed', 'broken'],
    [
      'failed with a harness error after a broken promise',
      [attempt('failed', 'harness', step(['failed']))],
      'failed',
      'unexpected',
    ],
    ['timed out on the host', [attempt('timedOut', 'product')], 'timedOut', 'unexpected'],
    ['timed out in the harness', [attempt('timedOut', 'harness')], 'timedOut', 'broken'],
    ['interrupted', [attempt('interrupted')], 'interrupted', 'broken'],
    [
      'interrupted after a broken promise',
      [attempt('interrupted', undefined, step(['failed']))],
      'interrupted',
      'unexpected',
    ],
    ['never attempted', [], 'interrupted', 'broken'],
  ] as const)('%s', (_name, attempts, status, outcome) => {
    expect(judgeScenario(attempts)).toEqual({ status, outcome });
  });
});

describe('judgeAttempt', () => {
  test('a broken promise in a nested step fails an attempt that says it passed', () => {
    const root = step(['passed'], [step([], [step(['failed'])])]);
    expect(judgeAttempt('passed', root)).toBe('failed');
    expect(judgeAttempt('skipped', root)).toBe('failed');
    expect(judgeAttempt('timedOut', root)).toBe('timedOut');
    expect(judgeAttempt('passed', step(['passed', 'skipped']))).toBe('passed');
  });
});
