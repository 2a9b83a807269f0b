import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { dir } from 'tmp-promise';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { renderJson } from '../../reports/index.ts';
import { reduceRun } from '../../reports/model/reduce.ts';
import * as runs from '../../reports/testing/runs.ts';
import { diffVerb } from './report.ts';

let base: { path: string; cleanup(): Promise<void> };

beforeEach(async () => {
  base = await dir({ unsafeCleanup: true });
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await base.cleanup();
});

function fileOf(name: string, make: typeof runs.greenRun): string {
  const file = path.join(base.path, `${name}.json`);
  writeFileSync(file, renderJson(reduceRun(make())));
  return file;
}

describe('report diff with a green baseline', () => {
  it.each<[string, typeof runs.greenRun, number]>([
    ['is the same', runs.greenRun, 0],
    ['shows less', runs.oneGreenRun, 0],
    ['broke a promise', runs.redRun, 1],
    ['was interrupted', runs.interruptedRun, 2],
    ['was killed', runs.killedRun, 2],
    ['lost its host', runs.goneRun, 2],
    ['never reached its host', runs.unreachableRun, 2],
  ])('and a candidate that %s', (_name, make, code) => {
    expect(diffVerb(fileOf('before', runs.greenRun), fileOf('after', make), {})).toBe(code);
  });
});

it('report diff is not content with two runs that never reached their host', () => {
  const file = fileOf('nothing', runs.unreachableRun);
  expect(diffVerb(file, file, {})).toBe(2);
});
