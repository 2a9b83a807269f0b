import type { SlotTimeline } from '../../reports/model/run.ts';
import { harnessError } from '../errors.ts';
import type { ScenarioContext } from '../fixtures/scenario.ts';
import type { Host } from '../host/host.ts';
import { onLiveConnection } from '../host/live-connection.ts';
import { availableMemory } from '../host/memory.ts';
import { findQemu } from '../host/qemu-process.ts';
import { type Refusal, refusalOf } from '../host/refusal.ts';
import {
  type Domain,
  isNoDomain,
  isOperationInvalid,
  isRemoteError,
  type LibvirtConnection,
} from '../libvirt/index.ts';
import { explainEnd } from './end.ts';
import {
  type DefinedGuest,
  type GuestParts,
  type LiveGuest,
  type PausedGuest,
  pausedGuest,
  type RunningGuest,
  runningGuest,
} from './lifecycle.ts';
import { guestName } from './ownership.ts';
import { type GuestKind, type GuestSpec, guestXml } from './spec.ts';

export type { DefinedGuest, LiveGuest, PausedGuest, RunningGuest } from './lifecycle.ts';

/** What the host answered to a launch. */
export type Launch<G extends LiveGuest = RunningGuest> =
  | { readonly outcome: 'started'; readonly guest: G }
  | { readonly outcome: 'refused'; readonly name: string; readonly refusal: Refusal };

/** What a guest shall be like; what is left out is as the scenarios' usual guest has it. */
export interface LaunchOptions extends Omit<GuestSpec, 'name' | 'kind' | 'memoryMiB'> {
  readonly memoryMiB?: number;
}

/** Leaves the guest where its vCPUs have not run: measured, and ready for a secret. */
export type Paused = { readonly isPaused: true };

/** What of a scenario's context launching needs. */
export interface LaunchContext extends Pick<ScenarioContext, 'host' | 'facts' | 'signal' | 'cleanup' | 'nowMs'> {
  readonly settings: Pick<ScenarioContext['settings'], 'owner'>;
  /** Hears of a guest that ended by itself. */
  readonly note?: ScenarioContext['note'];
}

const DEFAULT_MEMORY_MIB = 256;
/** What QEMU allocates beside the guest's RAM (libvirt, "Launch security with AMD SEV", section Memory, suggests 256 MiB as a bound). */
const OVERHEAD_MIB = 64;

/** Launches guests, keeps the slot timeline, and sees to it that none outlives its scenario. */
export class GuestLauncher {
  readonly #context: LaunchContext;
  readonly #bars = new Map<
    string,
    { pool: string; startMs: number; endMs: number | null; end?: 'stopped' | 'killed' }
  >();
  /** Of QEMUs of real hosts, seen while they run: the kernel log of a host names nothing else. */
  readonly #pids = new Map<string, Promise<number | undefined>>();
  readonly #refusals: { name: string; pool: string; atMs: number; text: string }[] = [];
  #serial = 0;

  constructor(context: LaunchContext) {
    this.#context = context;
  }

