import type { FaultId } from './catalogue.ts';

/**
 * The faults that are on in one host, which remembers for which of them it was asked.
 *
 * A host that ran without faults and was never asked for one behaves the same when that fault is on: nothing else in
 * it depends on which faults were chosen. So there is no other way to them than `has`.
 */
export class FaultSwitches {
  readonly #on: ReadonlySet<FaultId>;
  readonly #asked = new Set<FaultId>();

  constructor(on: Iterable<FaultId>) {
    this.#on = new Set(on);
  }

  has(fault: FaultId): boolean {
    this.#asked.add(fault);
    return this.#on.has(fault);
  }

  /** For `identify`, which shows them and changes nothing in the host. */
  shown(): readonly FaultId[] {
    return [...this.#on];
  }

  /** Faults that the host was asked for until now. */
  get asked(): ReadonlySet<FaultId> {
    return this.#asked;
  }
}

/** What reads faults without knowing where they come from. */
export type Switches<Id> = { has(fault: Id): boolean };
