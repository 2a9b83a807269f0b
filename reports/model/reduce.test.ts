import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import * as runs from '../testing/runs.ts';
import type { RunEvent } from './events.ts';
import { createRunReducer, reduceRun } from './reduce.ts';
import { checksOf, stepsOf } from './select.ts';

function first<T>(items: readonly T[]): T {
  const [item] = items;
  if (item === undefined) throw new Error('no item');
  return item;
}

describe('reduceRun', () => {
  test('a step that an interrupt ended is interrupted, and one with a failed check failed all the same', () => {
    const events = runs.interruptedRun();
    const step = (all: readonly RunEvent[]) => reduceRun(all).scenarios[1]?.attempts[0]?.root.steps[0]?.status;
    expect(step(events)).toBe('interrupted');
    const check = { id: 'c', title: 'C', outcome: 'failed' } as const;
    const place = { atMs: 1, scenario: 'slot-churn', attempt: 1, step: 1 };
    const withCheck = events.flatMap((event): RunEvent[] =>
      event.type === 'interrupted' ? [{ type: 'check', ...place, check }, event] : [event],
    );
    expect(step(withCheck)).toBe('failed');
  });

  test('tells a green run with its steps nested as they were', () => {
    const run = reduceRun(runs.greenRun());
    expect(run).toMatchObject({ status: 'passed', exitCode: 0, schemaVersion: 1, leftBehind: [], errors: [] });
    expect(run).not.toHaveProperty('unfinished');
    expect(run.scenarios.map(({ id, status, outcome }) => ({ id, status, outcome }))).toEqual([
      { id: 'slot-limit', status: 'passed', outcome: 'expected' },
      { id: 'slot-churn', status: 'passed', outcome: 'expected' },
      { id: 'slot-es-split', status: 'skipped', outcome: 'skipped' },
    ]);
    const { root } = first(first(run.scenarios).attempts);
    expect(root.steps.map((step) => [step.title, step.steps.length, step.durationMs])).toEqual([
      ['open host fake:naples', 0, 3],
      ['fill all 15 free slots', 15, 92],
      ['start one guest more', 0, 9],
      ['stop one guest, start two', 0, 15],
      ['kill one QEMU, start two', 0, 17],
      ['stop all', 0, 12],
    ]);
  });

  test('a failed check fails its step and all steps around it, and no other', () => {
    const scenario = reduceRun(runs.redRun()).scenarios.find((row) => row.id === 'slot-limit');
    const { root } = first(scenario?.attempts ?? []);
    expect(
      stepsOf(root)
        .filter((step) => step.status !== 'passed')
        .map((step) => step.title),
    ).toEqual([root.title, 'stop one guest, start two']);
  });

  test('checks are told in the order in which they were made', () => {
    const { root } = first(first(reduceRun(runs.greenRun()).scenarios).attempts);
    expect(checksOf(root).map((check) => check.id)).toEqual([
      'limit-agrees',
      'fills-to-limit',
      'refused-beyond-limit',
      'refused-guest-left-nothing',
      'stop-frees-one-slot',
      'nothing-lost',
    ]);
  });

  test('a stream that stops anywhere is an interrupted run whose open parts are interrupted', () => {
    const events = runs.greenRun();
    for (let length = 1; length < events.length; length += 1) {
      const run = reduceRun(events.slice(0, length));
      expect(run).toMatchObject({ status: 'interrupted', unfinished: true, exitCode: 2 });
      for (const scenario of run.scenarios) {
        const isOpen = scenario.status === 'interrupted';
        expect(scenario.outcome === 'broken').toBe(isOpen);
        const steps = stepsOf(first(scenario.attempts).root);
        expect(steps.some((step) => step.status === 'interrupted')).toBe(isOpen);
      }
    }
  });

  test('a killed run names the step in which it was', () => {
    const { root } = first(first(reduceRun(runs.killedRun()).scenarios).attempts);
    expect(
      stepsOf(root)
        .map((step) => [step.title, step.status])
        .slice(1),
    ).toEqual([
      ['fill all 15 free slots', 'interrupted'],
      ['start guest 1', 'passed'],
      ['start guest 2', 'interrupted'],
    ]);
  });

  test('Ctrl-C is interrupted although the run came to its end', () => {
    const run = reduceRun(runs.interruptedRun());
    expect(run).toMatchObject({ status: 'interrupted', exitCode: 2 });
    expect(run).not.toHaveProperty('unfinished');
  });

  test('an exit code that no event explains is kept, and never made better', () => {
    const events = runs.greenRun().slice(0, -1);
    expect(reduceRun([...events, { atMs: 400, type: 'run-finished', exitCode: 2 }])).toMatchObject({
      status: 'broken',
      exitCode: 2,
    });
    const red = runs.redRun().slice(0, -1);
    expect(reduceRun([...red, { atMs: 400, type: 'run-finished', exitCode: 0 }])).toMatchObject({
      status: 'failed',
      exitCode: 1,
    });
  });

  test('what a body does after its scenario ended is kept but changes no verdict of its steps', () => {
    const place = { scenario: 'slot-limit', attempt: 1 };
    const late: RunEvent[] = [
      {
        atMs: 60,
        type: 'scenario-finished',
        ...place,
        status: 'timedOut',
        error: { kind: 'product', message: 'too slow' },
      },
      { atMs: 70, type: 'step-finished', ...place, step: 1 },
      { atMs: 71, type: 'note', ...place, step: 1, text: 'late' },
      { atMs: 80, type: 'run-finished', exitCode: 1 },
    ];
    const run = reduceRun([...runs.killedRun(), ...late]);
    const { root, status } = first(first(run.scenarios).attempts);
    expect(status).toBe('timedOut');
    expect(first(root.steps)).toMatchObject({ status: 'interrupted', notes: ['late'], durationMs: 55 });
  });

  test.each([
    ['before the run', [{ atMs: 0, type: 'interrupted' }]],
    [
      'in no scenario',
      [first(runs.greenRun()), { atMs: 1, type: 'note', scenario: 'x', attempt: 1, step: 0, text: '' }],
    ],
    [
      'in no attempt',
      [
        ...runs.killedRun(),
        { atMs: 1, type: 'scenario-finished', scenario: 'slot-limit', attempt: 2, status: 'passed' },
      ],
    ],
    [
      'in no step',
      [...runs.killedRun(), { atMs: 1, type: 'step-finished', scenario: 'slot-limit', attempt: 1, step: 99 }],
    ],
    ['nowhere at all', []],
  ] as [string, RunEvent[]][])('an event %s is refused with a code', (_name, events) => {
    expect(() => reduceRun(events)).toThrow(
      expect.toSatisfy((error) => isSevHarnessError(error, 'REPORT_EVENT_MISPLACED')),
    );
  });
});

describe('createRunReducer', () => {
  test('its snapshots are what reduceRun tells of the same events, and earlier ones do not change', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: runs.redRun().length }), (length) => {
        const events = runs.redRun();
        const reducer = createRunReducer();
        for (const event of events.slice(0, length)) reducer.push(event);
        const early = reducer.snapshot();
        const copy = structuredClone(early);
        for (const event of events.slice(length)) reducer.push(event);
        expect(early).toEqual(copy);
        expect(early).toEqual(reduceRun(events.slice(0, length)));
        expect(reducer.snapshot()).toEqual(reduceRun(events));
      }),
      { numRuns: 30 },
    );
  });

  test('concluded knows the exit code before the run says it', () => {
    for (const make of [
      runs.greenRun,
      runs.redRun,
      runs.brokenRun,
      runs.skippedRun,
      runs.interruptedRun,
      runs.flakyRun,
    ]) {
      const events = make();
      const reducer = createRunReducer();
      for (const event of events.slice(0, -1)) reducer.push(event);
      expect(reducer.concluded().exitCode).toBe(reduceRun(events).exitCode);
      expect(reducer.concluded().status).toBe(reduceRun(events).status);
    }
  });
});
