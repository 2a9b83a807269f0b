import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { AsidAllocator, type AsidFaults, type AsidPool } from './asid.ts';
import { MiscCgroup } from './misc-cgroup.ts';

function allocator(minAsid: number, maxAsid: number, options: { faults?: AsidFaults; sevLimit?: number } = {}) {
  const sev = options.sevLimit ?? Math.max(0, maxAsid - minAsid + 1);
  const misc = new MiscCgroup({ sev, sev_es: minAsid - 1 });
  let flushWorks = true;
  const made = new AsidAllocator(minAsid, maxAsid, misc, () => flushWorks, options.faults);
  return { made, misc, breakFlush: () => (flushWorks = false) };
}

function take(made: AsidAllocator, pool: AsidPool): number {
  const result = made.allocate(pool);
  if (!result.ok) throw new Error(result.errno);
  return result.asid;
}

describe('ASID allocator', () => {
  test('gives SEV guests min..max in ascending order, then EBUSY', () => {
    const { made } = allocator(1, 15);
    expect(Array.from({ length: 15 }, () => take(made, 'sev'))).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
    expect(made.allocate('sev')).toEqual({ ok: false, errno: 'EBUSY' });
  });

  test('gives SEV-ES guests 1..min-1 and leaves the SEV range alone', () => {
    const { made } = allocator(5, 15);
    expect(Array.from({ length: 4 }, () => take(made, 'sev_es'))).toEqual([1, 2, 3, 4]);
    expect(made.allocate('sev_es')).toEqual({ ok: false, errno: 'EBUSY' });
    expect(take(made, 'sev')).toBe(5);
  });

  test('answers ENOTTY for a range that is empty, before the cgroup is charged', () => {
    const { made, misc } = allocator(1, 15);
    expect(made.allocate('sev_es')).toEqual({ ok: false, errno: 'ENOTTY' });
    expect(misc.current('sev_es')).toBe(0);
  });

  test('charges the misc cgroup first: its limit refuses while ASIDs are free', () => {
    const { made, misc } = allocator(1, 15, { sevLimit: 3 });
    for (let guest = 0; guest < 3; guest++) take(made, 'sev');
    expect(made.allocate('sev')).toEqual({ ok: false, errno: 'EBUSY' });
    expect(misc.formatCurrent()).toBe('sev 3\n');
  });

  test('keeps a freed ASID out of use until the range is dry, then one flush brings all of them back', () => {
    const { made } = allocator(1, 4);
    const first = take(made, 'sev');
    made.free('sev', first);
    expect([take(made, 'sev'), take(made, 'sev'), take(made, 'sev')]).toEqual([2, 3, 4]);
    expect(made.counters.flushes).toBe(0);
    made.free('sev', 3);
    expect(take(made, 'sev')).toBe(1);
    expect(made.counters.flushes).toBe(1);
    expect(take(made, 'sev')).toBe(3);
    expect(made.counters.flushes).toBe(1);
  });

  test('does not flush when nothing of the dry range waits for it', () => {
    const { made } = allocator(3, 4);
    made.free('sev_es', take(made, 'sev_es'));
    take(made, 'sev');
    take(made, 'sev');
    expect(made.allocate('sev')).toEqual({ ok: false, errno: 'EBUSY' });
    expect(made.counters.flushes).toBe(0);
  });

  test('a flush for one range returns the other range as well', () => {
    const { made } = allocator(3, 4);
    made.free('sev_es', take(made, 'sev_es'));
    made.free('sev', take(made, 'sev'));
    take(made, 'sev');
    expect(take(made, 'sev')).toBe(3);
    expect(made.isWaitingForFlush(1)).toBe(false);
    expect(made.isTaken(1)).toBe(false);
  });

  test('a flush that the firmware refuses leaves EBUSY and charges nothing', () => {
    const { made, misc, breakFlush } = allocator(1, 2);
    made.free('sev', take(made, 'sev'));
    take(made, 'sev');
    breakFlush();
    expect(made.allocate('sev')).toEqual({ ok: false, errno: 'EBUSY' });
    expect(misc.current('sev')).toBe(1);
  });

  test('never gives one ASID to two guests, never loses one, and only a flush makes a freed one usable', () => {
    const step = fc.record({ pool: fc.constantFrom<AsidPool>('sev', 'sev_es'), frees: fc.boolean(), which: fc.nat() });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.nat(60),
        fc.array(step, { maxLength: 400 }),
        (min, more, steps) => {
          const { made, misc } = allocator(min, min + more);
          const owned: Record<AsidPool, number[]> = { sev: [], sev_es: [] };
          const unflushed = new Set<number>();
          for (const { pool, frees, which } of steps) {
            const mine = owned[pool];
            if (frees && mine.length > 0) {
              const [asid = 0] = mine.splice(which % mine.length, 1);
              made.free(pool, asid);
              unflushed.add(asid);
              continue;
            }
            const { first, last } = made.ranges[pool];
            const size = Math.max(0, last - first + 1);
            const flushesBefore = made.counters.flushes;
            const result = made.allocate(pool);
            if (made.counters.flushes > flushesBefore) unflushed.clear();
            expect(result.ok).toBe(mine.length < size);
            if (!result.ok) continue;
            expect(owned.sev.concat(owned.sev_es)).not.toContain(result.asid);
            expect(unflushed.has(result.asid)).toBe(false);
            expect(result.asid).toBeGreaterThanOrEqual(first);
            expect(result.asid).toBeLessThanOrEqual(last);
            mine.push(result.asid);
          }
          expect(misc.current('sev')).toBe(owned.sev.length);
          expect(misc.current('sev_es')).toBe(owned.sev_es.length);
        },
      ),
    );
  });
});
