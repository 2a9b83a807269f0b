import { AsidBitmap } from './bitmap.ts';
import type { ErrnoName } from './errno.ts';
import type { MiscCgroup } from './misc-cgroup.ts';

/** SEV guests draw from `min..max`; SEV-ES and SEV-SNP guests from `1..min-1` (CPUID 0x8000001F EDX and ECX). */
export type AsidPool = 'sev' | 'sev_es';

export interface AsidRange {
  readonly first: number;
  readonly last: number;
}

/** Deviations that a fault asks for; the plain allocator has none. */
export interface AsidFaults {
  /** Freed ASIDs are never merged back. */
  readonly forgetFlush?: boolean;
  /** SEV-ES guests draw from the SEV range as well. */
  readonly shareRanges?: boolean;
  /** Added to the highest ASID of the SEV-ES range. */
  readonly esLimitError?: number;
}

export type AsidResult =
  | { readonly ok: true; readonly asid: number }
  | { readonly ok: false; readonly errno: ErrnoName };

export interface AsidCounters {
  readonly allocations: number;
  readonly frees: number;
  readonly flushes: number;
  readonly refusals: number;
}

/**
 * KVM's SEV ASID allocator (arch/x86/kvm/svm/sev.c, `sev_asid_new` and `sev_asid_free`).
 *
 * The misc cgroup is charged first. A freed ASID waits in the reclaim set until a range is dry; then one WBINVD and
 * DF_FLUSH returns the whole set, and the search is repeated once.
 */
export class AsidAllocator {
  readonly ranges: Readonly<Record<AsidPool, AsidRange>>;
  readonly #used: AsidBitmap;
  readonly #reclaim: AsidBitmap;
  readonly #misc: MiscCgroup;
  readonly #flush: () => boolean;
  readonly #faults: AsidFaults;
  #allocations = 0;
  #frees = 0;
  #flushes = 0;
  #refusals = 0;

  /** `flush` is WBINVD on every CPU and DF_FLUSH; false when the firmware refuses it. */
  constructor(minAsid: number, maxAsid: number, misc: MiscCgroup, flush: () => boolean, faults: AsidFaults = {}) {
    this.#used = new AsidBitmap(maxAsid + 1);
    this.#reclaim = new AsidBitmap(maxAsid + 1);
    this.#misc = misc;
    this.#flush = flush;
    this.#faults = faults;
    const sev = { first: minAsid, last: maxAsid };
    this.ranges = {
      sev,
      sev_es: faults.shareRanges ? sev : { first: 1, last: minAsid - 1 + (faults.esLimitError ?? 0) },
    };
  }

  get counters(): AsidCounters {
    return {
      allocations: this.#allocations,
      frees: this.#frees,
      flushes: this.#flushes,
      refusals: this.#refusals,
    };
  }

  allocate(pool: AsidPool): AsidResult {
    const { first, last } = this.ranges[pool];
    if (first > last) return this.#refuse('ENOTTY');
    const charged = this.#misc.charge(pool);
    if (charged !== undefined) return this.#refuse(charged);
    let asid = this.#used.firstClear(first, last);
    if (asid === undefined && this.#recycle(first, last)) asid = this.#used.firstClear(first, last);
    if (asid === undefined) {
      this.#misc.uncharge(pool);
      return this.#refuse('EBUSY');
    }
    this.#used.set(asid);
    this.#allocations++;
    return { ok: true, asid };
  }

  /** The owner is gone and the firmware has decommissioned its context. */
  free(pool: AsidPool, asid: number): void {
    this.#reclaim.set(asid);
    this.#misc.uncharge(pool);
    this.#frees++;
  }

  /** An ASID that is owned, or freed and not yet flushed. */
  isTaken(asid: number): boolean {
    return this.#used.has(asid);
  }

  isWaitingForFlush(asid: number): boolean {
    return this.#reclaim.has(asid);
  }

  /** `__sev_recycle_asids`: nothing to gain in this range means no flush; a flush returns the whole set. */
  #recycle(first: number, last: number): boolean {
    if (this.#reclaim.firstSet(first, last) === undefined || this.#faults.forgetFlush) return false;
    this.#flushes++;
    if (!this.#flush()) return false;
    this.#used.clearAll(this.#reclaim);
    this.#reclaim.reset();
    return true;
  }

  #refuse(errno: ErrnoName): AsidResult {
    this.#refusals++;
    return { ok: false, errno };
  }
}
