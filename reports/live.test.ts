import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { dir } from 'tmp-promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { virtualClock } from '../core/clock.ts';
import { isSevHarnessError } from '../core/errors.ts';
import { renderAll } from './index.ts';
import { openLiveReport } from './live.ts';
import type { Run } from './model/run.ts';
import { readRun } from './read.ts';
import { hostileRun } from './testing/hostile.ts';
import * as runs from './testing/runs.ts';

let base: { path: string; cleanup(): Promise<void> };
const read = (name: string) => readFileSync(path.join(base.path, name), 'utf8');

beforeEach(async () => {
  base = await dir({ unsafeCleanup: true });
});
afterEach(() => base.cleanup());

describe('openLiveReport', () => {
  test.each([
    ['green', runs.greenRun],
    ['red', runs.redRun],
    ['flaky', runs.flakyRun],
    ['hostile', hostileRun],
  ])(
    'a %s run rendered again from run.json, and from run.jsonl, gives the bytes that the live run wrote',
    (_name, make) => {
      const report = openLiveReport(base.path, virtualClock());
      for (const event of make()) report.push(event);
      report.finish();
      const live = new Map(['run.json', 'junit.xml', 'index.html'].map((name) => [name, read(name)]));
      expect(renderAll(readRun(path.join(base.path, 'run.json')))).toEqual(live);
      expect(renderAll(readRun(path.join(base.path, 'run.jsonl')))).toEqual(live);
      expect(readdirSync(base.path).sort()).toEqual(['artifacts', 'index.html', 'junit.xml', 'run.json', 'run.jsonl']);
    },
  );

  test('the report is there from the first event on, says that it is not finished, and follows the run', async () => {
    const clock = virtualClock();
    const report = openLiveReport(base.path, clock);
    const stored = () => JSON.parse(read('run.json')) as Run;
    const [first, ...rest] = runs.oneGreenRun();
    if (first === undefined) throw new Error('no event');
    report.push(first);
    expect(stored()).toMatchObject({ unfinished: true, status: 'interrupted', scenarios: [] });
    for (const event of rest.slice(0, 10)) report.push(event);
    expect(stored().scenarios).toEqual([]);
    await clock.sleep(2000);
    for (const event of rest.slice(10, 11)) report.push(event);
    expect(stored().scenarios.map((scenario) => scenario.status)).toEqual(['interrupted']);
    for (const event of rest.slice(11)) report.push(event);
    expect(report.finish()).toMatchObject({ status: 'passed', exitCode: 0 });
    expect(stored()).not.toHaveProperty('unfinished');
  });

  test('snapshot has the exit code that the run would end with', () => {
    const report = openLiveReport(base.path, virtualClock());
    for (const event of runs.oneGreenRun().slice(0, -1)) report.push(event);
    expect(report.snapshot().exitCode).toBe(0);
    report.finish();
  });

  test('a report that cannot be written does not stop the run, and finish says so', () => {
    const report = openLiveReport(base.path, virtualClock());
    rmSync(base.path, { recursive: true });
    writeFileSync(base.path, '');
    for (const event of runs.oneGreenRun()) report.push(event);
    expect(() => report.finish()).toThrow(expect.toSatisfy((error) => isSevHarnessError(error, 'REPORT_WRITE_FAILED')));
    expect(report.snapshot()).toMatchObject({ status: 'passed', exitCode: 0 });
  });

  test('a file that cannot be written at the end is gone, and the others tell the end', () => {
    const report = openLiveReport(base.path, virtualClock());
    const [first, ...rest] = runs.oneGreenRun();
    if (first !== undefined) report.push(first);
    expect(readdirSync(base.path)).toContain('index.html');
    mkdirSync(path.join(base.path, `.index.html.${process.pid}.tmp`));
    for (const event of rest) report.push(event);
    expect(() => report.finish()).toThrow(expect.toSatisfy((error) => isSevHarnessError(error, 'REPORT_WRITE_FAILED')));
    expect(readdirSync(base.path)).not.toContain('index.html');
    expect(readRun(base.path)).toMatchObject({ status: 'passed', exitCode: 0 });
  });

  test('a write in between that failed is forgotten when the last one holds', async () => {
    const clock = virtualClock();
    const report = openLiveReport(base.path, clock);
    const events = runs.oneGreenRun();
    const blocked = path.join(base.path, `.run.json.${process.pid}.tmp`);
    for (const [place, event] of events.entries()) {
      if (place === 3) mkdirSync(blocked);
      if (place === 3) await clock.sleep(2000);
      report.push(event);
    }
    rmSync(blocked, { recursive: true });
    expect(report.finish()).toMatchObject({ status: 'passed' });
  });
});
