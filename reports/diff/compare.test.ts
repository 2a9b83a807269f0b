import { describe, expect, test } from 'vitest';
import type { JsonValue } from '../../core/errors.ts';
import { reduceRun } from '../model/reduce.ts';
import type { CheckRow, Run } from '../model/run.ts';
import { genoa, naples } from '../testing/facts.ts';
import * as runs from '../testing/runs.ts';
import { diffRuns, formatDiff } from './index.ts';

const green = () => reduceRun(runs.greenRun());
const red = () => reduceRun(runs.redRun());

/** The run with one check of its first scenario changed, and nothing else. */
function withCheck(run: Run, id: string, change: Partial<CheckRow> | undefined): Run {
  const change1 = (checks: readonly CheckRow[]) =>
    checks.flatMap((check) => (check.id !== id ? [check] : change === undefined ? [] : [{ ...check, ...change }]));
  return {
    ...run,
    scenarios: run.scenarios.map((scenario, index) =>
      index > 0
        ? scenario
        : {
            ...scenario,
            attempts: scenario.attempts.map((attempt) => ({
              ...attempt,
              root: { ...attempt.root, checks: change1(attempt.root.checks) },
            })),
          },
    ),
  };
}

const ids = (items: readonly { scenario: string; check?: string }[]) =>
  items.map(({ scenario, check }) => `${scenario}/${check ?? ''}`);

describe('diffRuns', () => {
  test('a run compared with itself has nothing to tell', () => {
    for (const run of [green(), red(), reduceRun(runs.brokenRun())]) {
      const diff = diffRuns(run, run);
      for (const list of [
        'newFailures',
        'notJudged',
        'fixed',
        'nowFlaky',
        'lost',
        'gained',
        'facts',
        'durations',
      ] as const) {
        expect(diff[list], list).toEqual([]);
      }
    }
  });

  test('every check of either run is counted exactly once', () => {
    for (const [before, after] of [
      [green(), red()],
      [red(), green()],
      [green(), reduceRun(runs.skippedRun())],
      [green(), reduceRun(runs.brokenRun())],
      [reduceRun(runs.interruptedRun()), reduceRun(runs.goneRun())],
    ] as const) {
      const { newFailures, notJudged, neverJudged, stillFailing, fixed, nowFlaky, lost, gained, unchanged } = diffRuns(
        before,
        after,
      );
      const lists = [newFailures, notJudged, neverJudged, stillFailing, fixed, nowFlaky, lost, gained];
      const keys = new Set(
        [before, after].flatMap((run) =>
          run.scenarios.flatMap((scenario) => [
            scenario.id,
            ...scenario.attempts.flatMap((attempt) => attempt.root.checks.map((check) => `${scenario.id}/${check.id}`)),
            ...scenario.attempts.flatMap((attempt) =>
              attempt.root.steps.flatMap((step) => step.checks.map((check) => `${scenario.id}/${check.id}`)),
            ),
          ]),
        ),
      );
      expect(lists.reduce((sum, list) => sum + list.length, unchanged)).toBe(keys.size);
    }
  });

  test.each([
    ['held, broken', { outcome: 'failed', because: 'a slot leaked' }, 'newFailures', 'fixed'],
    ['held, skipped', { outcome: 'skipped' }, 'lost', 'gained'],
    ['held, gone', undefined, 'lost', 'gained'],
  ] as const)('%s: in one list, and in its opposite the other way round', (_name, change, there, back) => {
    const changed = withCheck(green(), 'nothing-lost', change);
    const diff = diffRuns(green(), changed);
    expect(ids(diff[there])).toEqual(['slot-limit/nothing-lost']);
    const opposite = diffRuns(changed, green());
    expect(ids(opposite[back])).toEqual(['slot-limit/nothing-lost']);
    for (const list of ['newFailures', 'stillFailing', 'fixed', 'nowFlaky', 'lost', 'gained'] as const) {
      if (list !== there) expect(diff[list], list).toEqual([]);
      if (list !== back) expect(opposite[list], list).toEqual([]);
    }
  });

  test('a new check that fails at once is a new failure', () => {
    const before = withCheck(red(), 'x', undefined);
    const diff = diffRuns(
      withCheck(green(), 'nothing-lost', undefined),
      withCheck(green(), 'nothing-lost', { outcome: 'failed' }),
    );
    expect(diff.newFailures).toMatchObject([{ check: 'nothing-lost', before: 'absent', after: 'failed' }]);
    expect(before).toEqual(red());
  });

  test.each([
    ['broken by its host', runs.brokenRun, 'broken'],
    ['interrupted', runs.interruptedRun, 'broken'],
    ['that never reached its host', runs.unreachableRun, 'absent'],
    ['that was killed', runs.killedRun, 'broken'],
  ])('what a run %s could not judge is no failure, and not merely lost', (_name, make, state) => {
    const diff = diffRuns(green(), reduceRun(make()));
    expect(diff.newFailures).toEqual([]);
    const last = make === runs.interruptedRun ? 'slot-churn' : 'slot-limit';
    const scenario = diff.notJudged.find((item) => item.scenario === last && item.check === undefined);
    expect(scenario).toMatchObject({ before: 'passed', after: state });
    // With its checks, whether they were skipped or never met.
    expect(ids(diff.notJudged).filter((id) => id.startsWith(`${last}/`)).length).toBeGreaterThan(2);
    expect(ids(diff.lost).filter((id) => id.startsWith(last))).toEqual([]);
  });

  test('a failure beside what could not be judged is a new failure', () => {
    const broken = reduceRun(runs.goneRun());
    const failed = { ...broken, scenarios: [...red().scenarios.slice(1), ...broken.scenarios.slice(1)] };
    const diff = diffRuns(green(), failed);
    expect(ids(diff.newFailures)).toEqual(['slot-limit/stop-frees-one-slot', 'slot-limit/nothing-lost']);
    expect(ids(diff.notJudged)).toContain('slot-churn/');
  });

  test('a failure that nobody could judge before is new, and what holds by now was not fixed', () => {
    const broken = reduceRun(runs.brokenRun());
    expect(ids(diffRuns(broken, red()).newFailures)).toContain('slot-limit/nothing-lost');
    const diff = diffRuns(broken, reduceRun(runs.oneGreenRun()));
    expect([diff.fixed, ids(diff.gained)[0]]).toEqual([[], 'slot-limit/']);
  });

  test('what neither run could judge is told apart', () => {
    const broken = reduceRun(runs.brokenRun());
    const diff = diffRuns(broken, broken);
    expect([ids(diff.neverJudged), diff.stillFailing]).toEqual([['slot-limit/'], []]);
  });

  test('a pass on retry is told, and is no failure', () => {
    const diff = diffRuns(reduceRun(runs.oneGreenRun()), reduceRun(runs.flakyRun()));
    expect(ids(diff.nowFlaky)).toEqual(['slot-limit/']);
    expect(diff.newFailures).toEqual([]);
  });

  test('facts and notable times are told', () => {
    const before = { ...green(), hostFacts: naples };
    const after = {
      ...green(),
      hostFacts: { ...naples, versions: { ...naples.versions, qemu: '8.2.2', ovmf: '2024.02' } },
    };
    expect(diffRuns(before, after).facts).toEqual([
      { fact: 'version of qemu', before: '7.2.0', after: '8.2.2' },
      { fact: 'version of ovmf', after: '2024.02' },
    ]);
    expect(diffRuns({ ...before, hostFacts: genoa }, after).facts.map(({ fact }) => fact)).toContain('generation');
    const slow = (factor: number): Run => ({
      ...green(),
      scenarios: green().scenarios.map((scenario) => ({
        ...scenario,
        attempts: scenario.attempts.map((attempt) => ({ ...attempt, durationMs: attempt.durationMs * factor })),
      })),
    });
    expect(diffRuns(slow(10), slow(20)).durations.map(({ scenario, ratio }) => [scenario, ratio])).toEqual([
      ['slot-limit', 2],
      ['slot-churn', 2],
    ]);
    expect(diffRuns(slow(10), slow(12)).durations).toEqual([]);
    expect(diffRuns(slow(1), slow(2)).durations).toEqual([]);
  });
});

