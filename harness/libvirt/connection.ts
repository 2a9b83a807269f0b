import type { SevHarnessError } from '../../core/errors.ts';
import { Domain } from './domain.ts';
import { LifecycleEvents, type LifecycleListener } from './lifecycle.ts';
import type { Procedure } from './protocol/codec.ts';
import {
  type EmulatorCalls,
  emulatorProcedures,
  type NonnullDomain,
  type QemuCalls,
  qemuProcedures,
  type RemoteCalls,
  remoteProcedures,
} from './protocol/libvirt.gen.ts';
import type { CallOptions, RpcConnection } from './rpc/connection.ts';
import type { RpcStream } from './rpc/stream.ts';
import { TYPED_PARAM_STRING_OKAY, typedParamRecord } from './typed-param-record.ts';

/** virConnectListAllDomainsFlags, virDomainDefineFlags and virDomainCreateFlags. */
const LIST_ACTIVE = 1;
const LIST_INACTIVE = 2;
const DEFINE_VALIDATE = 1;
const CREATE_PAUSED = 1;
const CREATE_AUTODESTROY = 2;
/** How long the daemon may take to confirm that we leave. */
const CLOSE_TIMEOUT_MS = 5000;

/** What the host's SEV firmware and CPU say about themselves; a field is missing when libvirt does not know it. */
export interface SevInfo {
  /** Platform Diffie-Hellman key, base64. */
  readonly pdh?: string;
  /** PEK, OCA and CEK, base64. */
  readonly certChain?: string;
  /** CPU 0's unique id, base64. */
  readonly cpu0Id?: string;
  readonly cbitpos?: number;
  readonly reducedPhysBits?: number;
  /** Guests with SEV only that can run at a time. */
  readonly maxGuests?: number;
  /** Guests with SEV-ES or SEV-SNP that can run at a time. */
  readonly maxEsGuests?: number;
}

export interface NodeInfo {
  /** CPU architecture. */
  readonly model: string;
  readonly memoryKiB: bigint;
  readonly cpus: number;
  readonly mhz: number;
  readonly nodes: number;
  readonly sockets: number;
  readonly cores: number;
  readonly threads: number;
}

/** An open connection to one libvirt daemon. Made by `connect`; dispose of it when done. */
export class LibvirtConnection implements AsyncDisposable {
  /** The URI that was asked for. */
  readonly uri: string;
  readonly #rpc: RpcConnection;
  readonly #lifecycle: LifecycleEvents;

  constructor(uri: string, rpc: RpcConnection) {
    this.uri = uri;
    this.#rpc = rpc;
    this.#lifecycle = new LifecycleEvents(rpc);
  }

  get isOpen(): boolean {
    return this.#rpc.isOpen;
  }

  /**
   * Calls any procedure of the main program by its name.
   *
   * Rejects with `LIBVIRT_REMOTE` (`RemoteError`), `LIBVIRT_CALL_TIMEOUT`, `LIBVIRT_CONNECTION_LOST`, `LIBVIRT_PROTOCOL`,
   * `LIBVIRT_CLOSED`, `XDR_UNENCODABLE`, or the signal's reason.
   */
  call<K extends keyof RemoteCalls>(
    name: K,
    args: RemoteCalls[K]['args'],
    options?: CallOptions,
  ): Promise<RemoteCalls[K]['ret']> {
    return this.#rpc.call(remoteProcedures[name], args, options);
  }

  /** Calls a procedure of the QEMU program: monitor and agent passthrough. Errors as for `call`. */
  callQemu<K extends keyof QemuCalls>(
    name: K,
    args: QemuCalls[K]['args'],
    options?: CallOptions,
  ): Promise<QemuCalls[K]['ret']> {
    return this.#rpc.call(qemuProcedures[name], args, options);
  }

  /** Calls a procedure that only the emulated host serves; see `isNoSupportedProcedure`. Errors as for `call`. */
  callEmulator<K extends keyof EmulatorCalls>(
    name: K,
    args: EmulatorCalls[K]['args'],
    options?: CallOptions,
  ): Promise<EmulatorCalls[K]['ret']> {
    return this.#rpc.call(emulatorProcedures[name], args, options);
  }

  /** Calls a procedure that may not be in our tables: for tests of what a host says to one that it does not know. */
  callRaw<Args, Ret>(procedure: Procedure<Args, Ret>, args: Args, options?: CallOptions): Promise<Ret> {
    return this.#rpc.call(procedure, args, options);
  }

  /** Makes a call that opens a stream beside it. Errors as for `call`. */
  openStream<K extends keyof RemoteCalls>(
    name: K,
    args: RemoteCalls[K]['args'],
    options?: CallOptions,
  ): Promise<{ ret: RemoteCalls[K]['ret']; stream: RpcStream }> {
    return this.#rpc.openStream(remoteProcedures[name], args, options);
  }

  /** QEMU's version, as `7.2.22`. */
  async hypervisorVersion(): Promise<string> {
    return formatVersion((await this.call('connectGetVersion', {})).hvVer);
  }

  /** The daemon's version, as `9.0.0`. */
  async libvirtVersion(): Promise<string> {
    return formatVersion((await this.call('connectGetLibVersion', {})).libVer);
  }

  async hostname(): Promise<string> {
    return (await this.call('connectGetHostname', {})).hostname;
  }

  async capabilitiesXml(): Promise<string> {
    return (await this.call('connectGetCapabilities', {})).capabilities;
  }

