import { lockedKiB, memoryOf, type QemuMemory, residentKiB } from '../qemu/memory.ts';
import type { DomainDefinition } from '../state/domain-xml/definition.ts';
import type { Machine } from '../state/machine.ts';

const CAP_KIB = 512 * 1024;
const FINITE_KIB = 2 * 1024 * 1024;

/** The memory of a QEMU on this host, and what a faulty libvirt makes of the limits that its XML asks for. */
export function limitedMemory(machine: Machine, definition: DomainDefinition): QemuMemory {
  const memory = memoryOf(definition);
  const { limits } = memory;
  if (definition.hardLimitKiB !== undefined && machine.has('hard-limit-ignored'))
    return { ...memory, limits: { lockKiB: Number.POSITIVE_INFINITY, cgroupKiB: Number.POSITIVE_INFINITY } };
  if (definition.hardLimitKiB !== undefined && machine.has('hard-limit-is-memory'))
    return { ...memory, limits: { ...limits, lockKiB: Math.min(limits.lockKiB, definition.memoryKiB) } };
  if (definition.isLocked && definition.memoryKiB > CAP_KIB && machine.has('locked-limit-capped'))
    return { ...memory, limits: { ...limits, lockKiB: Math.min(limits.lockKiB, CAP_KIB) } };
  if (definition.isLocked && definition.memoryKiB > CAP_KIB && machine.has('locked-limit-finite'))
    return { ...memory, limits: { ...limits, lockKiB: Math.min(limits.lockKiB, FINITE_KIB) } };
  return memory;
}

/** What /proc says of a QEMU's memory, KiB. */
export function memoryUse(
  machine: Machine,
  definition: DomainDefinition,
): { readonly residentKiB: number; readonly lockedKiB: number } {
  const memory = limitedMemory(machine, definition);
  return {
    residentKiB:
      memory.isPinned && !memory.isLocked && machine.has('memory-half-pinned')
        ? Math.floor(residentKiB(memory) / 2)
        : residentKiB(memory),
    lockedKiB: memory.isLocked && machine.has('memory-not-locked') ? 0 : lockedKiB(memory),
  };
}

/** Fault failed-start-kills-guests: a start for which memory is missing costs the oldest guest its life. */
export function strikeForMemory(machine: Machine): void {
  if (!machine.has('failed-start-kills-guests')) return;
  machine.domains.active()[0]?.live?.qemu.exit('killed');
}
