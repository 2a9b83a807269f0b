import type { CheckRow, SlotTimeline } from '../model/run.ts';
import { NOVA, REFUSED } from './facts.ts';
import type { Scene, Script } from './script.ts';

function held(id: string, title: string, value: CheckRow['expected'], source?: string): CheckRow {
  const outcome = 'passed' as const;
  return {
    id,
    outcome,
    title,
    expected: value ?? null,
    actual: value ?? null,
    ...(source === undefined ? {} : { source }),
  };
}

type Bar = {
  name: string;
  pool: string;
  startMs: number;
  endMs: number | null;
  end?: 'stopped' | 'killed' | 'crashed';
};

/** Keeps the timeline while a script launches and ends guests. */
export function guests(script: Script, pool = 'sev') {
  const bars: Bar[] = [];
  const refusals: { name: string; pool: string; atMs: number; text: string }[] = [];
  const nameOf = (number: number) => `sevh-a1b2c3-${pool}-${String(number).padStart(2, '0')}`;
  return {
    start: (number: number, ms: number) => {
      bars.push({ name: nameOf(number), pool, startMs: script.nowMs(), endMs: null });
      script.pass(ms);
    },
    end: (number: number, how: 'stopped' | 'killed' = 'stopped') => {
      const index = bars.findLastIndex((bar) => bar.name === nameOf(number) && bar.endMs === null);
      const bar = bars[index];
      if (bar !== undefined) bars[index] = { ...bar, endMs: script.nowMs(), end: how };
    },
    refuse: (number: number) => refusals.push({ name: nameOf(number), pool, atMs: script.nowMs(), text: REFUSED }),
    endAll: () => {
      for (const [index, bar] of bars.entries()) {
        if (bar.endMs === null) bars[index] = { ...bar, endMs: script.nowMs(), end: 'stopped' };
      }
    },
    timeline: (limit: number): SlotTimeline => ({
      pools: [{ name: pool, limit }],
      guests: [...bars],
      refusals: [...refusals],
    }),
  };
}

/** `slot-limit` as it goes on an honest host with `limit` slots, or on one that leaks the slot of a stopped guest. */
export function playSlotLimit(script: Script, scene: Scene, limit: number, leaks: boolean): void {
  const slots = guests(script);
  scene.step('open host fake:naples', 3);
  scene.note(`limit ${limit} (from domcapabilities); 0 in use by guests that are not ours, which stay untouched`);
  scene.check(
    held(
      'limit-agrees',
      'libvirt and the hardware name the same number of slots',
      { domcapabilities: limit, CPUID: limit },
      NOVA,
    ),
  );
  scene.step(`fill all ${limit} free slots`, 2, (inner) => {
    for (let number = 1; number <= limit; number += 1)
      inner.step(`start guest ${number}`, 0, () => slots.start(number, 6));
    inner.check(
      held(
        'fills-to-limit',
        'every promised slot takes a guest, and all of them run',
        { started: limit, running: limit },
        NOVA,
      ),
    );
  });
  scene.step('start one guest more', 9, (inner) => {
    slots.refuse(limit + 1);
    inner.attach('refusal.txt', 'text/plain', REFUSED);
    inner.note('The host has no free ASID: all slots are in use.');
    inner.check(held('refused-beyond-limit', 'one guest more than promised is refused', 'refused', NOVA));
    inner.check(held('refused-guest-left-nothing', 'the refused guest is neither running nor defined', []));
  });
  scene.step('stop one guest, start two', 4, (inner) => {
    slots.end(1);
    script.pass(5);
    if (leaks) slots.refuse(limit + 2);
    else slots.start(limit + 2, 6);
    slots.refuse(limit + 3);
    inner.check(
      leaks
        ? {
            id: 'stop-frees-one-slot',
            outcome: 'failed',
            title: 'after one guest stops, exactly one more starts',
            expected: ['started', 'refused'],
            actual: ['refused', 'refused'],
            because: 'the slot of the stopped guest did not come back',
            source: 'SEV API specification, section 6.20 DEACTIVATE',
          }
        : held('stop-frees-one-slot', 'after one guest stops, exactly one more starts', ['started', 'refused']),
    );
  });
  scene.step('kill one QEMU, start two', 4, () => {
    slots.end(2, 'killed');
    script.pass(7);
    slots.start(limit + 4, 6);
    slots.refuse(limit + 5);
  });
  scene.step('stop all', 12, () => slots.endAll());
  scene.timeline(slots.timeline(limit));
  const left = leaks ? 1 : 0;
  scene.check({
    id: 'nothing-lost',
    outcome: leaks ? 'failed' : 'passed',
    title: 'at the end as many slots are in use as at the start',
    expected: 0,
    actual: left,
  });
}

export function playChurn(script: Script, scene: Scene, limit: number, launches: number): void {
  const slots = guests(script);
  scene.step(`start and stop ${launches} guests`, 1, () => {
    for (let number = 1; number <= launches; number += 1) {
      slots.start(number, 3);
      slots.end(number);
      script.pass(1);
    }
  });
  scene.step(`fill all ${limit} slots again`, 1, (inner) => {
    for (let number = launches + 1; number <= launches + limit; number += 1) slots.start(number, 3);
    slots.refuse(launches + limit + 1);
    slots.endAll();
    inner.check(held('capacity-unchanged', 'after the churn the host still takes as many guests as before', limit));
  });
  scene.timeline(slots.timeline(limit));
  scene.check(
    held('every-launch-starts', 'with a slot free, every launch starts, also after all keys were used once', launches),
  );
}