test('names what held both times by another value, and leaves out what is as expected in its own run', () => {
  const run = (expected: JsonValue, actual: JsonValue) => withCheck(green(), 'nothing-lost', { expected, actual });
  const before = run([], { lost: [], of: '12 entries' });
  expect(diffRuns(before, run([], { lost: [], of: '13 entries' })).values).toEqual([
    {
      scenario: 'slot-limit',
      check: 'nothing-lost',
      before: { lost: [], of: '12 entries' },
      after: { lost: [], of: '13 entries' },
    },
  ]);
  expect(diffRuns(before, before).values).toEqual([]);
  expect(diffRuns(run('a', 'a'), run('b', 'b')).values).toEqual([]);
  const said = (time: string) => run('refused', { said: `refused: 2026-10-08T${time}Z qemu: no memory` });
  expect(diffRuns(said('09:21:58.092000'), said('10:00:00.000000')).values).toEqual([]);
  expect(diffRuns(before, withCheck(before, 'nothing-lost', { outcome: 'failed', actual: 'x' })).values).toEqual([]);
});

test.each([
  ['worse', green(), red()],
  ['better', red(), green()],
  ['less shown', green(), reduceRun(runs.oneGreenRun())],
  ['same', red(), red()],
  ['not judged', green(), reduceRun(runs.interruptedRun())],
  ['broken in either run', reduceRun(runs.brokenRun()), reduceRun(runs.brokenRun())],
  ['never reached its host', reduceRun(runs.unreachableRun()), reduceRun(runs.unreachableRun())],
  [
    'another value',
    withCheck(green(), 'nothing-lost', { expected: [], actual: { of: 1 } }),
    withCheck(green(), 'nothing-lost', { expected: [], actual: { of: 2 } }),
  ],
])('formatDiff: %s', (_name, before, after) => {
  expect(formatDiff(diffRuns(before, after))).toMatchSnapshot();
});
