import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SlotTimeline } from '../model/run.ts';
import { axisTicks, layoutSlots, parseSlotTimeline } from './slots.ts';

function timeline(guests: readonly (readonly [number, number | null])[], limit = 4): SlotTimeline {
  return {
    pools: [{ name: 'sev', limit }],
    guests: guests.map(([startMs, endMs], index) => ({ name: `guest-${index}`, pool: 'sev', startMs, endMs })),
    refusals: [],
  };
}

function pool(value: SlotTimeline) {
  const [first] = layoutSlots(value).pools;
  if (first === undefined) throw new Error('no pool');
  return first;
}

const someGuests = fc.array(
  fc
    .tuple(fc.nat(200), fc.option(fc.nat(100)))
    .map(([startMs, ms]) => [startMs, ms === null ? null : startMs + ms] as const),
  { maxLength: 60 },
);

describe('layoutSlots', () => {
  test('a guest takes the lowest free slot, and a slot that came back is a reuse', () => {
    const { bars, peak } = pool(
      timeline([
        [0, 10],
        [1, 30],
        [12, 30],
        [13, null],
      ]),
    );
    expect(bars.map((bar) => [bar.lane, bar.isReuse])).toEqual([
      [0, false],
      [1, false],
      [0, true],
      [2, false],
    ]);
    expect(peak).toBe(3);
  });

  test('of several free slots the lowest is taken, in whatever order they came back', () => {
    const { bars } = pool(
      timeline([
        [0, 20],
        [1, 10],
        [2, 10],
        [11, 40],
        [21, 40],
      ]),
    );
    expect(bars.map((bar) => bar.lane)).toEqual([0, 1, 2, 1, 0]);
  });

  test('two guests on one slot never overlap, and the lanes are no more than were ever in use at once', () => {
    fc.assert(
      fc.property(someGuests, (guests) => {
        const { bars, peak } = pool(timeline(guests));
        expect(bars.length).toBe(guests.length);
        for (const a of bars) {
          for (const b of bars) {
            if (a === b || a.lane !== b.lane) continue;
            expect(a.endMs <= b.startMs || b.endMs <= a.startMs).toBe(true);
          }
        }
        // Guests that end as they begin need a lane but are never counted.
        const lasting = guests.filter(([startMs, endMs]) => endMs !== startMs).length === guests.length;
        const lanes = bars.reduce((high, bar) => Math.max(high, bar.lane + 1), 0);
        if (lasting) expect(lanes).toBe(peak);
      }),
    );
  });

  test('usage never falls below zero and ends with the guests that still run', () => {
    fc.assert(
      fc.property(someGuests, (guests) => {
        const { usage } = pool(timeline(guests));
        for (const point of usage) expect(point.used).toBeGreaterThanOrEqual(0);
        expect(usage.at(-1)?.used ?? 0).toBe(guests.filter(([, endMs]) => endMs === null).length);
      }),
    );
  });

  test('guests that still run reach past the last event', () => {
    const layout = layoutSlots(
      timeline([
        [0, null],
        [100, 200],
      ]),
    );
    expect(layout.endMs).toBeGreaterThan(200);
    expect(layout.pools[0]?.bars[0]?.endMs).toBe(layout.endMs);
  });

  test('no guests at all still have an axis', () => {
    expect(layoutSlots(timeline([]))).toMatchObject({ startMs: 0, endMs: 1, pools: [{ peak: 0, bars: [] }] });
  });
});

describe('axisTicks', () => {
  test('gives round times inside, neither one nor many', () => {
    expect(axisTicks(13, 148, 8)).toEqual([20, 40, 60, 80, 100, 120, 140]);
    fc.assert(
      fc.property(fc.nat(1e9), fc.double({ min: 0.01, max: 1e9, noNaN: true }), (startMs, spanMs) => {
        const ticks = axisTicks(startMs, startMs + spanMs, 8);
        expect(ticks.length).toBeGreaterThanOrEqual(1);
        expect(ticks.length).toBeLessThanOrEqual(10);
        for (const tick of ticks) expect(tick >= startMs && tick <= startMs + spanMs).toBe(true);
      }),
    );
  });
});

test('times that no clock shows end neither in a loop nor in an error', () => {
  for (const startMs of [9e15, 1e16, 1e300]) expect(axisTicks(startMs, startMs + 1, 8).length).toBeLessThanOrEqual(17);
  expect(layoutSlots(timeline([[1e300, null]])).pools.length).toBe(1);
});

describe('parseSlotTimeline', () => {
  const good = timeline([[0, 1]]);

  test('gives back what was written', () => {
    expect(parseSlotTimeline(JSON.stringify(good))).toEqual(good);
  });

  test.each([
    'no JSON',
    'null',
    '[]',
    '{}',
    JSON.stringify({ ...good, pools: [{ name: 'sev', limit: '4' }] }),
    JSON.stringify({ ...good, pools: [{ name: 'sev', limit: -1 }] }),
    JSON.stringify({ ...good, guests: [{ name: 'a', pool: 'sev', startMs: 0 }] }),
    JSON.stringify({ ...good, guests: [null] }),
    JSON.stringify({ ...good, refusals: [{ name: 'a', pool: 'sev', atMs: 0 }] }),
  ])('%s is none', (text) => {
    expect(parseSlotTimeline(text)).toBeUndefined();
  });
});
