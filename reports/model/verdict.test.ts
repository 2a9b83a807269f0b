import { expect, test } from 'vitest';
import * as runs from '../testing/runs.ts';
import { reduceRun } from './reduce.ts';
import type { CheckRow, Run } from './run.ts';
import { verdictOf } from './verdict.ts';

test.each(Object.entries(runs).filter((entry) => typeof entry[1] === 'function') as [string, typeof runs.greenRun][])(
  '%s in words',
  (_name, make) => {
    expect(verdictOf(reduceRun(make()))).toMatchSnapshot();
  },
);

test('a run without a single check says so', () => {
  const events = runs.oneGreenRun().filter((event) => event.type !== 'check');
  expect(verdictOf(reduceRun(events)).sentence).toBe(
    '1 scenario ran on fake:naples, EPYC 7001 (Naples) without a single check.',
  );
});

test('a code that no event explains is named', () => {
  const events = [...runs.oneGreenRun().slice(0, -1), { atMs: 1000, type: 'run-finished' as const, exitCode: 2 }];
  expect(verdictOf(reduceRun(events))).toMatchObject({
    tone: 'broken',
    sentence: 'The harness ended with exit code 2 and recorded no reason.',
  });
});

test('of several failed scenarios the names are said, and no more of them than one can take in', () => {
  const run = reduceRun(runs.redRun());
  const [failed] = run.scenarios.filter((scenario) => scenario.outcome === 'unexpected');
  const many = (count: number) => ({
    ...run,
    scenarios: [...run.scenarios, ...Array.from({ length: count }, (_, place) => ({ ...failed, id: `s${place}` }))],
  });
  expect(verdictOf(many(1) as Run).sentence).toBe(
    'On fake:naples, EPYC 7001 (Naples), 2 of 3 scenarios did not hold: slot-limit and s0.',
  );
  expect(verdictOf(many(9) as Run).sentence).toBe(
    'On fake:naples, EPYC 7001 (Naples), 10 of 11 scenarios did not hold: slot-limit, s0, s1, s2, s3 and 5 more.',
  );
});

test('a reason that ends in a full stop ends the sentence too', () => {
  const run = reduceRun(runs.skippedRun());
  const scenarios = run.scenarios.map((scenario) => ({ ...scenario, reason: 'the host has no KSM.' }));
  expect(verdictOf({ ...run, scenarios }).sentence).toMatch(/nothing was shown: the host has no KSM\.$/);
});

test('scenarios that were skipped for one reason are one sentence when they are many', () => {
  const run = reduceRun(runs.skippedRun());
  const skipped = (count: number) => ({
    ...run,
    scenarios: Array.from({ length: count }, (_, place) => ({ ...run.scenarios[0], id: `s${place}`, title: 'T' })),
  });
  const told = (count: number) => verdictOf(skipped(count) as Run).notProved.filter((words) => words.includes('s0'));
  expect(told(3)).toEqual(['T — s0 skipped: needs sev: domcapabilities say <sev supported="no"/>']);
  expect(told(4)).toEqual([
    '4 scenarios — s0, s1, s2, s3 skipped: needs sev: domcapabilities say <sev supported="no"/>',
  ]);
});

test('what a passed check left open stands among what is not shown', () => {
  const run = reduceRun(runs.oneGreenRun());
  const [scenario] = run.scenarios;
  const [attempt] = scenario?.attempts ?? [];
  if (scenario === undefined || attempt === undefined) throw new Error('the run has one scenario');
  const check = { id: 'c', outcome: 'passed', title: 'T', leavesOpen: 'whether 3 of 9 are fixed' } as const;
  const open = { ...scenario, attempts: [{ ...attempt, root: { ...attempt.root, checks: [check] } }] };
  expect(verdictOf({ ...run, scenarios: [open] }).notProved).toContain('whether 3 of 9 are fixed — slot-limit');
});

/** The run of one scenario with those of its checks skipped. */
function partlyChecked(skipped: (check: CheckRow, place: number) => boolean): Run {
  let place = 0;
  const events = runs.oneGreenRun().map((event) => {
    if (event.type !== 'check' || !skipped(event.check, place++)) return event;
    const { id, title } = event.check;
    return { ...event, check: { id, title, outcome: 'skipped', because: 'needs sev: the host has none' } as const };
  });
  return reduceRun(events);
}

test('of a scenario that was checked in part the checks that held are shown, and its promise is not', () => {
  const run = partlyChecked((_check, place) => place > 1);
  const [scenario] = run.scenarios;
  expect(scenario).toMatchObject({ outcome: 'expected' });
  const { proved, notProved } = verdictOf(run);
  expect(proved).toEqual([
    'libvirt and the hardware name the same number of slots — slot-limit',
    'every promised slot takes a guest, and all of them run — slot-limit',
  ]);
  expect(proved.join()).not.toContain(scenario?.title);
  expect(notProved.slice(-2)).toEqual([
    `${scenario?.title} — slot-limit, as only 2 of 6 checks could be made`,
    '“one guest more than promised is refused”, “the refused guest is neither running nor defined”, “after one guest stops, exactly one more starts” and “at the end as many slots are in use as at the start” — slot-limit: needs sev: the host has none',
  ]);
});

test('a scenario all of whose checks held is shown by its promise', () => {
  const run = partlyChecked(() => false);
  const { proved, notProved } = verdictOf(run);
  expect(proved).toEqual([`${run.scenarios[0]?.title} — slot-limit, 6 checks`]);
  expect(notProved).toEqual(run.hostFacts?.notVerified);
});
