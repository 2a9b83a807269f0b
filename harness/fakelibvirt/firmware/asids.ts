import { fail, type Reply, succeed } from './status.ts';

type AsidState = 'clean' | 'allocated' | 'in-use' | 'dirty';

/**
 * The firmware's books on ASIDs: which are owned, and which still have their last owner's lines in a cache.
 *
 * An ASID is allocated by ACTIVATE, in use once its guest has run, and dirty when such a guest gives it back; only
 * WBINVD on every core followed by DF_FLUSH makes it clean. All cores count as one complex.
 */
export class AsidTable {
  readonly max: number;
  readonly #states = new Map<number, AsidState>();
  readonly #cores: number;
  readonly #written = new Set<number>();

  constructor(max: number, cores: number) {
    this.max = max;
    this.#cores = cores;
  }

  /** INIT leaves every ASID dirty. */
  markAllDirty(): void {
    for (let asid = 1; asid <= this.max; asid++) this.#states.set(asid, 'dirty');
    this.#written.clear();
  }

  exists(asid: number): boolean {
    return Number.isInteger(asid) && asid >= 1 && asid <= this.max;
  }

  isOwned(asid: number): boolean {
    const state = this.#states.get(asid);
    return state === 'allocated' || state === 'in-use';
  }

  isDirty(asid: number): boolean {
    return this.#states.get(asid) === 'dirty';
  }

  allocate(asid: number): void {
    this.#states.set(asid, 'allocated');
  }

  use(asid: number): void {
    this.#states.set(asid, 'in-use');
  }

  /** DEACTIVATE: an ASID whose guest never ran is clean at once. */
  release(asid: number): void {
    const hasRun = this.#states.get(asid) === 'in-use';
    this.#states.set(asid, hasRun ? 'dirty' : 'clean');
    this.#written.clear();
  }

  /** The instruction WBINVD on one core, or on all of them. */
  writeBack(core?: number): void {
    if (core === undefined) for (let i = 0; i < this.#cores; i++) this.#written.add(i);
    else if (core >= 0 && core < this.#cores) this.#written.add(core);
  }

  flush(): Reply {
    if (this.#written.size < this.#cores) return fail('WBINVD_REQUIRED');
    for (const [asid, state] of this.#states) if (state === 'dirty') this.#states.set(asid, 'clean');
    return succeed({});
  }
}
