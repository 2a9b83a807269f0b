import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { dir } from 'tmp-promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../core/errors.ts';
import { renderJson } from './index.ts';
import { formatEvent } from './model/jsonl.ts';
import { reduceRun } from './model/reduce.ts';
import { readRun } from './read.ts';
import * as runs from './testing/runs.ts';

let base: { path: string; cleanup(): Promise<void> };

beforeEach(async () => {
  base = await dir({ unsafeCleanup: true });
});
afterEach(() => base.cleanup());

function file(name: string, content: string): string {
  const target = path.join(base.path, name);
  writeFileSync(target, content);
  return target;
}

function refusal(target: string): string {
  try {
    readRun(target);
  } catch (error) {
    if (isSevHarnessError(error)) return `${error.code} ${error.message.replaceAll(base.path, '')} | ${error.hint}`;
    throw error;
  }
  return 'read';
}

describe('readRun', () => {
  test('reads run.json, run.jsonl and the folder alike', () => {
    const run = JSON.parse(JSON.stringify(reduceRun(runs.redRun())));
    const json = file('run.json', renderJson(run));
    const lines = file('run.jsonl', runs.redRun().map(formatEvent).join(''));
    expect(readRun(json)).toEqual(run);
    expect(readRun(lines)).toEqual(run);
    expect(readRun(base.path)).toEqual(run);
  });

  test('a run.jsonl whose last line is torn is read as far as it goes', () => {
    const text = runs.redRun().map(formatEvent).join('').slice(0, -5);
    expect(readRun(file('run.jsonl', text))).toMatchObject({ unfinished: true, status: 'interrupted', exitCode: 1 });
  });

  test.each([
    [
      'nothing there',
      () => path.join(base.path, 'no.json'),
      /^REPORT_FILE_UNREADABLE cannot read a run from \/no\.json: ENOENT/,
    ],
    ['an empty folder', () => base.path, /^REPORT_FILE_UNREADABLE .* \| Give the run\.json/],
    [
      'not JSON',
      () => file('run.json', 'hello'),
      /^REPORT_FILE_INVALID \/run\.json is not JSON: .* \| Give the run\.json/,
    ],
    [
      'another kind of JSON',
      () => file('run.json', '{"name":"x"}'),
      /^REPORT_FILE_INVALID \/run\.json is not a run: the whole lacks 'schemaVersion' \| Give the run\.json or run\.jsonl /,
    ],
    [
      'a later version',
      () => file('run.json', '{"schemaVersion":2}'),
      /^REPORT_VERSION_UNSUPPORTED \/run\.json has schema version 2; this harness reads version 1 \| Read it with the harness that wrote it/,
    ],
    [
      'events of a later version',
      () => file('run.jsonl', '{"atMs":0,"type":"run-started","schemaVersion":2}\n'),
      /^REPORT_VERSION_UNSUPPORTED /,
    ],
    [
      'other lines',
      () => file('run.jsonl', '# Notes\n\nhello\n'),
      /^REPORT_FILE_INVALID \/run\.jsonl line 1 .*\| Give the run\.json/,
    ],
    [
      'no events',
      () => file('run.jsonl', ''),
      /^REPORT_FILE_INVALID \/run\.jsonl holds no event of a run \| Give the run\.json/,
    ],
    [
      'events without their run',
      () => file('run.jsonl', '{"atMs":0,"type":"interrupted"}\n'),
      /^REPORT_EVENT_MISPLACED /,
    ],
  ])('%s is one line with a code', (_name, make, expected) => {
    const text = refusal(make());
    expect(text).toMatch(expected);
    expect(text).not.toContain('\n');
  });
});
