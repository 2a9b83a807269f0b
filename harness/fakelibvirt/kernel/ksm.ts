import { createHash } from 'node:crypto';

/** One process whose memory may be merged: QEMU marks the RAM of its guest (`mem-merge`, on unless switched off). */
export interface MergeableProcess {
  readonly pid: number;
  /** Contents of its pages, as they lie in DRAM. */
  pages(): Iterable<Uint8Array>;
}

export interface KsmFaults {
  /** Nothing is merged. */
  readonly isIdle: () => boolean;
  /** 0 and 2 change nothing. */
  readonly staysOn: () => boolean;
}

const FOLDER = '/sys/kernel/mm/ksm/';
const MERGING = /^\/proc\/(\d+)\/ksm_merging_pages$/;
/** mm/ksm.c: 0 stops, 1 runs, 2 stops and takes apart what was merged. */
const RUN = { stopped: 0, running: 1, unmerged: 2 } as const;

/**
 * Kernel samepage merging (Linux, Documentation/admin-guide/mm/ksm.rst), as far as its files show it.
 *
 * It compares what lies in DRAM, byte for byte. A scan takes no time here: one is done each time somebody asks how many
 * there have been. Linux would not merge the pages of an SEV guest in any case, because they are pinned; this model leaves
 * that out, so that only their encryption keeps them apart.
 */
export class Ksm {
  readonly #processes: () => Iterable<MergeableProcess>;
  readonly #faults: KsmFaults;
  readonly #settings: Record<string, number> = { run: RUN.stopped, pages_to_scan: 100, sleep_millisecs: 20 };
  #scans = 0;
  #shared = 0;
  #merging = new Map<number, number>();

  constructor(processes: () => Iterable<MergeableProcess>, faults: KsmFaults) {
    this.#processes = processes;
    this.#faults = faults;
  }

  /** The text of a file of this kind; `undefined` for any other. */
  file(path: string): string | undefined {
    const pid = MERGING.exec(path)?.[1];
    if (pid !== undefined) return this.#isAlive(Number(pid)) ? `${this.#merging.get(Number(pid)) ?? 0}\n` : undefined;
    if (!path.startsWith(FOLDER)) return undefined;
    const name = path.slice(FOLDER.length);
    if (name === 'full_scans') this.#scan();
    const merging = [...this.#merging.values()].reduce((sum, count) => sum + count, 0);
    const counters = { full_scans: this.#scans, pages_shared: this.#shared, pages_sharing: merging - this.#shared };
    const numbers: Readonly<Record<string, number>> = { ...this.#settings, ...counters };
    return Object.hasOwn(numbers, name) ? `${numbers[name]}\n` : undefined;
  }

  /** Writes a setting; false where Linux answers EINVAL. */
  set(name: string, value: number): boolean {
    if (!Object.hasOwn(this.#settings, name) || !Number.isInteger(value) || value < 0) return false;
    if (name === 'run' && value > RUN.unmerged) return false;
    if (name === 'run' && value !== RUN.running && this.#faults.staysOn()) return true;
    this.#settings[name] = value;
    if (name === 'run' && value === RUN.unmerged) this.#merge(new Map());
    return true;
  }

  #scan(): void {
    if (this.#settings.run !== RUN.running) return;
    this.#scans++;
    const places = new Map<string, number[]>();
    for (const { pid, pages } of this.#processes()) {
      for (const page of pages()) {
        const content = createHash('sha1').update(page).digest('base64');
        places.set(content, [...(places.get(content) ?? []), pid]);
      }
    }
    this.#merge(this.#faults.isIdle() ? new Map() : places);
  }

  #merge(places: ReadonlyMap<string, readonly number[]>): void {
    const alike = [...places.values()].filter((pids) => pids.length > 1);
    this.#shared = alike.length;
    this.#merging = new Map();
    for (const pid of alike.flat()) this.#merging.set(pid, (this.#merging.get(pid) ?? 0) + 1);
  }

  #isAlive(pid: number): boolean {
    return [...this.#processes()].some((process) => process.pid === pid);
  }
}
