import type { LibvirtConnection } from './connection.ts';
import { ConsoleStream } from './console-stream.ts';
import { libvirtError } from './errors.ts';
import { interpretMonitorReply } from './monitor.ts';
import type { NonnullDomain, RemoteCalls } from './protocol/libvirt.gen.ts';
import { type DomainState, domainState, stateReason } from './states.ts';
import { TYPED_PARAM_STRING_OKAY, type TypedParamValue, typedParamRecord } from './typed-param-record.ts';

/** Flags of libvirt-domain.h that the methods below turn their options into. */
const START_PAUSED = 1;
const UNDEFINE_MANAGED_SAVE = 1;
const UNDEFINE_SNAPSHOTS_METADATA = 2;
const UNDEFINE_NVRAM = 4;
const XML_SECURE = 1;
const XML_INACTIVE = 2;
const MEMORY_VIRTUAL = 1;
const MEMORY_PHYSICAL = 2;
const MONITOR_COMMAND_HMP = 1;
const CONSOLE_FORCE = 1;
const DUMP_MEMORY_ONLY = 16;
const AFFECT_LIVE = 1;
const AFFECT_CONFIG = 2;
const NO_ID = -1;
/** REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX. */
const MEMORY_PEEK_MAX_BYTES = 4194304;

export interface DomainInfo {
  readonly state: DomainState;
  readonly maxMemoryKiB: bigint;
  readonly memoryKiB: bigint;
  readonly vcpus: number;
  readonly cpuTimeNs: bigint;
}

/** One domain of a connection. Its methods do what the libvirt functions of the same names do, and fail as `call` does. */
export class Domain {
  readonly name: string;
  readonly uuid: string;
  readonly #connection: LibvirtConnection;
  #id: number;

  constructor(connection: LibvirtConnection, dom: NonnullDomain) {
    this.#connection = connection;
    this.name = dom.name;
    this.uuid = dom.uuid;
    this.#id = dom.id;
  }

  /** The number under which it ran when we last heard; -1 when it did not run. */
  get id(): number {
    return this.#id;
  }

  async start(options: { paused?: boolean } = {}): Promise<void> {
    const args = { flags: options.paused ? START_PAUSED : 0 };
    const { dom } = await this.#call('domainCreateWithFlags', args, 'start');
    this.#id = dom.id;
  }

  /** Takes the power away. */
  async destroy(): Promise<void> {
    await this.#call('domainDestroy', {}, 'destroy');
    this.#id = NO_ID;
  }

  /** Asks the guest to shut down; returns before it did. */
  async shutdown(): Promise<void> {
    await this.#call('domainShutdown', {}, 'shut down');
  }

  async reboot(): Promise<void> {
    await this.#call('domainReboot', { flags: 0 }, 'reboot');
  }

  async reset(): Promise<void> {
    await this.#call('domainReset', { flags: 0 }, 'reset');
  }

  async suspend(): Promise<void> {
    await this.#call('domainSuspend', {}, 'suspend');
  }

  async resume(): Promise<void> {
    await this.#call('domainResume', {}, 'resume');
  }

  /** Forgets the persistent definition, with its NVRAM file, managed save image or snapshot metadata if told. */
  async undefine(options: { nvram?: boolean; managedSave?: boolean; snapshots?: boolean } = {}): Promise<void> {
    const flags =
      (options.nvram ? UNDEFINE_NVRAM : 0) |
      (options.managedSave ? UNDEFINE_MANAGED_SAVE : 0) |
      (options.snapshots ? UNDEFINE_SNAPSHOTS_METADATA : 0);
    await this.#call('domainUndefineFlags', { flags }, 'undefine');
  }

  async state(): Promise<{ state: DomainState; reason: string }> {
    const { state, reason } = await this.#call('domainGetState', { flags: 0 }, 'read the state of');
    return { state: domainState(state), reason: stateReason(state, reason) };
  }

