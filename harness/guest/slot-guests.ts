import type { Refusal } from '../host/refusal.ts';
import type { GuestLauncher, Launch, RunningGuest } from './running.ts';
import type { GuestKind } from './spec.ts';

export interface Filled {
  readonly guests: RunningGuest[];
  /** The launch that ended the filling early. */
  readonly refusal: Refusal | undefined;
}

/** Starts guests one after the other until `count` run or the host refuses one. */
export async function fillSlots(launcher: GuestLauncher, kind: GuestKind, count: number): Promise<Filled> {
  const guests: RunningGuest[] = [];
  while (guests.length < count) {
    const launch = await launcher.launch(kind, 'fill');
    if (launch.outcome === 'refused') return { guests, refusal: launch.refusal };
    guests.push(launch.guest);
  }
  return { guests, refusal: undefined };
}

/** Starts `count` guests, one after the other, whatever becomes of each. */
export async function launchEach(
  launcher: GuestLauncher,
  kind: GuestKind,
  role: string,
  count: number,
): Promise<{ outcomes: Launch['outcome'][]; guests: RunningGuest[]; refusals: string[] }> {
  const launches: Launch[] = [];
  while (launches.length < count) launches.push(await launcher.launch(kind, role));
  return {
    outcomes: launches.map((launch) => launch.outcome),
    guests: launches.flatMap((launch) => (launch.outcome === 'started' ? [launch.guest] : [])),
    refusals: launches.flatMap((launch) => (launch.outcome === 'refused' ? [launch.refusal.text] : [])),
  };
}

/** How many of these guests the host says are running. */
export async function countRunning(guests: readonly RunningGuest[]): Promise<number> {
  const states = await Promise.all(guests.map((guest) => guest.currentState()));
  return states.filter((state) => state === 'running').length;
}

export async function stopAll(guests: readonly RunningGuest[]): Promise<void> {
  for (const guest of guests) await guest.stop();
}
