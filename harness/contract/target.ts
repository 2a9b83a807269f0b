import { randomUUID } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { connect, type Domain, isNoDomain, type LibvirtConnection, type LifecycleEvent } from '../libvirt/index.ts';

/** A host under contract, and what it cannot help doing differently. */
export interface ContractTarget {
  readonly title: string;
  start(): Promise<{ uri: string; close(): Promise<void> }>;
  /** The URI that the host itself reports. */
  readonly hostUri: string;
  /** Whether `type='qemu'` guests of this host can have launch security at all. */
  readonly knowsSev: boolean;
  /** Whether memory tunables can be read: a session daemon has no cgroups. */
  readonly hasMemoryTuning: boolean;
  /** How long the host may take to tell what happened. */
  readonly patienceMs: number;
}

const RUN = `sevh-contract-${process.pid}`;

/** One open connection to the host under contract, with what the suite needs again and again. */
export class ContractHost {
  readonly target: ContractTarget;
  readonly uri: string;
  readonly connection: LibvirtConnection;
  readonly #close: () => Promise<void>;
  readonly #events: LifecycleEvent[] = [];
  #count = 0;
  #heard: (() => void) | undefined;

  private constructor(target: ContractTarget, uri: string, connection: LibvirtConnection, close: () => Promise<void>) {
    this.target = target;
    this.uri = uri;
    this.connection = connection;
    this.#close = close;
  }

  static async open(target: ContractTarget): Promise<ContractHost> {
    const { uri, close } = await target.start();
    const connection = await connect(uri);
    const host = new ContractHost(target, uri, connection, close);
    await connection.onLifecycle((event) => {
      host.#events.push(event);
      host.#heard?.();
    });
    return host;
  }

  async close(): Promise<void> {
    await this.connection.close();
    await this.#close();
  }

  /** A name that nobody else uses, and no other test. */
  freshName(): string {
    this.#count++;
    return `${RUN}-${this.#count}`;
  }

  /** A guest that needs no operating system: firmware talks to a serial console and a screen. */
  xml(name: string, options: { uuid?: string; inside?: string } = {}): string {
    const { uuid = randomUUID(), inside = '' } = options;
    return (
      `<domain type='qemu'><name>${name}</name><uuid>${uuid}</uuid><memory unit='MiB'>32</memory><vcpu>1</vcpu>` +
      "<os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/></os>" +
      `<devices><serial type='pty'/><video><model type='vga'/></video></devices>${inside}</domain>`
    );
  }

  /** Defines a guest that is gone again when the test is over. */
  async define(name = this.freshName(), uuid: string = randomUUID()): Promise<Domain> {
    const domain = await this.connection.defineDomain(this.xml(name, { uuid }));
    this.removeAfterwards(domain);
    return domain;
  }

  removeAfterwards(domain: Domain): void {
    onTestFinished(async () => {
      try {
        if (await domain.isActive()) await domain.destroy();
        if (await domain.isPersistent()) await domain.undefine({ nvram: true });
      } catch (error) {
        if (!isNoDomain(error)) throw error;
      }
    });
  }

  /** What happened to a domain, as `id event detail`, once the last of it is `last`. Rejects when that takes too long. */
  async eventsOf(domain: Domain, last: string): Promise<string[]> {
    const deadline = AbortSignal.timeout(this.target.patienceMs);
    for (;;) {
      const seen = this.#events
        .filter((event) => event.domain.uuid === domain.uuid)
        .map((event) => `${event.domain.id === -1 ? 'off' : 'on'}: ${event.event} ${event.detail}`);
      if (seen.at(-1) === last) return seen;
      await new Promise<void>((resolve, reject) => {
        const tooLate = () =>
          reject(
            new Error(`waited ${this.target.patienceMs} ms for '${last}' of ${domain.name}, saw ${seen.join(', ')}`),
          );
        deadline.addEventListener('abort', tooLate, { once: true });
        this.#heard = () => {
          deadline.removeEventListener('abort', tooLate);
          resolve();
        };
      });
    }
  }
}
