import type { SevVm } from '../kernel/kvm-sev.ts';
import type { DomainDefinition } from '../state/domain-xml/definition.ts';

import type { GuestMachine } from './guest.ts';

/** QEMU's runstate, as far as libvirt's states depend on it. */
export type RunState = 'prelaunch' | 'running' | 'paused' | 'shutdown';

/** SEV state that `query-sev` prints (qapi/misc-target.json, SevState). */
export type SevGuestState = 'launch-update' | 'launch-secret' | 'running';

/** Why a process ended, as libvirt can see it. */
export type ProcessExit = 'terminated' | 'killed';

/** One QEMU on the emulated host. */
export class QemuProcess {
  readonly pid: number;
  readonly definition: DomainDefinition;
  readonly sev: SevVm | undefined;
  readonly guest: GuestMachine;
  runState: RunState = 'prelaunch';
  sevState: SevGuestState = 'launch-secret';
  nextMonitorId = 10;
  readonly #atEnd = new Set<() => void>();
  readonly #onExit: (exit: ProcessExit) => void;
  #hasExited = false;

  constructor(
    pid: number,
    definition: DomainDefinition,
    { sev, guest }: { readonly sev: SevVm | undefined; readonly guest: GuestMachine },
    onExit: (exit: ProcessExit) => void,
  ) {
    this.pid = pid;
    this.definition = definition;
    this.sev = sev;
    this.guest = guest;
    this.#onExit = onExit;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** Ends the process once; a second end is ignored. */
  exit(how: ProcessExit): void {
    if (this.#hasExited) return;
    this.#hasExited = true;
    this.#onExit(how);
  }

  /** Calls back when the guest is gone for whatever reason. Returns a function that forgets the callback. */
  whenGone(callback: () => void): () => void {
    this.#atEnd.add(callback);
    return () => this.#atEnd.delete(callback);
  }

  /** libvirt has let go of the process. */
  release(): void {
    this.#hasExited = true;
    this.guest[Symbol.dispose]();
    for (const callback of [...this.#atEnd]) callback();
    this.#atEnd.clear();
  }
}
