import { describe, expect, test } from 'vitest';
import { reduceRun } from '../model/reduce.ts';
import { hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { renderSummary } from './summary.ts';

describe('renderSummary', () => {
  test.each(Object.entries(runs).filter((entry) => typeof entry[1] === 'function') as [string, typeof runs.greenRun][])(
    '%s',
    (_name, make) => {
      expect(renderSummary(reduceRun(make()), { reportPath: 'sev-report' })).toMatchSnapshot();
    },
  );

  test('no text from a host reaches the terminal as a control character', () => {
    const text = renderSummary(reduceRun(hostileRun()));
    expect(text).not.toMatch(/(?!\n)\p{Cc}|\p{Surrogate}|\u202e/u);
    expect(text).not.toMatch(/^::/m);
  });

  test('an error that stopped several scenarios is told once, and names them', () => {
    const text = renderSummary(reduceRun(runs.goneRun()));
    expect(text.match(/Connection refused/g)?.length).toBe(1);
    expect(text).toMatch(/the same +stopped slot-es-split\n/);
  });

  test('an interrupt is told as the reason, not as an error', () => {
    const text = renderSummary(reduceRun(runs.interruptedRun()));
    expect(text).not.toContain('error');
    expect(text).toContain('scenario slot-churn was interrupted');
  });

  test('checks of a green scenario that could not be made are named with their reason', () => {
    const skipped = { id: 'es', title: 'ES guests start', outcome: 'skipped', because: 'no SEV-ES here' } as const;
    const events = runs
      .oneGreenRun()
      .map((event) =>
        event.type === 'check' && event.check.id === 'fills-to-limit' ? { ...event, check: skipped } : event,
      );
    const text = renderSummary(reduceRun(events));
    expect(text).toContain('\n  not checked ES guests start — slot-limit: no SEV-ES here\n');
    expect(text).toContain('PASSED');
  });

  test('many checks that could not be made for one reason are one line', () => {
    const events = runs.oneGreenRun().map((event) => {
      if (event.type !== 'check' || event.check.id === 'limit-agrees') return event;
      const { id, title } = event.check;
      return { ...event, check: { id, title, outcome: 'skipped', because: 'needs sev' } as const };
    });
    expect(renderSummary(reduceRun(events))).toContain('\n  not checked 5 checks — slot-limit: needs sev\n\n');
  });

  test('a run whose report could not be written names no report, and is no plain pass', () => {
    const green = renderSummary(reduceRun(runs.oneGreenRun()), { isUnwritten: true, isColoured: true });
    expect(green).toContain('\u001b[33mPASSED, BUT NOT REPORTED\u001b[39m');
    expect(green).not.toContain('index.html');
    const red = renderSummary(reduceRun(runs.redRun()), { isUnwritten: true });
    expect(red).toMatch(/^FAILED {2}/m);
    expect(red.trimEnd().split('\n').at(-1)).toBe('report     could not be written, as said above');
  });

  test('colour changes no letter', () => {
    const coloured = renderSummary(reduceRun(runs.redRun()), { isColoured: true });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the colours.
    expect(coloured.replace(/\u001b\[\d+m/g, '')).toBe(renderSummary(reduceRun(runs.redRun())));
    expect(coloured).toContain('\u001b[31m');
  });
});
