import { limitedMemory, memoryUse } from '../faults/memory-limits.ts';
import { cgroupKillLog } from '../kernel/pinning.ts';
import { refusal } from '../refusal.ts';
import type { Domain } from './domain.ts';
import type { DomainDefinition } from './domain-xml/definition.ts';
import { UNLIMITED_KIB } from './domain-xml/values.ts';
import { type Edit, editLive, editPersistent, type Target } from './edit.ts';
import type { Machine } from './machine.ts';
import { child, element, find, insertAfter, text } from './xml/tree.ts';

/** Limits of `<memtune>` that libvirt lets change, in its order. */
export const MEMORY_LIMITS = ['hard_limit', 'soft_limit', 'swap_hard_limit'] as const;
export type MemoryLimit = (typeof MEMORY_LIMITS)[number];

/** What a definition sets, KiB. */
export function memoryLimit(definition: DomainDefinition | undefined, limit: MemoryLimit): bigint {
  const kiB = text(find(definition?.tree, 'memtune', limit));
  return kiB === undefined ? UNLIMITED_KIB : BigInt(kiB);
}

/**
 * `virDomainCgroupSetMemoryLimitParameters`, with what the kernel does about a running QEMU.
 *
 * Its memory.max changes and its RLIMIT_MEMLOCK does not: that is set when it starts.
 */
export function limitMemory(
  machine: Machine,
  domain: Domain,
  target: Target,
  wanted: ReadonlyMap<MemoryLimit, bigint>,
): void {
  // libvirt compares with what runs, even where only the next start is changed.
  const next = (limit: MemoryLimit) => wanted.get(limit) ?? memoryLimit(domain.current, limit);
  const isAboutHardLimit = wanted.has('hard_limit') || wanted.has('swap_hard_limit');
  if (isAboutHardLimit && next('hard_limit') > next('swap_hard_limit')) {
    const text = 'memory hard_limit tunable value must be lower than or equal to swap_hard_limit';
    throw refusal('INVALID_ARG', 'DOMAIN', text);
  }
  const beyond = [...wanted.values()].find((kiB) => kiB > UNLIMITED_KIB);
  if (target.live && beyond !== undefined)
    throw refusal('INVALID_ARG', 'CGROUP', `Memory '${beyond}' must be less than ${UNLIMITED_KIB}`);
  if (target.live) editLive(machine, domain, setLimits(wanted));
  if (target.config) editPersistent(machine, domain, setLimits(wanted));
  if (target.live) killBeyondLimit(machine, domain);
}

function setLimits(wanted: ReadonlyMap<MemoryLimit, bigint>): Edit {
  return (root) => {
    if (child(root, 'memtune') === undefined) insertAfter(root, ['memory', 'currentMemory'], element('memtune'));
    const limits = child(root, 'memtune')?.children ?? [];
    for (const [limit, kiB] of wanted) {
      const before = limits.findIndex((node) => typeof node !== 'string' && node.name === limit);
      if (before >= 0) limits.splice(before, 1);
      if (kiB < UNLIMITED_KIB) limits.push(element(limit, { unit: 'KiB' }, [String(kiB)]));
    }
  };
}

/** No page of a QEMU can be reclaimed on a host without swap: a memory.max below what it uses ends it. */
function killBeyondLimit(machine: Machine, { live }: Domain): void {
  if (live === undefined) return;
  const { residentKiB } = memoryUse(machine, live.definition);
  if (residentKiB <= limitedMemory(machine, live.definition).limits.cgroupKiB) return;
  machine.kernelLog.push(cgroupKillLog(live.qemu.pid, residentKiB));
  live.qemu.exit('killed');
}
