import type { QemuProcess } from '../qemu/process.ts';
import type { DomainDefinition } from './domain-xml/definition.ts';
import type { DomainRef } from './events.ts';
import { type DomainState, STATES } from './states.ts';
import type { XmlElement } from './xml/tree.ts';

export interface Snapshot {
  readonly name: string;
  readonly xml: string;
}

/** A guest's memory on disk: what `save` and `managedsave` leave behind. */
export interface SavedImage {
  readonly definition: DomainDefinition;
  readonly wasRunning: boolean;
}

/** What exists only while the domain has a QEMU. */
export interface LiveDomain {
  readonly id: number;
  /** As it is now; `qemu.definition` is what the process was started with. */
  definition: DomainDefinition;
  tree: XmlElement;
  readonly qemu: QemuProcess;
  readonly startedAtMs: number;
  balloonKiB: number;
  /** ACPI power button pressed while the vCPUs stood still, or by a reboot that must come back. */
  pendingPowerButton: 'none' | 'shutdown' | 'reboot';
}

/** One domain that libvirt knows (`virDomainObj`). */
export class Domain {
  readonly name: string;
  readonly uuid: string;
  /** The definition that survives a stop; undefined for a transient domain. */
  persistent: DomainDefinition | undefined;
  live: LiveDomain | undefined;
  state: DomainState = STATES.shutoffUnknown;
  autostart = false;
  managedSave: SavedImage | undefined;
  hasNvramFile = false;
  /** The connection whose end destroys the domain. */
  autodestroyOwner: object | undefined;
  readonly snapshots = new Map<string, Snapshot>();
  #job: Promise<void> = Promise.resolve();

  constructor(name: string, uuid: string) {
    this.name = name;
    this.uuid = uuid;
  }

  get ref(): DomainRef {
    return { name: this.name, uuid: this.uuid, id: this.live?.id ?? -1 };
  }

  get isActive(): boolean {
    return this.live !== undefined;
  }

  /** What applies now: the running definition, else the one for the next start. */
  get current(): DomainDefinition | undefined {
    return this.live?.definition ?? this.persistent;
  }

  /** One modifying call at a time, in the order of arrival, as libvirt's job on a domain. */
  async withJob<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#job;
    let release: () => void = () => {};
    this.#job = new Promise((resolve) => {
      release = resolve;
    });
    try {
      await before;
      return await work();
    } finally {
      release();
    }
  }
}