  async isActive(): Promise<boolean> {
    return (await this.#call('domainIsActive', {}, 'ask whether it runs:')).active === 1;
  }

  async isPersistent(): Promise<boolean> {
    return (await this.#call('domainIsPersistent', {}, 'ask whether it is persistent:')).persistent === 1;
  }

  /** The live definition, or the one for the next start; `secure` includes passwords. */
  async xml(options: { inactive?: boolean; secure?: boolean } = {}): Promise<string> {
    const flags = (options.inactive ? XML_INACTIVE : 0) | (options.secure ? XML_SECURE : 0);
    return (await this.#call('domainGetXmlDesc', { flags }, 'read the XML of')).xml;
  }

  async info(): Promise<DomainInfo> {
    const info = await this.#call('domainGetInfo', {}, 'read the facts of');
    return {
      state: domainState(info.state),
      maxMemoryKiB: info.maxMem,
      memoryKiB: info.memory,
      vcpus: info.nrVirtCpu,
      cpuTimeNs: info.cpuTime,
    };
  }

  /** Measurement, API version, build and policy under libvirt's names (`sev-measurement`, …); empty for a plain guest. */
  async launchSecurityInfo(): Promise<Record<string, TypedParamValue>> {
    const args = { flags: TYPED_PARAM_STRING_OKAY };
    const { params } = await this.#call('domainGetLaunchSecurityInfo', args, 'read the launch security of');
    return typedParamRecord(params);
  }

  /** Injects a launch secret (header and secret base64) while the guest is paused. */
  async setLaunchSecurityState(secret: { header: string; secret: string; setAddress?: bigint }): Promise<void> {
    const params = [
      { field: 'sev-secret-header', type: 'string', value: secret.header },
      { field: 'sev-secret', type: 'string', value: secret.secret },
      ...(secret.setAddress === undefined
        ? []
        : [{ field: 'sev-secret-set-address', type: 'ullong', value: secret.setAddress } as const]),
    ] as const;
    await this.#call('domainSetLaunchSecurityState', { params, flags: 0 }, 'inject a launch secret into');
  }

  /**
   * Sends a command to QEMU's monitor: an object or JSON text, or with `hmp` a line of the human monitor.
   *
   * Resolves to what QMP returns, or to the HMP text. Rejects also with `QEMU_MONITOR` when QEMU refuses the command.
   */
  async monitorCommand(command: object | string, options: { hmp?: boolean } = {}): Promise<unknown> {
    const cmd = typeof command === 'string' ? command : JSON.stringify(command);
    const args = { dom: this.#wire(), cmd, flags: options.hmp ? MONITOR_COMMAND_HMP : 0 };
    const what = `send a monitor command to domain '${this.name}'`;
    const { result } = await this.#connection.callQemu('domainMonitorCommand', args, { what });
    return options.hmp ? result : interpretMonitorReply(result, cmd, this.name);
  }

  /** Reads guest memory as the host sees it, `size` bytes (at most 4 MiB) from a guest-physical or virtual address. */
  async memoryPeek(offset: number | bigint, size: number, options: { physical?: boolean } = {}): Promise<Uint8Array> {
    if (!(Number.isInteger(size) && size > 0 && size <= MEMORY_PEEK_MAX_BYTES)) {
      throw libvirtError(
        'LIBVIRT_ARGUMENT',
        `cannot read ${size} bytes of memory of domain '${this.name}' at once, expected 1 to ${MEMORY_PEEK_MAX_BYTES}`,
      );
    }
    const flags = options.physical === false ? MEMORY_VIRTUAL : MEMORY_PHYSICAL;
    const args = { offset: BigInt(offset), size, flags };
    return (await this.#call('domainMemoryPeek', args, 'read memory of')).buffer;
  }

  /** Writes the guest's memory into an ELF file of the host, as the host sees it; the guest stands still meanwhile. */
  async coreDump(path: string): Promise<void> {
    await this.#call('domainCoreDump', { to: path, flags: DUMP_MEMORY_ONLY }, 'dump the memory of');
  }

  /** Connects to the first serial console, or to the device of that alias; `force` takes it from whoever has it. */
  async openConsole(options: { device?: string; force?: boolean } = {}): Promise<ConsoleStream> {
    const args = {
      dom: this.#wire(),
      devName: options.device ?? null,
      flags: options.force ? CONSOLE_FORCE : 0,
    };
    const what = `open the console of domain '${this.name}'`;
    return new ConsoleStream((await this.#connection.openStream('domainOpenConsole', args, { what })).stream);
  }

  /** What a screen shows, in the format that QEMU chose. */
  async screenshot(screen = 0): Promise<{ mediaType: string; bytes: Uint8Array }> {
    const args = { dom: this.#wire(), screen, flags: 0 };
    const what = `take a screenshot of domain '${this.name}'`;
    const { ret, stream } = await this.#connection.openStream('domainScreenshot', args, { what });
    const parts: Uint8Array[] = [];
    for await (const part of stream) parts.push(part);
    await stream.close();
    return { mediaType: ret.mime ?? 'application/octet-stream', bytes: new Uint8Array(Buffer.concat(parts)) };
  }

  /** The memory tunables (`hard_limit` and others, KiB). */
  async memoryParameters(): Promise<Record<string, TypedParamValue>> {
    const doing = 'read the memory tunables of';
    const flags = TYPED_PARAM_STRING_OKAY;
    const { nparams } = await this.#call('domainGetMemoryParameters', { nparams: 0, flags }, doing);
    const { params } = await this.#call('domainGetMemoryParameters', { nparams, flags }, doing);
    return typedParamRecord(params);
  }

  /** Plugs a device into the running guest, or adds it to what the next start has. */
  async attachDevice(xml: string, where: 'live' | 'config' = 'live'): Promise<void> {
    const flags = where === 'live' ? AFFECT_LIVE : AFFECT_CONFIG;
    await this.#call('domainAttachDeviceFlags', { xml, flags }, 'attach a device to');
  }

  /** Stops the guest and keeps its memory in a file on the host. */
  async save(path: string): Promise<void> {
    await this.#call('domainSave', { to: path }, 'save');
    this.#id = NO_ID;
  }

  async managedSave(): Promise<void> {
    await this.#call('domainManagedSave', { flags: 0 }, 'save');
    this.#id = NO_ID;
  }

  /** Makes a snapshot from its XML and returns its name. `flags` are virDomainSnapshotCreateFlags. */
  async snapshotCreate(xml: string, flags = 0): Promise<string> {
    return (await this.#call('domainSnapshotCreateXml', { xmlDesc: xml, flags }, 'make a snapshot of')).snap.name;
  }

  #wire(): NonnullDomain {
    return { name: this.name, uuid: this.uuid, id: this.#id };
  }

  #call<K extends DomainCall>(
    name: K,
    args: Omit<RemoteCalls[K]['args'], 'dom'>,
    doing: string,
  ): Promise<RemoteCalls[K]['ret']> {
    const what = `${doing} domain '${this.name}'`;
    return this.#connection.call(name, { ...args, dom: this.#wire() } as RemoteCalls[K]['args'], { what });
  }
}

/** Procedures whose arguments name a domain. */
type DomainCall = {
  [K in keyof RemoteCalls]: RemoteCalls[K]['args'] extends { readonly dom: NonnullDomain } ? K : never;
}[keyof RemoteCalls];