  /** Refuses to begin what the host's available memory cannot hold: encrypted guests are pinned, and others would die for them. */
  async assertMemoryFor(guests: number, guestMiB = DEFAULT_MEMORY_MIB): Promise<void> {
    const { memoryMiB, figure } = await availableMemory(this.#context.host);
    const neededMiB = guests * (guestMiB + OVERHEAD_MIB);
    if (neededMiB <= memoryMiB) return;
    throw harnessError(
      'HOST_MEMORY',
      `${guests} guests need ${neededMiB} MiB of memory, and the host has ${memoryMiB} MiB (${figure})`,
      { hint: 'Free memory on the host, or run this scenario on one with fewer slots.' },
    );
  }

  /** Starts a transient guest. A refusal by the host is a value; anything else throws. */
  launch(kind: GuestKind, role: string, options: LaunchOptions & Paused): Promise<Launch<PausedGuest>>;
  launch(kind: GuestKind, role: string, options?: LaunchOptions): Promise<Launch>;
  async launch(
    kind: GuestKind,
    role: string,
    options: LaunchOptions & Partial<Paused> = {},
  ): Promise<Launch<PausedGuest | RunningGuest>> {
    const { host, facts, settings, signal } = this.#context;
    signal.throwIfAborted();
    const spec = this.#spec(kind, role, options);
    const cleanup = this.#context.cleanup.push(`destroy guest ${spec.name}`, () => this.#destroyQuietly(spec.name));
    const startMs = this.#context.nowMs();
    try {
      const domain = await host.connection.createDomain(guestXml(spec, facts, settings.owner), {
        paused: options.isPaused === true,
      });
      this.#hasStarted(spec.name, kind, startMs);
      const parts = this.#parts(spec, domain, cleanup);
      return { outcome: 'started', guest: options.isPaused ? pausedGuest(parts) : runningGuest(parts) };
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
  launchOrFail(kind: GuestKind, role: string, options: LaunchOptions & Paused): Promise<PausedGuest>;
  launchOrFail(kind: GuestKind, role: string, options?: LaunchOptions): Promise<RunningGuest>;
  async launchOrFail(
    kind: GuestKind,
    role: string,
    { isPaused, ...options }: LaunchOptions & Partial<Paused> = {},
  ): Promise<PausedGuest | RunningGuest> {
    const launch = await (isPaused
      ? this.launch(kind, role, { ...options, isPaused })
      : this.launch(kind, role, options));
    if (launch.outcome === 'started') return launch.guest;
    const { text, words, fix, cause } = launch.refusal;
    const code = cause === 'guest-file' ? 'GUEST_FILE_UNUSABLE' : 'LAUNCH_REFUSED';
    throw harnessError(code, `the host refused guest '${role}': ${text}`, {
      hint: fix === undefined ? words : `${words} ${fix}`,
    });
  }

  /** A guest that outlives its QEMU until it is undefined: what has NVRAM must be one. Rejects with libvirt's error. */
  async defineGuest(kind: GuestKind, role: string, options: LaunchOptions = {}): Promise<DefinedGuest> {
    const { name, xml } = this.define(kind, role, options);
    const domain = await this.#context.host.connection.defineDomain(xml);
    const parts = this.#parts({ name, kind }, domain, () => {});
    const started = async (paused: boolean) => {
      const startMs = this.#context.nowMs();
      await domain.start({ paused });
      this.#hasStarted(name, kind, startMs);
    };
    return {
      name,
      kind,
      domain,
      start: async () => {
        await started(false);
        return runningGuest(parts);
      },
      startPaused: async () => {
        await started(true);
        return pausedGuest(parts);
      },
      undefine: () => domain.undefine({ nvram: true }),
    };
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

  #hasStarted(name: string, pool: GuestKind, startMs: number): void {
    const { host, note } = this.#context;
    this.#bars.set(name, { pool, startMs, endMs: null });
    // Not waited for: it is of use only when the guest ends without being asked to.
    if (host.kind === 'real' && note !== undefined) this.#pids.set(name, pidOf(host, name));
  }

  #spec(kind: GuestKind, role: string, options: LaunchOptions): GuestSpec {
    return {
      ...options,
      name: guestName(this.#context.settings.owner.runId, `${role}-${++this.#serial}`),
      kind,
      memoryMiB: options.memoryMiB ?? DEFAULT_MEMORY_MIB,
    };
  }

  #parts({ name, kind }: Pick<GuestSpec, 'name' | 'kind'>, domain: Domain, forget: () => void): GuestParts {
    const { host, signal } = this.#context;
    const ended = (end: 'stopped' | 'killed') => {
      const bar = this.#bars.get(name);
      if (bar !== undefined) Object.assign(bar, { endMs: this.#context.nowMs(), end });
      forget();
    };
    return { name, kind, domain, host, signal, ended };
  }

  #destroyQuietly(name: string): Promise<void> {
    return onLiveConnection(this.#context.host, async (connection) => {
      const domain = await lookup(connection, name);
      if (domain !== undefined && (await endNow(domain))) return;
      if (this.#bars.has(name)) await this.#noteUnaskedEnd(name);
    });
  }

  async #noteUnaskedEnd(name: string): Promise<void> {
    const words = await explainEnd(this.#context.host, name, await this.#pids.get(name));
    if (words !== undefined) this.#context.note?.(words);
  }

  #undefineQuietly(name: string): Promise<void> {
    return onLiveConnection(this.#context.host, async (connection) => {
      const domain = await lookup(connection, name);
      if (domain === undefined) return;
      await endNow(domain);
      await domain.undefine({ nvram: true });
    });
  }
}

async function pidOf(host: Host, name: string): Promise<number | undefined> {
  try {
    const found = await findQemu(host, name);
    return 'pid' in found ? found.pid : undefined;
  } catch {
    return undefined;
  }
}

/** Whether it was there to be ended: a guest may go while it is looked for. */
async function endNow(domain: Domain): Promise<boolean> {
  try {
    if (!(await domain.isActive())) return false;
    await domain.destroy();
    return true;
  } catch (error) {
    if (isNoDomain(error) || isOperationInvalid(error)) return false;
    throw error;
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