  async domainCapabilitiesXml(
    wanted: { emulator?: string; arch?: string; machine?: string; virtType?: string } = {},
  ): Promise<string> {
    const { emulator = null, arch = null, machine = null, virtType = null } = wanted;
    const args = { emulatorbin: emulator, arch, machine, virttype: virtType, flags: 0 };
    return (await this.call('connectGetDomainCapabilities', args)).capabilities;
  }

  async nodeInfo(): Promise<NodeInfo> {
    const { memory, ...rest } = await this.call('nodeGetInfo', {});
    return { ...rest, memoryKiB: memory };
  }

  /** Rejects with `RemoteError` (`isOperationUnsupported`) where the host's QEMU does not know SEV. */
  async sevInfo(): Promise<SevInfo> {
    const args = { nparams: 0, flags: TYPED_PARAM_STRING_OKAY };
    const record = typedParamRecord((await this.call('nodeGetSevInfo', args)).params);
    return {
      ...string(record, 'pdh', 'pdh'),
      ...string(record, 'cert-chain', 'certChain'),
      ...string(record, 'cpu0-id', 'cpu0Id'),
      ...number(record, 'cbitpos', 'cbitpos'),
      ...number(record, 'reduced-phys-bits', 'reducedPhysBits'),
      ...number(record, 'max-guests', 'maxGuests'),
      ...number(record, 'max-es-guests', 'maxEsGuests'),
    };
  }

  /** All domains, or only those that run, or only those that do not. */
  async listDomains(wanted: { active?: boolean; inactive?: boolean } = {}): Promise<Domain[]> {
    const flags = (wanted.active ? LIST_ACTIVE : 0) | (wanted.inactive ? LIST_INACTIVE : 0);
    const { domains } = await this.call('connectListAllDomains', { needResults: 1, flags }, { what: 'list domains' });
    return domains.map((domain) => new Domain(this, domain));
  }

  async lookupByName(name: string): Promise<Domain> {
    const what = `look up domain '${name}'`;
    return this.#domain(await this.call('domainLookupByName', { name }, { what }));
  }

  async lookupByUuid(uuid: string): Promise<Domain> {
    const what = `look up domain with uuid ${uuid}`;
    return this.#domain(await this.call('domainLookupByUuid', { uuid }, { what }));
  }

  async lookupById(id: number): Promise<Domain> {
    return this.#domain(await this.call('domainLookupById', { id }, { what: `look up domain with id ${id}` }));
  }

  /** Makes a persistent domain, or changes the one of this name and uuid. `validate` checks it against libvirt's schema. */
  async defineDomain(xml: string, options: { validate?: boolean } = {}): Promise<Domain> {
    const what = `define ${named(xml)}`;
    if (!options.validate) return this.#domain(await this.call('domainDefineXml', { xml }, { what }));
    return this.#domain(await this.call('domainDefineXmlFlags', { xml, flags: DEFINE_VALIDATE }, { what }));
  }

  /** Starts a transient domain. `autodestroy` ends it when this connection does. */
  async createDomain(xml: string, options: { paused?: boolean; autodestroy?: boolean } = {}): Promise<Domain> {
    const flags = (options.paused ? CREATE_PAUSED : 0) | (options.autodestroy ? CREATE_AUTODESTROY : 0);
    const what = `create ${named(xml)}`;
    return this.#domain(await this.call('domainCreateXml', { xmlDesc: xml, flags }, { what }));
  }

  /** Reports every lifecycle event of every domain from now on; returns what stops it. */
  onLifecycle(listener: LifecycleListener): Promise<() => Promise<void>> {
    return this.#lifecycle.subscribe(listener);
  }

  /** Tells of each guest that was reset or rebooted itself, by uuid, from now on; returns what stops it. */
  onReboot(listener: (uuid: string) => void): Promise<() => Promise<void>> {
    return this.#lifecycle.subscribeToReboots(listener);
  }

  /** Runs `listener` once, when the connection ends: with the reason, or with `undefined` when we closed it. */
  onClose(listener: (reason: SevHarnessError | undefined) => void): void {
    this.#rpc.onClose(listener);
  }

  /** Says goodbye and lets go; never rejects, because a connection that is already broken is closed too. */
  async close(): Promise<void> {
    try {
      if (this.isOpen) await this.call('connectClose', {}, { timeoutMs: CLOSE_TIMEOUT_MS });
    } catch {
      // Nothing that the daemon could answer changes that we leave.
    } finally {
      this.#rpc.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #domain({ dom }: { dom: NonnullDomain }): Domain {
    return new Domain(this, dom);
  }
}

/** libvirt packs major, minor and release into one number, three decimal digits each. */
function formatVersion(packed: bigint): string {
  return `${packed / 1_000_000n}.${(packed / 1000n) % 1000n}.${packed % 1000n}`;
}

/** What error texts call a domain that we have only the XML of. */
function named(xml: string): string {
  const name = /<name>([^<]*)<\/name>/.exec(xml)?.[1];
  return name === undefined ? 'a domain without a name' : `domain '${name}'`;
}

type Values = ReturnType<typeof typedParamRecord>;

function string<K extends string>(values: Values, field: string, key: K): { [P in K]?: string } {
  const value = values[field];
  return (typeof value === 'string' ? { [key]: value } : {}) as { [P in K]?: string };
}

function number<K extends string>(values: Values, field: string, key: K): { [P in K]?: number } {
  const value = values[field];
  return (typeof value === 'number' ? { [key]: value } : {}) as { [P in K]?: number };
}
