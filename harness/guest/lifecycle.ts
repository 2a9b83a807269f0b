import { harnessError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { findQemu } from '../host/qemu-process.ts';
import { type Domain, isNoDomain, isOperationInvalid } from '../libvirt/index.ts';
import type { GuestKind } from './spec.ts';

/** A guest of ours for which the host has a QEMU. */
export interface LiveGuest {
  readonly name: string;
  readonly kind: GuestKind;
  readonly domain: Domain;
  /** libvirt's word for its state, or `gone` when the host does not know it any more. */
  currentState(): Promise<string>;
  /** Destroys it and returns when the host no longer runs it; one that does not run any more is no error. */
  stop(): Promise<StoppedGuest>;
  /**
   * Kills its QEMU with SIGKILL, as the kernel's OOM killer would, and returns when the host has noticed.
   *
   * Returns the reason when the process is out of our reach; the guest then still runs.
   */
  kill(): Promise<{ readonly outOfReach: string } | undefined>;
}

/** A guest whose vCPUs have not run: it is measured, and takes a secret. */
export interface PausedGuest extends LiveGuest {
  /**
   * LAUNCH_SECRET: header and secret as base64, at a guest-physical address or where the guest firmware wants it.
   *
   * Rejects with libvirt's error; the firmware's status is in its text.
   */
  injectSecret(packet: { readonly header: string; readonly secret: string }, guestAddress?: number): Promise<void>;
  /** Lets the vCPUs run, after which no secret is taken any more. */
  resume(): Promise<RunningGuest>;
}

/** A guest whose vCPUs run. */
export interface RunningGuest extends LiveGuest {
  /**
   * Presses the power button and waits until the guest has powered itself off.
   *
   * Throws `GUEST_WAIT_TIMEOUT` with the state seen last, and the signal's reason.
   */
  powerOff(options: { readonly timeoutMs: number }): Promise<StoppedGuest>;
}

/** A guest that was: there is nothing left to be done with it. */
export interface StoppedGuest {
  readonly name: string;
  readonly kind: GuestKind;
}

/** A guest that the host knows by name, whether it runs or not. */
export interface DefinedGuest {
  readonly name: string;
  readonly kind: GuestKind;
  readonly domain: Domain;
  start(): Promise<RunningGuest>;
  startPaused(): Promise<PausedGuest>;
  /** Makes the host forget it, with its NVRAM. It must not run. */
  undefine(): Promise<void>;
}

export interface GuestParts {
  readonly name: string;
  readonly kind: GuestKind;
  readonly domain: Domain;
  readonly host: Host;
  readonly signal: AbortSignal;
  /** Told once the host no longer runs it. */
  ended(how: 'stopped' | 'killed'): void;
}

const OFF_TIMEOUT_MS = 15_000;
const OFF_POLL_MS = 20;

function liveGuest({ name, kind, domain, host, signal, ended }: GuestParts): LiveGuest {
  const currentState = () => stateOf(domain);
  const off = () => waitUntilOff({ name, currentState }, signal, { after: 'it was ended', timeoutMs: OFF_TIMEOUT_MS });
  return {
    name,
    kind,
    domain,
    currentState,
    stop: async () => {
      try {
        await domain.destroy();
      } catch (error) {
        if (!isNoDomain(error) && !isOperationInvalid(error)) throw error;
      }
      await off();
      ended('stopped');
      return { name, kind };
    },
    kill: async () => {
      const found = await findQemu(host, name);
      const refused = 'outOfReach' in found ? found : await host.shell.kill(found.pid);
      if (refused !== undefined) return refused;
      await off();
      ended('killed');
      return undefined;
    },
  };
}

export function pausedGuest(parts: GuestParts): PausedGuest {
  const { domain } = parts;
  return {
    ...liveGuest(parts),
    injectSecret: (packet, guestAddress) =>
      domain.setLaunchSecurityState({
        ...packet,
        ...(guestAddress === undefined ? {} : { setAddress: BigInt(guestAddress) }),
      }),
    resume: async () => {
      await domain.resume();
      return runningGuest(parts);
    },
  };
}

export function runningGuest(parts: GuestParts): RunningGuest {
  const { name, kind, domain, signal, ended } = parts;
  const live = liveGuest(parts);
  return {
    ...live,
    powerOff: async ({ timeoutMs }) => {
      await domain.shutdown();
      await waitUntilOff(live, signal, { after: 'its power button was pressed', timeoutMs });
      ended('stopped');
      return { name, kind };
    },
  };
}

async function stateOf(domain: Domain): Promise<string> {
  try {
    return (await domain.state()).state;
  } catch (error) {
    if (isNoDomain(error)) return 'gone';
    throw error;
  }
}

/** Waits until the host no longer runs a guest. Throws `GUEST_WAIT_TIMEOUT` with the state seen last. */
async function waitUntilOff(
  guest: { readonly name: string; currentState(): Promise<string> },
  signal: AbortSignal,
  { after, timeoutMs }: { readonly after: string; readonly timeoutMs: number },
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    signal.throwIfAborted();
    const state = await guest.currentState();
    if (state === 'gone' || state === 'shutoff') return;
    if (Date.now() > deadline)
      throw harnessError(
        'GUEST_WAIT_TIMEOUT',
        `guest ${guest.name} is still ${state} ${timeoutMs / 1000} s after ${after}`,
      );
    await new Promise((resolve) => setTimeout(resolve, OFF_POLL_MS));
  }
}
