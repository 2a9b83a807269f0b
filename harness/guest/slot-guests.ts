import { atMost } from '../../core/at-most.ts';
import type { ScenarioContext } from '../fixtures/scenario.ts';
import type { Refusal } from '../host/refusal.ts';
import type { SlotRoom } from '../host/slots.ts';
import { impossibleMemoryMiB } from './memory-limits.ts';
import { guestName } from './ownership.ts';
import type { GuestLauncher, Launch, LaunchContext, RunningGuest } from './running.ts';
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

/**
 * libvirt works on five calls of a client at a time (max_client_requests of libvirtd.conf), and reads nothing that comes after
 * them, no sign of life either: one less, so that it hears us while several guests race for the last slot.
 */
const LAUNCHES_AT_A_TIME = 4;

/** Starts `count` guests, several at a time, whatever becomes of each. */
export function launchTogether(
  launcher: GuestLauncher,
  kind: GuestKind,
  role: string,
  count: number,
): Promise<Launch[]> {
  const launch = atMost(LAUNCHES_AT_A_TIME, () => launcher.launch(kind, role));
  return Promise.all(Array.from({ length: count }, launch));
}

/** On hardware a small guest starts and ends in a second or two; a host may take somewhat longer for each of hundreds. */
const LAUNCH_LIMIT_MS = 5000;

/** Gives a scenario the time for so many launches, beside what every scenario has. */
export function allowLaunches({ allowTime }: Pick<ScenarioContext, 'allowTime'>, launches: number): void {
  allowTime(launches * LAUNCH_LIMIT_MS);
}

/**
 * Judges a promise that so many guests were started. A run that is held back below the limit may find it broken, and shows
 * nothing when it does not.
 */
export function checkFilled(
  { check, skipCheck }: Pick<ScenarioContext, 'check' | 'skipCheck'>,
  id: string,
  { guests, refusal }: Filled,
  { guests: expected, heldBack }: SlotRoom,
): void {
  if (refusal === undefined && heldBack !== undefined) skipCheck(id, heldBack);
  else
    check(id, {
      expected,
      actual: guests.length,
      ...(refusal === undefined ? {} : { because: refusal.text }),
    });
}

/** Checks that one guest more is refused, unless the run is held back below the limit; returns those that run all the same. */
export async function checkOneMore(
  { check, skipCheck }: Pick<ScenarioContext, 'check' | 'skipCheck'>,
  id: string,
  launcher: GuestLauncher,
  kind: GuestKind,
  heldBack: string | undefined,
): Promise<RunningGuest[]> {
  if (heldBack !== undefined) {
    skipCheck(id, heldBack);
    return [];
  }
  const { outcomes, guests } = await launchEach(launcher, kind, 'beyond', 1);
  check(id, { expected: ['refused'], actual: outcomes });
  return guests;
}

/** How many of these guests the host says are running. */
export async function countRunning(guests: readonly RunningGuest[]): Promise<number> {
  const states = await Promise.all(guests.map((guest) => guest.currentState()));
  return states.filter((state) => state === 'running').length;
}

export async function stopAll(guests: readonly RunningGuest[]): Promise<void> {
  for (const guest of guests) await guest.stop();
}

const COUNTED = 'counted';

/** How many guests should be active after each thing that was done, and how many the host lists. */
export interface Counts {
  readonly expected: Readonly<Record<string, number>>;
  readonly actual: Readonly<Record<string, number>>;
  /** What could not be done, and why. */
  readonly leavesOpen?: string;
}

/**
 * Starts `count` guests without encryption, replaces one that stops and one whose QEMU is killed, lets a launch fail, stops all, and
 * counts after each.
 *
 * A kill that is out of reach, and a failure that this host does not give for sure, are left open.
 */
export async function countPlainGuests(
  { host, settings }: Pick<LaunchContext, 'host' | 'settings'>,
  launcher: GuestLauncher,
  count: number,
  stop: (guest: RunningGuest) => Promise<unknown>,
): Promise<Counts> {
  const [expected, actual]: [Record<string, number>, Record<string, number>] = [{}, {}];
  const open: string[] = [];
  const prefix = guestName(settings.owner.runId, `${COUNTED}-`);
  const countAfter = async (what: string, shouldRun: number) => {
    expected[what] = shouldRun;
    actual[what] = (await host.connection.listDomains({ active: true })).filter(({ name }) =>
      name.startsWith(prefix),
    ).length;
  };
  const { guests } = await launchEach(launcher, 'plain', COUNTED, count);
  await countAfter('starts', count);

  const replace = async (what: string, guest: RunningGuest) => {
    guests.splice(guests.indexOf(guest), 1);
    await countAfter(what, count - 1);
    guests.push(...(await launchEach(launcher, 'plain', COUNTED, 1)).guests);
  };
  const [stopped] = guests;
  if (stopped !== undefined) {
    await stop(stopped);
    await replace('a stop', stopped);
  }
  const [killed] = guests;
  const refused = await killed?.kill();
  if (refused !== undefined) open.push(`how many guests are listed after a kill: ${refused.outOfReach}`);
  else if (killed !== undefined) await replace('a kill', killed);

  const memoryMiB = await impossibleMemoryMiB(host);
  if (typeof memoryMiB === 'number') {
    const failing = await launcher.launch('plain', COUNTED, { memoryMiB });
    await countAfter('a failed launch', count);
    if (failing.outcome === 'started') await failing.guest.stop();
  } else open.push(`how many guests are listed after a failed launch: ${memoryMiB.because}`);
  await stopAll(guests);
  await countAfter('all were stopped', 0);
  return { expected, actual, ...(open.length === 0 ? {} : { leavesOpen: open.join('; ') }) };
}
