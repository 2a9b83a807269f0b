import type { MemoryLimits, MemoryRegion } from '../kernel/pinning.ts';
import type { DomainDefinition } from '../state/domain-xml/definition.ts';
import { attribute, child, elements } from '../state/xml/tree.ts';

/** LimitMEMLOCK of libvirtd.service, which a QEMU inherits when libvirt has no reason for another limit. */
export const INHERITED_LOCK_LIMIT_KIB = 64 * 1024;
/** What a QEMU has in memory for itself: libraries, heap, stacks. */
const OWN_KIB = 46_000;
/** The part of its RAM that a guest without encryption has touched. */
const TOUCHED_SHARE = 4;
const VIDEO_KIB = 16 * 1024;
/** Sizes of the nova specification for Stein, "reserved_host_memory_mb", of what is pinned beside RAM and video RAM. */
const FLASH_KIB = 4096;
const VARIABLES_KIB = 4096;
const ROMS: readonly MemoryRegion[] = [
  { name: 'pc.rom', sizeKiB: 128 },
  { name: 'isa-bios', sizeKiB: 128 },
  { name: '/rom@etc/acpi/tables', sizeKiB: 2384 },
];

/** The memory of one QEMU, as it asks for it and as libvirt limits it. */
export interface QemuMemory {
  /** RAM first, in the order in which QEMU makes them. */
  readonly regions: readonly MemoryRegion[];
  /** Encrypted pages must not move or be swapped out, so that all regions are pinned. */
  readonly isPinned: boolean;
  /** `-overcommit mem-lock=on`: mlockall(2). */
  readonly isLocked: boolean;
  /** `prealloc=on`: all of RAM is written once before the guest runs. */
  readonly isPreallocated: boolean;
  readonly limits: MemoryLimits;
}

/** `qemuDomainGetMemLockLimitBytes` of libvirt 9.0: the hard limit, else none for locked guests, else what is inherited. */
export function memoryOf(definition: DomainDefinition): QemuMemory {
  const { memoryKiB, loader, nvramPath, tree, isLocked, isPreallocated, hardLimitKiB, launchSecurity } = definition;
  const video = elements(child(tree, 'devices') ?? tree, 'video').filter(
    (one) => attribute(child(one, 'model'), 'type') !== 'none',
  );
  const regions = [
    { name: 'pc.ram', sizeKiB: memoryKiB },
    ...(loader === undefined ? [] : [{ name: 'system.flash0', sizeKiB: FLASH_KIB }]),
    ...(nvramPath === undefined ? [] : [{ name: 'system.flash1', sizeKiB: VARIABLES_KIB }]),
    ...ROMS,
    ...video.map(() => ({ name: 'vga.vram', sizeKiB: VIDEO_KIB })),
  ];
  const lockKiB = hardLimitKiB ?? (isLocked ? Number.POSITIVE_INFINITY : INHERITED_LOCK_LIMIT_KIB);
  const limits = { lockKiB, cgroupKiB: hardLimitKiB ?? Number.POSITIVE_INFINITY };
  return { regions, isPinned: launchSecurity?.type === 'sev', isLocked, isPreallocated, limits };
}

/** VmRSS: what is pinned or locked is in memory as a whole, of RAM what was taken at the start, or what the guest has touched. */
export function residentKiB(memory: QemuMemory): number {
  if (memory.isPinned || memory.isLocked) return OWN_KIB + sumKiB(memory.regions);
  const ramKiB = sumKiB(memory.regions.slice(0, 1));
  return OWN_KIB + (memory.isPreallocated ? ramKiB : Math.floor(ramKiB / TOUCHED_SHARE));
}

/** VmLck: mlockall(2) locks the whole process, whoever pins parts of it besides. */
export function lockedKiB(memory: QemuMemory): number {
  return memory.isLocked ? OWN_KIB + sumKiB(memory.regions) : 0;
}

function sumKiB(regions: readonly MemoryRegion[]): number {
  return regions.reduce((sum, region) => sum + region.sizeKiB, 0);
}
