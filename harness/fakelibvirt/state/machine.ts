import { randomUUID } from 'node:crypto';
import { type Clock, systemClock, virtualClock } from '../../../core/clock.ts';
import type { FaultId } from '../faults/catalogue.ts';
import { verifierFaults } from '../faults/guest-firmware.ts';
import { hardwareFaults } from '../faults/hardware.ts';
import { slowdown } from '../faults/host-faults.ts';
import { firmwareAsids, kvmFaults } from '../faults/kernel.ts';
import { runningFirmware } from '../faults/platform-lies.ts';
import type { FaultSwitches } from '../faults/switches.ts';
import { SevDriver } from '../firmware/driver.ts';
import { SecureProcessor } from '../firmware/processor.ts';
import { systemRandom } from '../firmware/random.ts';
import { Ksm, type MergeableProcess } from '../kernel/ksm.ts';
import { KvmSev, type SevTeardown, type SevVm } from '../kernel/kvm-sev.ts';
import { HostMemory } from '../memory/host-memory.ts';
import type { SparseFile } from '../memory/sparse-file.ts';
import { ENCRYPTION_FEATURE, type Profile, sevGeneration } from '../profiles/profile.ts';
import { GuestMachine } from '../qemu/guest.ts';
import { type LaunchContent, NO_CONTENT } from '../qemu/launch-content.ts';
import type { QemuProcess } from '../qemu/process.ts';
import { type QemuVoice, qemuVoice } from '../qemu/texts.ts';
import type { SavedImage } from './domain.ts';
import type { DomainDefinition } from './domain-xml/definition.ts';
import { EventBus } from './events.ts';
import { ImageFiles, type ImageSources } from './images.ts';
import { DomainRegistry } from './registry.ts';
import { StoragePools } from './storage.ts';

const FIRST_PID = 4321;
const FIRST_VNC_PORT = 5900;

/** Everything that one emulated host is made of; the functions of `state/` and `server/` work on it. */
export class Machine {
  readonly profile: Profile;
  readonly faults: FaultSwitches;
  readonly clock: Clock;
  readonly kvm: KvmSev;
  readonly memory: HostMemory;
  readonly images: ImageFiles;
  readonly voice: QemuVoice;
  readonly domains = new DomainRegistry();
  readonly events = new EventBus();
  readonly storage = new StoragePools();
  /** Running QEMUs by pid. */
  readonly processes = new Map<number, QemuProcess>();
  /** Files that `virsh save` wrote, by path. */
  readonly savedImages = new Map<string, SavedImage>();
  /** /var/log/libvirt/qemu/<name>.log */
  readonly qemuLogs = new Map<string, string>();
  /** What the kernel has logged since it booted. */
  readonly kernelLog: string[] = [];
  /** What QEMUs wrote elsewhere, by path. */
  readonly dumps = new Map<string, SparseFile>();
  readonly ksm: Ksm;
  readonly hostUuid = randomUUID();
  readonly bootedAtMs: number;
  readonly #vncPorts = new Map<number, number>();
  #sevDriver: SevDriver | undefined;
  #lastPid = FIRST_PID;
  #plainGuests = 0;
  #sevGuests = 0;
  #lastDomainId = 0;

  constructor(profile: Profile, faults: FaultSwitches, delays: 'none' | 'realistic', images?: ImageSources) {
    this.profile = profile;
    this.faults = faults;
    this.clock = delays === 'realistic' ? systemClock : virtualClock(Date.now());
    this.bootedAtMs = this.clock.nowMs();
    this.images = new ImageFiles(images);
    const tweak = sevGeneration(profile) === 'naples' ? 'fixed' : 'per-boot';
    this.memory = new HostMemory({ tweak, random: systemRandom, faults: hardwareFaults(faults) });
    this.kvm = new KvmSev(profile, () => this.sevDriver, kvmFaults(faults));
    this.ksm = new Ksm(() => this.#mergeable(), {
      isIdle: () => this.has('ksm-idle'),
      staysOn: () => this.has('ksm-stays-on'),
    });
    this.voice = qemuVoice(profile.qemu, () => this.clock.nowMs());
  }

  /** The Secure Processor behind its driver. Its keys are made at the first call, which takes some 20 ms. */
  get sevDriver(): SevDriver {
    if (this.#sevDriver) return this.#sevDriver;
    const { profile } = this;
    const processor = new SecureProcessor({
      version: runningFirmware(this),
      generation: sevGeneration(profile),
      memory: this.memory,
      ...firmwareAsids(profile, kvmFaults(this.faults)),
      isEsCapable: (profile.memoryEncryption.eax & ENCRYPTION_FEATURE.sevEs) !== 0,
      isEncryptionEnabled: profile.obstacle !== 'off-in-bios',
      isEsRefusedBySnp: profile.kvmParameters.sevSnp === 'Y' && profile.takesEsBesideSnp !== true,
      sockets: profile.cpu.sockets,
      faults: hardwareFaults(this.faults),
    });
    this.#sevDriver = new SevDriver(processor, this.kvm.isEsEnabled);
    return this.#sevDriver;
  }

  /** What a QEMU runs for a definition. */
  newGuest(
    { memoryKiB, isLocked, isPreallocated }: DomainDefinition,
    { sev, content }: { readonly sev: SevVm | undefined; readonly content: LaunchContent },
  ): { readonly sev: SevVm | undefined; readonly guest: GuestMachine } {
    const { kvm, memory } = this;
    const nth = sev === undefined ? ++this.#plainGuests : ++this.#sevGuests;
    const faults = {
      memory: hardwareFaults(this.faults),
      verifier: verifierFaults(this.faults),
      readsZero: () => this.has('memory-reads-zero'),
      slowdown: () => slowdown(this, { isEncrypted: sev?.handle !== undefined, nth }),
    };
    const isPopulated = isLocked || isPreallocated;
    const guest = new GuestMachine({ memoryKiB, isPopulated, nth, content, sev, kvm, memory, faults });
    return { sev, guest };
  }

  /** The same with nothing in it. */
  emptyGuest(definition: DomainDefinition) {
    return this.newGuest(definition, { sev: undefined, content: NO_CONTENT });
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

  *#mergeable(): Generator<MergeableProcess> {
    for (const { pid, guest } of this.processes.values()) yield { pid, pages: () => guest.storedPages() };
  }

  has(fault: FaultId): boolean {
    return this.faults.has(fault);
  }
}
