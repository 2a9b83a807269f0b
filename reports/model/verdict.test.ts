import { expect, test } from 'vitest';
import * as runs from '../testing/runs.ts';
import { reduceRun } from './reduce.ts';
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
