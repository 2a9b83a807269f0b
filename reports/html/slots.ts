import type { SlotTimeline } from '../model/run.ts';

type Guest = SlotTimeline['guests'][number];
type Refusal = SlotTimeline['refusals'][number];

/** One guest on one slot. The host does not say which slot, so the lowest free one is drawn. */
export interface SlotBar {
  readonly guest: Guest;
  /** Counts from 0. */
  readonly lane: number;
  readonly startMs: number;
  readonly endMs: number;
  /** Somebody else had this slot before. */
  readonly isReuse: boolean;
}

export interface PoolLayout {
  readonly name: string;
  readonly limit: number;
  readonly bars: readonly SlotBar[];
  /** Slots in use over time: the number holds from `atMs` until the next entry. */
  readonly usage: readonly { readonly atMs: number; readonly used: number }[];
  readonly peak: number;
  readonly refusals: readonly Refusal[];
}

export interface SlotLayout {
  readonly startMs: number;
  readonly endMs: number;
  readonly pools: readonly PoolLayout[];
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasShape(
  value: unknown,
  shape: Readonly<Record<string, 'string' | 'number'>>,
): value is Record<string, unknown> {
  return isRecord(value) && Object.entries(shape).every(([key, type]) => typeof value[key] === type);
}

/** A slot timeline from evidence; `undefined` when the text is not one. */
export function parseSlotTimeline(text: string): SlotTimeline | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const { pools, guests, refusals } = value;
  if (!Array.isArray(pools) || !Array.isArray(guests) || !Array.isArray(refusals)) return undefined;
  const isValid =
    pools.every((pool) => hasShape(pool, { name: 'string', limit: 'number' }) && Number(pool.limit) >= 0) &&
    guests.every(
      (guest) =>
        hasShape(guest, { name: 'string', pool: 'string', startMs: 'number' }) &&
        (guest.endMs === null || typeof guest.endMs === 'number'),
    ) &&
    refusals.every((refusal) => hasShape(refusal, { name: 'string', pool: 'string', atMs: 'number', text: 'string' }));
  return isValid ? (value as unknown as SlotTimeline) : undefined;
}

function layoutBars(guests: readonly Guest[], endMs: number): SlotBar[] {
  const laneEnds: number[] = [];
  const free: number[] = [];
  const busy = new Set<number>();
  const sorted = guests.map((guest) => ({ guest, endMs: Math.max(guest.startMs, guest.endMs ?? endMs) }));
  sorted.sort((a, b) => a.guest.startMs - b.guest.startMs || a.endMs - b.endMs);
  return sorted.map((each) => {
    for (const lane of busy) {
      if ((laneEnds[lane] ?? 0) > each.guest.startMs) continue;
      busy.delete(lane);
      free.push(lane);
    }
    free.sort((a, b) => a - b);
    const reused = free.shift();
    const lane = reused ?? laneEnds.length;
    laneEnds[lane] = each.endMs;
    busy.add(lane);
    return { guest: each.guest, lane, startMs: each.guest.startMs, endMs: each.endMs, isReuse: reused !== undefined };
  });
}

function usageOf(bars: readonly SlotBar[]): { atMs: number; used: number }[] {
  const changes = new Map<number, number>();
  for (const bar of bars) {
    changes.set(bar.startMs, (changes.get(bar.startMs) ?? 0) + 1);
    // A guest that still runs at the end of the picture gives nothing back.
    if (bar.guest.endMs !== null) changes.set(bar.endMs, (changes.get(bar.endMs) ?? 0) - 1);
  }
  let used = 0;
  return [...changes]
    .sort(([a], [b]) => a - b)
    .map(([atMs, change]) => {
      used += change;
      return { atMs, used };
    });
}

/** Places guests on slots: what the picture shows, without its pixels. */
export function layoutSlots(timeline: SlotTimeline): SlotLayout {
  const times = [
    ...timeline.guests.flatMap((guest) => [guest.startMs, guest.endMs ?? guest.startMs]),
    ...timeline.refusals.map((refusal) => refusal.atMs),
  ];
  const startMs = times.reduce((low, time) => Math.min(low, time), Number.POSITIVE_INFINITY);
  const lastMs = times.reduce((high, time) => Math.max(high, time), Number.NEGATIVE_INFINITY);
  if (times.length === 0) return { startMs: 0, endMs: 1, pools: timeline.pools.map((pool) => emptyPool(pool)) };
  // Guests that still run need room to be seen running.
  const isOpenEnded = timeline.guests.some((guest) => guest.endMs === null);
  const spanMs = Math.max(lastMs - startMs, 1);
  const endMs = startMs + spanMs * (isOpenEnded ? 1.05 : 1);
  const pools = timeline.pools.map((pool) => {
    const bars = layoutBars(
      timeline.guests.filter((guest) => guest.pool === pool.name),
      endMs,
    );
    const usage = usageOf(bars);
    return {
      name: pool.name,
      limit: pool.limit,
      bars,
      usage,
      peak: usage.reduce((peak, point) => Math.max(peak, point.used), 0),
      refusals: timeline.refusals.filter((refusal) => refusal.pool === pool.name),
    };
  });
  return { startMs, endMs, pools };
}

function emptyPool(pool: SlotTimeline['pools'][number]): PoolLayout {
  return { ...pool, bars: [], usage: [], peak: 0, refusals: [] };
}

/** Round times for an axis: about `wanted` of them between two times. */
export function axisTicks(startMs: number, endMs: number, wanted: number): number[] {
  const rough = (endMs - startMs) / wanted;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((each) => each >= rough) ?? rough;
  const first = Math.ceil(startMs / step);
  const ticks: number[] = [];
  // Each tick is counted from the first: beyond 2 to the 53, adding to the last one changes nothing.
  for (let index = 0; (first + index) * step <= endMs; index += 1) ticks.push((first + index) * step);
  return ticks;
}
