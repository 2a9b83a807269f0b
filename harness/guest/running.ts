import { isSevHarnessError } from '../../core/errors.ts';
import type { SlotTimeline } from '../../reports/model/run.ts';
import { harnessError } from '../errors.ts';
import type { ScenarioContext } from '../fixtures/scenario.ts';
import { findQemu } from '../host/qemu-process.ts';
import { type Refusal, refusalOf } from '../host/refusal.ts';
import {
  type Domain,
  isNoDomain,
  isOperationInvalid,
  isRemoteError,
  type LibvirtConnection,
} from '../libvirt/index.ts';
import { guestName } from './ownership.ts';
import { type GuestKind, type GuestSpec, guestXml } from './spec.ts';

/** A guest of ours that the host runs. */
export interface RunningGuest {
  readonly name: string;
  readonly kind: GuestKind;
  readonly domain: Domain;
  /** libvirt's word for its state, or `gone` when the host does not know it any more. */
  currentState(): Promise<string>;
  /** Destroys it and returns when the host no longer runs it; one that does not run any more is no error. */
  stop(): Promise<void>;
  /**
   * Kills its QEMU with SIGKILL, as the kernel's OOM killer would, and returns when the host has noticed.
   *
   * Returns the reason when the process is out of our reach; the guest then still runs.
   */
  kill(): Promise<{ readonly outOfReach: string } | undefined>;
}

/** What the host answered to a launch. */
export type Launch =
  | { readonly outcome: 'started'; readonly guest: RunningGuest }
  | { readonly outcome: 'refused'; readonly name: string; readonly refusal: Refusal };

export interface LaunchOptions {
  readonly session?: GuestSpec['session'];
  readonly memoryMiB?: number;
  /** Another policy than the kind's. */
  readonly policy?: number;
  /** A kernel of the host to be booted directly, and its command line. */
  readonly boot?: GuestSpec['boot'];
  /** The launch measurement covers them: needs an AmdSev build of OVMF as `loader`. */
  readonly isBootMeasured?: boolean;
  /** Another guest firmware than the one that is picked from what the host offers. */
  readonly loader?: string;
  readonly virtio?: GuestSpec['virtio'];
  /** Leave the guest where its vCPUs have not run: measured, and ready for a secret. */
  readonly isPaused?: boolean;
  readonly memoryLimit?: GuestSpec['memoryLimit'];
  readonly devices?: GuestSpec['devices'];
}

/** What of a scenario's context launching needs. */
export interface LaunchContext extends Pick<ScenarioContext, 'host' | 'facts' | 'signal' | 'cleanup' | 'nowMs'> {
  readonly settings: Pick<ScenarioContext['settings'], 'owner'>;
}

const DEFAULT_MEMORY_MIB = 256;
/** What QEMU allocates beside the guest's RAM (libvirt, "Launch security with AMD SEV", section Memory, suggests 256 MiB as a bound). */
const OVERHEAD_MIB = 64;
const OFF_TIMEOUT_MS = 15_000;
const OFF_POLL_MS = 20;

/** Launches guests, keeps the slot timeline, and sees to it that none outlives its scenario. */
export class GuestLauncher {
  readonly #context: LaunchContext;
  readonly #bars = new Map<
    string,
    { pool: string; startMs: number; endMs: number | null; end?: 'stopped' | 'killed' }
  >();
  readonly #refusals: { name: string; pool: string; atMs: number; text: string }[] = [];
  #serial = 0;

  constructor(context: LaunchContext) {
    this.#context = context;
  }

  /** Refuses to begin what the host's free memory cannot hold: encrypted guests are pinned, and others would die for them. */
  async assertMemoryFor(guests: number): Promise<void> {
    const { freeMem } = await this.#context.host.connection.call('nodeGetFreeMemory', {});
    const freeMiB = Number(freeMem / 1048576n);
    const neededMiB = guests * (DEFAULT_MEMORY_MIB + OVERHEAD_MIB);
    if (neededMiB <= freeMiB) return;
    throw harnessError(
      'HOST_MEMORY',
      `${guests} guests need ${neededMiB} MiB of memory, and the host has ${freeMiB} MiB free`,
      { hint: 'Free memory on the host, or run this scenario on one with fewer slots.' },
    );
  }

