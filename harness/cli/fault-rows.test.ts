import { describe, expect, it } from 'vitest';
import type { Fault } from '../fakelibvirt/index.ts';
import { formatProgress, formatRow, formatTotals, judge } from './fault-rows.ts';
import type { Observed } from './fault-trials.ts';

const FAULT: Fault = {
  id: 'stop-event-lost',
  breaks: 'something',
  expected: [
    { scenario: 'a', checks: ['one', 'two'] },
    { scenario: 'b', checks: ['three'], profiles: ['milan'] },
    { scenario: 'b', checks: ['!CODE'] },
  ],
};

function observed(red: Readonly<Record<string, readonly string[]>>, more: Partial<Observed> = {}): Observed {
  return {
    red: new Map(Object.entries(red).map(([scenario, checks]) => [scenario, new Set(checks)])),
    skipped: new Set(),
    leftOut: new Set(),
    ended: 3,
    ...more,
  };
}

const onNaples = { profile: 'naples', fault: FAULT };
const onMilan = { profile: 'milan', fault: FAULT, maxAsid: 20 };
const clean = { profile: 'naples', fault: undefined };

describe('a trial', () => {
  it.each([
    ['exactly what the catalogue names', { a: ['one', 'two'], b: ['!CODE'] }],
    ['the same in another order', { b: ['!CODE'], a: ['two', 'one'] }],
  ])('under a fault is caught when it shows %s', (_, red) => {
    expect(judge(onNaples, observed(red))).toMatchObject({ outcome: 'caught', unexpected: [], missing: [] });
  });

  it('under a fault is missed when one check stays green, and when all do', () => {
    expect(judge(onNaples, observed({ a: ['one', 'two'] }))).toMatchObject({
      outcome: 'missed',
      missing: ['b: !CODE'],
    });
    expect(judge(onNaples, observed({}))).toMatchObject({
      outcome: 'missed',
      missing: ['a: one', 'a: two', 'b: !CODE'],
    });
  });

  it('is a false alarm as soon as one check is red that was not named, there or in another scenario', () => {
    const named = { a: ['one', 'two'], b: ['!CODE'] };
    expect(judge(onNaples, observed({ ...named, b: ['!CODE', 'three'] }))).toMatchObject({
      outcome: 'false-alarm',
      unexpected: ['b: three'],
    });
    expect(judge(onNaples, observed({ ...named, c: ['one'] }))).toMatchObject({ unexpected: ['c: one'] });
    expect(judge(onNaples, observed({ c: ['one'] }))).toMatchObject({ outcome: 'false-alarm' });
  });

  it('must show more where the catalogue says so of its profile', () => {
    const red = { a: ['one', 'two'], b: ['!CODE'] };
    expect(judge(onMilan, observed(red))).toMatchObject({ outcome: 'missed', missing: ['b: three'] });
    expect(judge(onMilan, observed({ ...red, b: ['!CODE', 'three'] }))).toMatchObject({ outcome: 'caught' });
  });

  it('is not asked for what its host cannot run, but must show something', () => {
    expect(judge(onNaples, observed({ a: ['one', 'two'] }, { skipped: new Set(['b']) }))).toMatchObject({
      outcome: 'caught',
    });
    expect(judge(onNaples, observed({}, { skipped: new Set(['a', 'b']) }))).toMatchObject({ outcome: 'missed' });
  });

  it('without a fault is clean only when nothing is red', () => {
    expect(judge(clean, observed({}))).toMatchObject({ fault: 'none', outcome: 'clean' });
    expect(judge(clean, observed({ a: ['one'] }))).toMatchObject({ outcome: 'false-alarm', unexpected: ['a: one'] });
  });
});

it('the table names host, fault, and each check that is not as it should be', () => {
  const rows = [
    judge(clean, observed({})),
    judge(onNaples, observed({ a: ['one'], c: ['four'] }, { leftOut: new Set(['d']) })),
    judge(onMilan, observed({ a: ['one', 'two'], b: ['!CODE', 'three'] })),
  ];
  expect([...rows.map(formatRow), ...formatTotals(rows)].join('\n')).toMatchInlineSnapshot(`
    "clean        no fault, naples
    false-alarm  stop-event-lost, naples
      red, but not expected: c: four
      expected red, but is not: a: two
      expected red, but is not: b: !CODE
    caught       stop-event-lost, milan with 11 slots
    naples       1 faults, 0 caught, 1 false alarms
    milan        1 faults, 1 caught, 0 false alarms
    8 scenario runs; 1 left out, whose clean run never asked for the fault (--all runs them)"
  `);
});

it('progress says how far it is, and whether it looks good', () => {
  expect(formatProgress({ runs: 5, ofRuns: 2600, surprising: 0 })).toMatchInlineSnapshot(
    `"0 %          5 of 2600 scenario runs, no false alarm so far"`,
  );
  expect(formatProgress({ runs: 2599, ofRuns: 2600, surprising: 2 })).toMatchInlineSnapshot(
    `"99 %         2599 of 2600 scenario runs, false alarms in 2 trials so far"`,
  );
});
