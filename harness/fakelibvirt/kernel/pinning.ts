const PAGE_KIB = 4;

/** A block of memory that QEMU allocates for a guest. */
export interface MemoryRegion {
  readonly name: string;
  readonly sizeKiB: number;
}

/** What a process may take, in KiB; Infinity where there is no limit. */
export interface MemoryLimits {
  /** RLIMIT_MEMLOCK. */
  readonly lockKiB: number;
  /** memory.max of its cgroup. */
  readonly cgroupKiB: number;
}

export type PinResult =
  | { readonly outcome: 'pinned' }
  /** KVM_MEMORY_ENCRYPT_REG_REGION fails with ENOMEM; `log` is the kernel's line. */
  | { readonly outcome: 'refused'; readonly region: MemoryRegion; readonly log: string };

/**
 * Pins regions one after the other, as `sev_pin_memory` of arch/x86/kvm/svm/sev.c does for a process without
 * CAP_IPC_LOCK. It keeps its own count of pages: neither VmLck nor VmPin of the process grows by it.
 */
export function pinRegions(regions: readonly MemoryRegion[], limits: MemoryLimits, freeKiB: number): PinResult {
  let pages = 0;
  for (const region of regions) {
    const wanted = Math.ceil(region.sizeKiB / PAGE_KIB);
    pages += wanted;
    const limit = Math.floor(limits.lockKiB / PAGE_KIB);
    if (pages > limit) {
      return { outcome: 'refused', region, log: `SEV: ${pages} locked pages exceed the lock limit of ${limit}.` };
    }
    if (pages * PAGE_KIB > freeKiB) {
      return { outcome: 'refused', region, log: `SEV: Failure locking ${wanted} pages.` };
    }
  }
  return { outcome: 'pinned' };
}

/** What the kernel logs when a cgroup has used its memory.max and one of its processes must die (mm/oom_kill.c). */
export function cgroupKillLog(pid: number, usedKiB: number): string {
  return `Memory cgroup out of memory: Killed process ${pid} (qemu-system-x86) total-vm:${usedKiB}kB, anon-rss:${usedKiB}kB, file-rss:0kB, shmem-rss:0kB, UID:64055 pgtables:${Math.ceil(usedKiB / 512)}kB oom_score_adj:0`;
}
