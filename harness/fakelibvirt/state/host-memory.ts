import { limitedMemory, memoryUse } from '../faults/memory-limits.ts';
import type { LiveDomain } from './domain.ts';
import { UNLIMITED_KIB } from './domain-xml/values.ts';
import type { Machine } from './machine.ts';
import { memoryLimit } from './memory-tuning.ts';

/** What the host keeps for itself. */
const HOST_USED_KIB = 4_000_000;

/** What the host has left for guests, if each took all of its RAM. */
export function freeMemoryKiB(machine: Machine): number {
  const guests = machine.domains.active().reduce((sum, { live }) => sum + (live?.definition.memoryKiB ?? 0), 0);
  return Math.max(0, machine.profile.memoryKiB - HOST_USED_KIB - guests);
}

/** The cgroup of a QEMU below /sys/fs/cgroup, as systemd-machined and libvirt name it. */
function cgroupOf({ id }: LiveDomain, name: string, machine: Machine): string {
  const scope = `machine-qemu\\x2d${id}\\x2d${name.replaceAll('-', '\\x2d')}.scope`;
  return `/${machine.has('outside-machine-slice') ? 'system.slice' : 'machine.slice'}/${scope}/libvirt`;
}

const bytesOrMax = (kiB: number) => (Number.isFinite(kiB) ? String(kiB * 1024) : 'max');

/** Files below /proc and /sys/fs/cgroup that tell of a QEMU's memory; undefined for another path. */
export function memoryFile(machine: Machine, path: string): string | undefined {
  const slice = /^\/sys\/fs\/cgroup\/machine\.slice\/memory\.(max|high|current)$/.exec(path)?.[1];
  if (slice !== undefined) return `${slice === 'current' ? usedBytes(machine) : 'max'}\n`;
  const process = /^\/proc\/(\d+)\/(status|limits|cgroup)$/.exec(path);
  for (const { name, live } of machine.domains.active()) {
    if (live === undefined) continue;
    const cgroup = cgroupOf(live, name, machine);
    if (process !== null && Number(process[1]) === live.qemu.pid) return processFile(machine, live, process[2], cgroup);
    const own = path.startsWith(`/sys/fs/cgroup${cgroup}/memory.`) ? path.split('.').at(-1) : undefined;
    if (own !== undefined) return cgroupFile(machine, live, own);
  }
  return undefined;
}

function usedBytes(machine: Machine): number {
  const uses = machine.domains.active().flatMap(({ live }) => live ?? []);
  return uses.reduce((sum, live) => sum + memoryUse(machine, live.definition).residentKiB * 1024, 0);
}

function cgroupFile(machine: Machine, live: LiveDomain, file: string): string | undefined {
  switch (file) {
    case 'max':
      return `${bytesOrMax(limitedMemory(machine, live.definition).limits.cgroupKiB)}\n`;
    case 'high': {
      const softKiB = memoryLimit(live.definition, 'soft_limit');
      return `${softKiB < UNLIMITED_KIB ? softKiB * 1024n : 'max'}\n`;
    }
    case 'current':
      return `${memoryUse(machine, live.definition).residentKiB * 1024}\n`;
    default:
      return undefined;
  }
}

/** Lines of proc(5) that concern memory; the kernel prints more of each file. */
function processFile(machine: Machine, live: LiveDomain, file: string | undefined, cgroup: string): string {
  const { residentKiB, lockedKiB } = memoryUse(machine, live.definition);
  const line = (name: string, kiB: number) => `${name}:\t${String(kiB).padStart(8)} kB\n`;
  switch (file) {
    case 'cgroup':
      return `0::${cgroup}/emulator\n`;
    case 'limits': {
      // Set when the process started, whatever became of the hard limit.
      const { lockKiB } = limitedMemory(machine, live.qemu.definition).limits;
      const limit = (Number.isFinite(lockKiB) ? String(lockKiB * 1024) : 'unlimited').padEnd(20);
      return `Limit                     Soft Limit           Hard Limit           Units     \nMax locked memory         ${limit} ${limit} bytes     \n`;
    }
    default:
      return `Name:\tqemu-system-x86\nPid:\t${live.qemu.pid}\n${line('VmLck', lockedKiB)}${line('VmPin', 0)}${line('VmRSS', residentKiB)}`;
  }
}