  /** Starts a transient guest. A refusal by the host is a value; anything else throws. */
  async launch(kind: GuestKind, role: string, options: LaunchOptions = {}): Promise<Launch> {
    const { host, facts, settings, signal } = this.#context;
    signal.throwIfAborted();
    const spec = this.#spec(kind, role, options);
    const cleanup = this.#context.cleanup.push(`destroy guest ${spec.name}`, () => this.#destroyQuietly(spec.name));
    const startMs = this.#context.nowMs();
    try {
      const domain = await host.connection.createDomain(guestXml(spec, facts, settings.owner), {
        paused: options.isPaused === true,
      });
      this.#bars.set(spec.name, { pool: kind, startMs, endMs: null });
      return { outcome: 'started', guest: this.#running(spec, domain, cleanup) };
    } catch (error) {
      if (!isRemoteError(error)) throw error;
      const refusal = refusalOf(error);
      this.#refusals.push({ name: spec.name, pool: kind, atMs: startMs, text: refusal.text });
      return { outcome: 'refused', name: spec.name, refusal };
    }
  }

  /**
   * The same where a refusal ends the scenario. Throws `GUEST_FILE_UNUSABLE` where a file is at fault and `LAUNCH_REFUSED`
   * otherwise, with the host's words.
   */
  async launchOrFail(kind: GuestKind, role: string, options: LaunchOptions = {}): Promise<RunningGuest> {
    const launch = await this.launch(kind, role, options);
    if (launch.outcome === 'started') return launch.guest;
    const { text, words, fix, cause } = launch.refusal;
    const code = cause === 'guest-file' ? 'GUEST_FILE_UNUSABLE' : 'LAUNCH_REFUSED';
    throw harnessError(code, `the host refused guest '${role}': ${text}`, {
      hint: fix === undefined ? words : `${words} ${fix}`,
    });
  }

  /** The XML of a guest that this run owns, for scenarios that define before they start. */
  define(kind: GuestKind, role: string, options: LaunchOptions = {}): { name: string; xml: string } {
    const spec = this.#spec(kind, role, options);
    this.#context.cleanup.push(`undefine guest ${spec.name}`, () => this.#undefineQuietly(spec.name));
    return { name: spec.name, xml: guestXml(spec, this.#context.facts, this.#context.settings.owner) };
  }

  /** The picture of who held a slot when. */
  timeline(pools: SlotTimeline['pools']): SlotTimeline {
    return {
      pools,
      guests: [...this.#bars].map(([name, bar]) => ({ name, ...bar })),
      refusals: this.#refusals,
    };
  }

  #spec(kind: GuestKind, role: string, options: LaunchOptions): GuestSpec {
    return {
      name: guestName(this.#context.settings.owner.runId, `${role}-${++this.#serial}`),
      kind,
      memoryMiB: options.memoryMiB ?? DEFAULT_MEMORY_MIB,
      ...(options.session === undefined ? {} : { session: options.session }),
      ...(options.policy === undefined ? {} : { policy: options.policy }),
      ...(options.boot === undefined ? {} : { boot: options.boot }),
      ...(options.virtio === undefined ? {} : { virtio: options.virtio }),
      ...(options.isBootMeasured === undefined ? {} : { isBootMeasured: options.isBootMeasured }),
      ...(options.loader === undefined ? {} : { loader: options.loader }),
      ...(options.memoryLimit === undefined ? {} : { memoryLimit: options.memoryLimit }),
      ...(options.devices === undefined ? {} : { devices: options.devices }),
    };
  }

  #running(spec: GuestSpec, domain: Domain, forget: () => void): RunningGuest {
    const { host, signal } = this.#context;
    const ended = (end: 'stopped' | 'killed') => {
      const bar = this.#bars.get(spec.name);
      if (bar !== undefined) Object.assign(bar, { endMs: this.#context.nowMs(), end });
      forget();
    };
    const currentState = async () => {
      try {
        return (await domain.state()).state;
      } catch (error) {
        if (isNoDomain(error)) return 'gone';
        throw error;
      }
    };
    const off = () => waitUntilOff({ name: spec.name, currentState }, signal);
    return {
      name: spec.name,
      kind: spec.kind,
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
      },
      kill: async () => {
        const found = await findQemu(host, spec.name);
        if ('outOfReach' in found) return found;
        await host.shell.kill(found.pid);
        await off();
        ended('killed');
        return undefined;
      },
    };
  }

  #destroyQuietly(name: string): Promise<void> {
    return this.#onLiveConnection(async (connection) => {
      const domain = await lookup(connection, name);
      if (domain !== undefined && (await domain.isActive())) await domain.destroy();
    });
  }

  #undefineQuietly(name: string): Promise<void> {
    return this.#onLiveConnection(async (connection) => {
      const domain = await lookup(connection, name);
      if (domain === undefined) return;
      if (await domain.isActive()) await domain.destroy();
      await domain.undefine({ nvram: true });
    });
  }

  /** Cleanup must work when the scenario's own connection is what broke. */
  async #onLiveConnection(work: (connection: LibvirtConnection) => Promise<void>): Promise<void> {
    try {
      await work(this.#context.host.connection);
    } catch (error) {
      if (!isSevHarnessError(error, 'LIBVIRT_CONNECTION_LOST')) throw error;
      await using connection = await this.#context.host.reconnect();
      await work(connection);
    }
  }
}

async function lookup(connection: LibvirtConnection, name: string): Promise<Domain | undefined> {
  try {
    return await connection.lookupByName(name);
  } catch (error) {
    if (isNoDomain(error)) return undefined;
    throw error;
  }
}

/** Waits until the host no longer runs a guest. Throws `GUEST_WAIT_TIMEOUT` with the state seen last. */
async function waitUntilOff(guest: { name: string; currentState(): Promise<string> }, signal: AbortSignal) {
  const deadline = Date.now() + OFF_TIMEOUT_MS;
  for (;;) {
    signal.throwIfAborted();
    const state = await guest.currentState();
    if (state === 'gone' || state === 'shutoff') return;
    if (Date.now() > deadline)
      throw harnessError(
        'GUEST_WAIT_TIMEOUT',
        `guest ${guest.name} is still ${state} ${OFF_TIMEOUT_MS / 1000} s after it was ended`,
      );
    await new Promise((resolve) => setTimeout(resolve, OFF_POLL_MS));
  }
}
