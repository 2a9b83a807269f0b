import { describe, expect, test } from 'vitest';
import { virtualClock } from '../../core/clock.ts';
import type { RunEvent } from '../model/events.ts';
import { reduceRun } from '../model/reduce.ts';
import { hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { wantsColour } from './paint.ts';
import { createProgress, type Progress } from './progress.ts';
import { openJsonStream, openTerminal } from './stream.ts';

function record(options: { isTty?: boolean; isColoured?: boolean; columns?: number } = {}): {
  progress: Progress;
  text: () => string;
  reset: () => void;
} {
  let text = '';
  const progress = createProgress({
    write: (part) => {
      text += part;
    },
    isTty: options.isTty ?? false,
    isColoured: options.isColoured ?? false,
    columns: () => options.columns ?? 80,
  });
  return {
    progress,
    text: () => text,
    reset: () => {
      text = '';
    },
  };
}

function play(events: readonly RunEvent[], options = {}): string {
  const { progress, text } = record(options);
  for (const event of events) progress.push(event);
  progress.close();
  return text();
}

describe('createProgress without a terminal', () => {
  test.each([
    ['green', runs.greenRun],
    ['red', runs.redRun],
    ['broken', runs.brokenRun],
    ['flaky', runs.flakyRun],
    ['interrupted', runs.interruptedRun],
    ['unreachable', runs.unreachableRun],
    ['gone', runs.goneRun],
  ])('%s run: a line for each step, with its status in one column', (_name, make) => {
    expect(play(make())).toMatchSnapshot();
  });

  test.each([
    ['could not be reached', runs.unreachableRun, 1],
    ['goes away', runs.goneRun, 2],
  ])('a host that %s is told once, with what to do right below', (_what, make, errors) => {
    const lines = play(make()).split('\n');
    const hints = lines.flatMap((line, place) => (line.startsWith('    HINT ') ? [place] : []));
    expect(hints.length).toBe(errors);
    for (const place of hints) {
      const words = lines[place - 1]?.split(/: (.*)/)[1] ?? '';
      expect(lines.filter((line) => line.includes(words))).toEqual([lines[place - 1]]);
    }
  });

  test('an interrupt is no failure, and says where it came', () => {
    const text = play(runs.interruptedRun());
    expect(text).not.toContain('FAIL');
    expect(text.match(/interrupted/g)?.length).toBe(2);
    expect(text).toContain('slot-churn › start and stop 33 guests\n');
  });

  test('a thousand guests that start are not a thousand lines', () => {
    expect(play(runs.bigRun()).split('\n').length).toBeLessThan(20);
  });

  test('SLOW is printed after 10 s and whenever the time has doubled, for the innermost step', () => {
    const { progress, text, reset } = record();
    for (const event of runs.killedRun()) progress.push(event);
    reset();
    const startMs = 25;
    const printed: number[] = [];
    for (let second = 1; second <= 90; second += 1) {
      progress.tick(startMs + second * 1000);
      if (text() !== '') printed.push(second);
      if (second === 10)
        expect(text()).toBe('    SLOW [>  10.000s] slot-limit › fill all 15 free slots › start guest 2\n');
      reset();
    }
    expect(printed).toEqual([10, 20, 40, 80]);
  });

  test('no text from a host reaches the terminal as a control character', () => {
    const text = play(hostileRun());
    expect(text).not.toMatch(/(?!\n)\p{Cc}|\p{Surrogate}|\u202e/u);
    for (const line of text.trimEnd().split('\n')) expect(line).toMatch(/^ *[A-Z]+ /);
  });
});

describe('createProgress on a terminal', () => {
  test('one line changes in place, is never wider than the terminal, and is gone at the end', () => {
    const { progress, text, reset } = record({ isTty: true, columns: 40 });
    for (const event of runs.killedRun()) progress.push(event);
    reset();
    progress.tick(1025);
    expect(text()).toBe('⠙ 1.0s slot-limit › fill all 15 free sl');
    reset();
    progress.tick(1325);
    expect(text()).toBe('\r\u001b[2K⠸ 1.3s slot-limit › fill all 15 free sl');
    reset();
    progress.push({ atMs: 1400, type: 'note', scenario: 'slot-limit', attempt: 1, step: 1, text: 'hello' });
    expect(text()).toBe('\r\u001b[2K    NOTE              slot-limit hello\n');
    progress.tick(1500);
    reset();
    progress.close();
    expect(text()).toBe('\r\u001b[2K');
  });

  test('steps that pass are not told one by one', () => {
    expect(play(runs.oneGreenRun(), { isTty: true })).toMatchSnapshot();
  });

  test('colour changes no letter', () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the colours.
    const bare = play(runs.redRun(), { isColoured: true }).replace(/\u001b\[\d+m/g, '');
    expect(bare).toBe(play(runs.redRun()));
    expect(play(runs.redRun(), { isColoured: true })).toContain('\u001b[1m\u001b[31m    FAIL\u001b[39m\u001b[22m');
  });
});

test.each([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: '1' }, false],
  [true, { NO_COLOR: '' }, true],
  [false, { FORCE_COLOR: '1' }, true],
  [true, { FORCE_COLOR: '0' }, false],
  [true, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
  [true, { TERM: 'dumb' }, false],
])('terminal %s with %j has colour: %s', (isTty, env, expected) => {
  expect(wantsColour(isTty, env)).toBe(expected);
});

describe('streams', () => {
  test('openTerminal writes progress, then the summary with the path of the report', () => {
    let text = '';
    const terminal = openTerminal({ write: (part) => (text += part) }, {}, virtualClock());
    const events = runs.redRun();
    for (const event of events) terminal.push(event);
    terminal.finish(reduceRun(events), 'sev-report');
    expect(text).toContain('    FAIL [    0.142s] slot-limit');
    expect(text.trimEnd().split('\n').at(-1)).toBe('report     sev-report/index.html');
  });

  test('openJsonStream writes the events as they are, one a line', () => {
    let text = '';
    const stream = openJsonStream({ write: (part) => (text += part) });
    for (const event of hostileRun()) stream.push(event);
    const lines = text.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual(JSON.parse(JSON.stringify(hostileRun())));
  });
});
