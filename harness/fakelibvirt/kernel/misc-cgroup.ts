import type { AsidPool } from './asid.ts';
import type { ErrnoName } from './errno.ts';

type PerPool = Readonly<Record<AsidPool, number>>;

/** The root of the misc cgroup controller (kernel/cgroup/misc.c), which counts encryption contexts. */
export class MiscCgroup {
  readonly #capacity: PerPool;
  readonly #current: Record<AsidPool, number> = { sev: 0, sev_es: 0 };

  constructor(capacity: PerPool) {
    this.#capacity = capacity;
  }

  current(pool: AsidPool): number {
    return this.#current[pool];
  }

  /** The errno of `misc_cg_try_charge`, or undefined when charged. */
  charge(pool: AsidPool): ErrnoName | undefined {
    if (this.#capacity[pool] <= 0) return 'EINVAL';
    if (this.#current[pool] + 1 > this.#capacity[pool]) return 'EBUSY';
    this.#current[pool]++;
    return undefined;
  }

  uncharge(pool: AsidPool): void {
    this.#current[pool]--;
  }

  /** misc.capacity lists only resources that the hardware has. */
  formatCapacity(): string {
    return this.#lines((pool) => this.#capacity[pool]);
  }

  formatCurrent(): string {
    return this.#lines((pool) => this.#current[pool]);
  }

  #lines(value: (pool: AsidPool) => number): string {
    const pools: readonly AsidPool[] = ['sev', 'sev_es'];
    return pools
      .filter((pool) => this.#capacity[pool] > 0)
      .map((pool) => `${pool} ${value(pool)}\n`)
      .join('');
  }
}
