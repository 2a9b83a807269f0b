import { describe, expect, test } from 'vitest';
import { reduceRun } from '../model/reduce.ts';
import { hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { renderTap } from './render.ts';

const tap = (make: () => ReturnType<typeof runs.greenRun>) => renderTap(reduceRun(make()));

/** A reader of TAP 14 of its own: test points by depth, and the plans. */
function read(text: string): {
  points: { depth: number; ok: boolean; number: number }[];
  plans: { depth: number; count: number }[];
} {
  const points: { depth: number; ok: boolean; number: number }[] = [];
  const plans: { depth: number; count: number }[] = [];
  let isYaml = false;
  for (const line of text.split('\n').slice(1, -1)) {
    const depth = /^ */.exec(line)?.[0].length ?? 0;
    const rest = line.trimStart();
    if (rest === '---') isYaml = true;
    const point = /^(not )?ok (\d+) - (?:[^#\\]|\\.)*(?:# SKIP .*)?$/.exec(rest);
    const plan = /^1\.\.(\d+)$/.exec(rest);
    if (isYaml) expect(rest).toMatch(/^(?:---|\.\.\.|\w+: (?:[[{"].*|-?\d[\d.]*|true|false|null))$/);
    else if (point !== null) points.push({ depth, ok: point[1] === undefined, number: Number(point[2]) });
    else if (plan !== null) plans.push({ depth, count: Number(plan[1]) });
    else expect(rest).toMatch(/^#/);
    if (rest === '...') isYaml = false;
  }
  return { points, plans };
}

describe('renderTap', () => {
  test('red run', () => {
    expect(tap(runs.redRun)).toMatchSnapshot();
  });

  test.each(
    Object.entries({ ...runs, hostileRun }).filter((entry) => typeof entry[1] === 'function') as [
      string,
      typeof runs.greenRun,
    ][],
  )(
    '%s: a reader finds the points that the plan promises, and not ok exactly when the exit code is not 0',
    (_name, make) => {
      const text = tap(make);
      expect(text.startsWith('TAP version 14\n')).toBe(true);
      const { points, plans } = read(text);
      const outer = points.filter((point) => point.depth === 0);
      expect(plans.at(-1)).toEqual({ depth: 0, count: outer.length });
      expect(outer.map((point) => point.number)).toEqual(outer.map((_, index) => index + 1));
      expect(outer.every((point) => point.ok)).toBe(reduceRun(make()).exitCode === 0);
      expect(points.length - outer.length).toBe(plans.slice(0, -1).reduce((sum, plan) => sum + plan.count, 0));
    },
  );
});
