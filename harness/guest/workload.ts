import { type Interval, type Pair, ratioInterval } from '../../core/statistics.ts';
import type { Workload } from './boot.ts';
import type { GuestConsole, WaitOptions } from './console/follow.ts';
import { guestError } from './errors.ts';

/** A guest that is asked to work. */
export interface WorkingGuest {
  readonly console: Pick<GuestConsole, 'ask'>;
  /**
   * Nanoseconds of processor time that the host has spent on it until now. Where it is there it counts, and the guest's own
   * clock does not, which runs on while the host does other things.
   */
  readonly processorTimeNs?: () => Promise<bigint>;
}

/** The same work in each of several guests, done one right after the other. */
export interface WorkloadRound {
  /** Time for it, in the order of the guests; the unit is the same within a workload. */
  readonly times: readonly number[];
}

/** The host counts in steps of 10 ms (`USER_HZ`): so long a turn is told to two percent, and many turns better. */
const TURN_NS = 400e6;
const CALIBRATION_SAMPLES = 3;
/** Of the agent. */
const MOST_SAMPLES = 100;

/**
 * Runs a workload in turn in guests that all have booted, so that what drifts on the host meets all of them.
 *
 * The order stays the same: a guest that had two turns together would find its own memory in the host's caches (7 percent of
 * a latency). Throws `GUEST_WORKLOAD_FAILED`, and what `ask` throws.
 */
export async function measureInterleaved(
  guests: readonly WorkingGuest[],
  workload: Workload,
  { rounds, ...wait }: WaitOptions & { readonly rounds: number },
): Promise<WorkloadRound[]> {
  const samples = await samplesForTurn(guests, workload, wait);
  const measured: WorkloadRound[] = [];
  for (let round = 0; round < rounds; round++) {
    const times: number[] = [];
    for (const guest of guests) times.push(await takeTurn(guest, workload, samples, wait));
    measured.push({ times });
  }
  return measured;
}

/** How many samples take long enough for the host to tell, found out with turns that do not count. */
async function samplesForTurn(guests: readonly WorkingGuest[], workload: Workload, wait: WaitOptions): Promise<number> {
  if (guests.some(({ processorTimeNs }) => processorTimeNs === undefined)) return 1;
  const took: number[] = [];
  for (const guest of guests) took.push(await takeTurn(guest, workload, CALIBRATION_SAMPLES, wait));
  // The agent takes one sample more than it tells, and prepares its memory the first time.
  const sampleNs = Math.min(...took) / (CALIBRATION_SAMPLES + 1);
  return Math.max(1, Math.min(MOST_SAMPLES, Math.round(TURN_NS / sampleNs) - 1));
}

/** Time of one turn, in nanoseconds of processor time or by the guest's own clock. */
async function takeTurn(
  { console, processorTimeNs }: WorkingGuest,
  workload: Workload,
  samples: number,
  wait: WaitOptions,
): Promise<number> {
  const before = await processorTimeNs?.();
  const answer = await console.ask(`workload ${workload} ${samples}`, ['workload', 'workload-failed'], wait);
  if (answer.event === 'workload-failed')
    throw guestError('GUEST_WORKLOAD_FAILED', `a guest could not run ${workload}: ${answer.because}`);
  const after = await processorTimeNs?.();
  if (before !== undefined && after !== undefined) return Number(after - before);
  const [sample = Number.NaN] = answer.samples;
  return answer.unit === 'ns' ? sample : 1 / sample;
}

/** How much longer one guest took than another: 1 is as long. */
export interface Slowdown {
  /** For the verdict: seldom enough beside the truth for a check that runs every night. */
  readonly sure: Interval;
  /** For people, who are used to this one. */
  readonly usual: Interval;
}

/** Three workloads are judged at once: together they are told from chance with 99 percent. */
export const SURE = 0.997;
export const USUAL = 0.95;

/**
 * Compares two places over several batches, each of them rounds in guests that were booted anew.
 *
 * A batch counts as one pair, its geometric means: which memory a guest gets at its start makes it faster or slower for
 * its whole life, so that more rounds in the same guests would only look like more evidence.
 */
export function slowdownOf(batches: readonly (readonly WorkloadRound[])[], subject: number, control: number): Slowdown {
  const mean = (rounds: readonly WorkloadRound[], place: number) =>
    Math.exp(rounds.reduce((sum, { times }) => sum + Math.log(times[place] ?? Number.NaN), 0) / rounds.length);
  const pairs = batches.map((rounds): Pair => ({ subject: mean(rounds, subject), control: mean(rounds, control) }));
  return { sure: ratioInterval(pairs, SURE), usual: ratioInterval(pairs, USUAL) };
}

/** `unclear`: the samples scatter too much to say. */
export type Judgement = 'within' | 'beyond' | 'unclear';

/** A claim, and how far beyond it a true value may lie unnoticed. Both are ratios, 1 or more. */
export interface Bound {
  readonly claimed: number;
  readonly noticed: number;
}

/** Slower than claimed? A faster guest is within. */
export function judgeSlower({ sure }: Slowdown, { claimed, noticed }: Bound): Judgement {
  if (sure.low > claimed) return 'beyond';
  return sure.high > noticed ? 'unclear' : 'within';
}

/** Different at all? Of guests that are equal the interval contains 1, and must be narrow enough to say something. */
export function judgeEqual({ sure }: Slowdown, { noticed }: Pick<Bound, 'noticed'>): Judgement {
  if (sure.low > 1 || sure.high < 1) return 'beyond';
  return sure.high > noticed || sure.low < 1 / noticed ? 'unclear' : 'within';
}

/** `+3.1 % (95 %: +2.0 to +4.2 %, 99.7 %: +0.4 to +5.8 %)` */
export function slowdownText({ usual, sure }: Slowdown): string {
  const percent = (ratio: number) => `${ratio < 1 ? '' : '+'}${((ratio - 1) * 100).toFixed(1)}`;
  const range = (confidence: number, { low, high }: Interval) =>
    `${confidence * 100} %: ${percent(low)} to ${percent(high)} %`;
  return `${percent(usual.estimate)} % (${range(USUAL, usual)}, ${range(SURE, sure)})`;
}
