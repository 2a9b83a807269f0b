import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { dir } from 'tmp-promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { virtualClock } from '../core/clock.ts';
import { isSevHarnessError } from '../core/errors.ts';
import { openLiveReport } from './live.ts';
import { parseEventLines } from './model/jsonl.ts';
import { readRun } from './read.ts';
import * as runs from './testing/runs.ts';

let base: { path: string; cleanup(): Promise<void> };

beforeEach(async () => {
  base = await dir({ unsafeCleanup: true });
});
afterEach(() => base.cleanup());

/** As root, as everything in the project `real`. */
async function onDisk(kiB: number, body: () => void | Promise<void>): Promise<void> {
  await execa('mount', ['-t', 'tmpfs', '-o', `size=${kiB}k`, 'tmpfs', base.path]);
  try {
    await body();
  } finally {
    await execa('umount', [base.path]);
  }
}

function caught(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    return error;
  }
}

describe('a report on a disk without room', () => {
  test('that is full from the start: the hint is to make room', () =>
    onDisk(16, () => {
      expect(caught(() => writeFileSync(path.join(base.path, 'others'), Buffer.alloc(16 * 1024)))).toBeUndefined();
      expect(caught(() => openLiveReport(base.path))).toMatchObject({
        code: 'REPORT_FOLDER_UNWRITABLE',
        message: expect.stringContaining('ENOSPC'),
        hint: 'Make room there, or give --report a folder on another disk.',
      });
      expect(readdirSync(base.path).filter((name) => name.startsWith('.'))).toEqual([]);
    }));

  test.each([20, 32, 64, 96])('of %i KiB: what is there at the end tells the end', (kiB) =>
    onDisk(kiB, async () => {
      const clock = virtualClock();
      const report = openLiveReport(base.path, clock);
      for (const event of runs.oneGreenRun()) {
        await clock.sleep(2000);
        report.push(event);
      }
      const end = caught(() => report.finish());
      expect(isSevHarnessError(end, 'REPORT_WRITE_FAILED')).toBe(kiB < 96);
      const left = readdirSync(base.path);
      expect(left.filter((name) => name.startsWith('.'))).toEqual([]);
      if (left.includes('run.json')) expect(readRun(base.path)).toMatchObject({ status: 'passed', exitCode: 0 });
      // Readable, up to where the disk was full.
      expect(
        parseEventLines(readFileSync(path.join(base.path, 'run.jsonl'), 'utf8'), 'run.jsonl').events.length,
      ).toBeGreaterThan(0);
    }),
  );

  test('that is full for a while: the events are readable up to there, and the report tells the end', () =>
    onDisk(256, () => {
      const report = openLiveReport(base.path, virtualClock());
      const [events, filler] = [runs.oneGreenRun(), path.join(base.path, 'others')];
      for (const [place, event] of events.entries()) {
        // So that a line of the stream has room for its beginning only.
        if (place === 3) expect(caught(() => writeFileSync(filler, Buffer.alloc(256 * 1024)))).toBeInstanceOf(Error);
        if (place === events.length - 3) rmSync(filler);
        report.push(event);
      }
      expect(caught(() => report.finish())).toMatchObject({ code: 'REPORT_WRITE_FAILED' });
      const kept = parseEventLines(readFileSync(path.join(base.path, 'run.jsonl'), 'utf8'), 'run.jsonl');
      expect(kept.events.length).toBeLessThan(events.length);
      expect(readRun(base.path)).toMatchObject({ status: 'passed' });
    }));
});
