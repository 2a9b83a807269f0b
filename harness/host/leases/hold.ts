import { type Clock, systemClock } from '../../../core/clock.ts';
import { harnessError } from '../../errors.ts';
import type { Owner } from '../../guest/ownership.ts';
import type { Host } from '../host.ts';
import { localShell } from '../shell.ts';
import { type LeaseFile, leaseFile } from './file.ts';
import { type FoundLease, formatLease, judgeLease, LEASE_EXPIRES_S } from './record.ts';

/** A host that this run has for itself until it releases it. */
export interface HeldLease {
  readonly path: string;
  /** Says that we are alive, and notices when the lease is not ours any more. Done by itself every twenty seconds. */
  renew(): Promise<void>;
  /** Stops renewing, and removes the lease where it is still ours. */
  release(): Promise<void>;
}

export interface TakeLeaseOptions {
  readonly owner: Owner;
  readonly user: string;
  readonly clock?: Clock;
  /** How long to wait for another run to end. */
  readonly waitMs?: number;
  readonly signal?: AbortSignal;
  /** Runs once, before waiting, with who holds the host. */
  readonly onWait?: (words: string) => void;
  /** Runs when another run took the host although we were alive, which only an outage of two minutes brings about. */
  readonly onLost?: (words: string) => void;
}

const DEFAULT_FOLDER = '/tmp/sev-harness-leases';
const NAME = 'host.lease';
const POLL_MS = 1000;
const RENEW_MS = (LEASE_EXPIRES_S * 1000) / 6;

/** Where leases lie, and what runs write down beside them. */
export function leaseFolder(): string {
  return process.env.SEV_HARNESS_LEASES || DEFAULT_FOLDER;
}

/**
 * The lease file of a host, on the host itself where its shell leads there. Over TCP and TLS it lies on this machine, and
 * tells only the runs of this machine apart. An emulated host has none: nobody else pays for its slots.
 */
export async function leaseFileOf(host: Host): Promise<LeaseFile | undefined> {
  if (host.kind === 'emulated') return undefined;
  const folder = leaseFolder();
  if (host.shell.where !== 'none') return leaseFile(host.shell, folder, NAME);
  const name = (await host.connection.hostname()).replace(/[^A-Za-z0-9.-]+/g, '-').slice(0, 64);
  return leaseFile(localShell, folder, `far-${name}.lease`);
}

/**
 * Takes a host for one run, so that no two fill the same slots. A lease whose owner is dead, or which nobody has renewed,
 * is taken over. Throws `HOST_LEASED` when another run has the host and `waitMs` are over, `HOST_LEASE_UNUSABLE`, or the
 * signal's reason.
 */
export async function takeLease(file: LeaseFile, hostName: string, options: TakeLeaseOptions): Promise<HeldLease> {
  const { owner, user, signal, clock = systemClock } = options;
  const sinceMs = clock.nowMs();
  const deadlineMs = sinceMs + (options.waitMs ?? 0);
  const text = formatLease({ owner, user, sinceMs, host: hostName });
  let found: FoundLease | undefined;
  let isWaiting = false;
  for (;;) {
    signal?.throwIfAborted();
    const verdict = found === undefined ? undefined : judgeLease(found);
    if (verdict?.isHeld) {
      const leftMs = deadlineMs - clock.nowMs();
      if (leftMs <= 0) throw leased(file, hostName, verdict.words);
      if (!isWaiting) options.onWait?.(verdict.words);
      isWaiting = true;
      await clock.sleep(Math.min(POLL_MS, leftMs), signal);
    } else if ((await file.swap(found, text)) === 'swapped') return hold(file, text, options.onLost);
    found = await file.look();
  }
}

function leased(file: LeaseFile, hostName: string, words: string): Error {
  return harnessError('HOST_LEASED', `host ${hostName} is in use by ${words} (${file.path})`, {
    hint: `Wait for it with --wait SECONDS. After a crash, 'npm run reap -- --host URI' clears up; a run elsewhere that is dead loses its lease ${LEASE_EXPIRES_S} s after its last sign of life.`,
  });
}

function hold(file: LeaseFile, text: string, onLost: TakeLeaseOptions['onLost']): HeldLease {
  let turn: Promise<unknown> = Promise.resolve();
  const renew = async () => {
    const found = await file.look();
    if (found?.text === text && (await file.swap(found, text)) === 'swapped') return;
    clearInterval(timer);
    onLost?.(found === undefined ? 'nobody: its lease is gone' : judgeLease(found).words);
  };
  const timer = setInterval(() => {
    // A host that does not answer now may answer next time; if it never does, the run itself says so.
    turn = turn.then(renew).catch(() => {});
  }, RENEW_MS);
  timer.unref();
  return {
    path: file.path,
    renew,
    release: async () => {
      clearInterval(timer);
      await turn;
      const found = await file.look();
      if (found?.text === text) await file.swap(found, undefined);
    },
  };
}
