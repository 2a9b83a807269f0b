import { randomUUID } from 'node:crypto';
import { type Clock, systemClock, virtualClock } from '../../../core/clock.ts';
import type { FaultId } from '../faults/catalogue.ts';
import { kvmFaults } from '../faults/kernel.ts';
import { BarePlatform } from '../kernel/bare-platform.ts';
import { KvmSev, type SevTeardown, type SevVm } from '../kernel/kvm-sev.ts';
import type { SevPlatform } from '../kernel/platform.ts';
import type { Profile } from '../profiles/profile.ts';
import type { QemuProcess } from '../qemu/process.ts';
import { type QemuVoice, qemuVoice } from '../qemu/texts.ts';
import type { SavedImage } from './domain.ts';
import { EventBus } from './events.ts';
import { DomainRegistry } from './registry.ts';

const FIRST_PID = 4321;
const FIRST_VNC_PORT = 5900;

/** Everything that one emulated host is made of; the functions of `state/` and `server/` work on it. */
export class Machine {
  readonly profile: Profile;
  readonly faults: ReadonlySet<FaultId>;
  readonly clock: Clock;
  readonly kvm: KvmSev;
  readonly platform: SevPlatform;
  readonly voice: QemuVoice;
  readonly domains = new DomainRegistry();
  readonly events = new EventBus();
  /** Running QEMUs by pid. */
  readonly processes = new Map<number, QemuProcess>();
  /** Files that `virsh save` wrote, by path. */
  readonly savedImages = new Map<string, SavedImage>();
  /** /var/log/libvirt/qemu/<name>.log */
  readonly qemuLogs = new Map<string, string>();
  readonly hostUuid = randomUUID();
  readonly bootedAtMs: number;
  readonly #vncPorts = new Map<number, number>();
  #lastPid = FIRST_PID;
  #lastDomainId = 0;

  constructor(profile: Profile, faults: ReadonlySet<FaultId>, delays: 'none' | 'realistic') {
    this.profile = profile;
    this.faults = faults;
    this.clock = delays === 'realistic' ? systemClock : virtualClock(Date.now());
    this.bootedAtMs = this.clock.nowMs();
    this.platform = new BarePlatform(profile.sevFirmware ?? { apiMajor: 0, apiMinor: 0, build: 0 });
    this.kvm = new KvmSev(profile, this.platform, kvmFaults(faults));
    this.voice = qemuVoice(profile.qemu, () => this.clock.nowMs());
  }

  newPid(): number {
    this.#lastPid += 7;
    return this.#lastPid;
  }

  /** libvirt numbers every attempt to start, also those that fail. */
  newDomainId(): number {
    this.#lastDomainId++;
    return this.#lastDomainId;
  }

  newUuid(): string {
    return randomUUID();
  }

  /** The lowest VNC port that no running domain has; the same each time for one domain. */
  vncPort(domainId: number): number {
    const own = this.#vncPorts.get(domainId);
    if (own !== undefined) return own;
    const taken = new Set(this.#vncPorts.values());
    let port = FIRST_VNC_PORT;
    while (taken.has(port)) port++;
    this.#vncPorts.set(domainId, port);
    return port;
  }

  /** What a domain had while it ran. */
  releaseDomain(domainId: number, pid: number): void {
    this.#vncPorts.delete(domainId);
    this.processes.delete(pid);
    this.domains.forgetId(domainId);
  }

  releaseSev(vm: SevVm | undefined, how: SevTeardown): void {
    if (vm) this.kvm.destroy(vm, how);
  }

  appendQemuLog(name: string, lines: string): void {
    this.qemuLogs.set(name, `${this.qemuLogs.get(name) ?? ''}${lines}\n`);
  }

  has(fault: FaultId): boolean {
    return this.faults.has(fault);
  }
}
