import { readFileSync } from 'node:fs';
import path from 'node:path';
import { dir } from 'tmp-promise';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../../core/errors.ts';
import * as runs from '../testing/runs.ts';
import { formatEvent, openEventLog, parseEventLines } from './jsonl.ts';

const text = () => runs.redRun().map(formatEvent).join('');
let folder: { path: string; cleanup(): Promise<void> };

beforeEach(async () => {
  folder = await dir({ unsafeCleanup: true });
});
afterEach(() => folder.cleanup());

describe('openEventLog', () => {
  test('each event is on disk as one line when append returns', () => {
    const file = path.join(folder.path, 'run.jsonl');
    const log = openEventLog(file);
    for (const [index, event] of runs.redRun().entries()) {
      log.append(event);
      expect(readFileSync(file, 'utf8').split('\n').length - 1).toBe(index + 1);
    }
    log.close();
    expect(parseEventLines(readFileSync(file, 'utf8'), file)).toEqual({ events: runs.redRun() });
  });

  test.skipIf(process.platform !== 'linux')('a full disk is a coded error', () => {
    const log = openEventLog('/dev/full');
    expect(() => log.append({ atMs: 0, type: 'interrupted' })).toThrow(
      expect.toSatisfy((error) => isSevHarnessError(error, 'REPORT_WRITE_FAILED')),
    );
    log.close();
  });
});

describe('parseEventLines', () => {
  test('cut anywhere, it gives the whole lines and names the torn one', () => {
    const whole = text();
    const events = runs.redRun();
    for (let length = 0; length < whole.length; length += 97) {
      const cut = whole.slice(0, length);
      // A line that lacks only its newline is whole.
      const isWhole = cut === '' || cut.endsWith('\n') || whole[length] === '\n';
      const complete = cut.split('\n').length - (isWhole && cut !== '' && !cut.endsWith('\n') ? 0 : 1);
      const parsed = parseEventLines(cut, 'run.jsonl');
      expect(parsed.events).toEqual(events.slice(0, complete));
      expect(parsed.tornLine).toBe(isWhole ? undefined : complete + 1);
    }
  });

  test('a bad line in the middle is refused with its number', () => {
    const lines = text().split('\n');
    const withLine = (line: string) => [...lines.slice(0, 3), line, ...lines.slice(3)].join('\n');
    const refusal = (line: string) => {
      try {
        parseEventLines(withLine(line), 'run.jsonl');
      } catch (error) {
        if (isSevHarnessError(error, 'REPORT_FILE_INVALID')) return error.message;
        throw error;
      }
      return 'accepted';
    };
    expect(refusal('{"atMs":')).toMatch(/^run\.jsonl line 4 is not JSON: /);
    expect(refusal('{"atMs":1,"type":"check"}')).toBe(
      "run.jsonl line 4 is not an event of a run: the whole lacks 'scenario'",
    );
    expect(refusal('[]')).toBe('run.jsonl line 4 is not an event of a run: the whole has the unknown type undefined');
  });
});
