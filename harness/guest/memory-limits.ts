import path from 'node:path';
import type { Host } from '../host/host.ts';
import { readMeminfo } from '../host/memory.ts';
import { findQemu } from '../host/qemu-process.ts';
import type { Launch, RunningGuest } from './running.ts';

/** The memory of a guest's QEMU, as its host's files tell it; KiB, Infinity where there is no limit. */
export interface QemuMemory {
  /** VmLck: what mlockall(2) locks. KVM's pinning of encrypted pages is counted in neither VmLck nor VmPin. */
  readonly lockedKiB: number;
  readonly residentKiB: number;
  /** RLIMIT_MEMLOCK. */
  readonly lockLimitKiB: number;
  /** Its cgroup, from the root of the hierarchy; absent where it has none of its own. */
  readonly cgroup: string | undefined;
  /** The least memory.max on the way there. */
  readonly cgroupLimitKiB: number;
}

type Unknown = { readonly outOfReach: string };

/** Reads /proc and /sys/fs/cgroup on the host; `outOfReach` says what could not be read. */
export async function readQemuMemory(host: Host, guest: RunningGuest): Promise<QemuMemory | Unknown> {
  const found = await findQemu(host, guest.name);
  if ('outOfReach' in found) return found;
  const files = ['status', 'limits', 'cgroup'].map((file) => `/proc/${found.pid}/${file}`);
  const [status, limits, cgroup] = await Promise.all(files.map((file) => readText(host, file)));
  if (status === undefined || limits === undefined) return { outOfReach: `${files[0]} or ${files[1]} cannot be read` };
  const kiB = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? Number.NaN);
  const limit = /^Max locked memory\s+(\S+)/m.exec(limits)?.[1];
  const own = /^0::(\/\S+)$/m.exec(cgroup ?? '')?.[1];
  return {
    lockedKiB: kiB('VmLck'),
    residentKiB: kiB('VmRSS'),
    lockLimitKiB: limit === 'unlimited' ? Number.POSITIVE_INFINITY : Number(limit) / 1024,
    cgroup: own,
    cgroupLimitKiB: own === undefined ? Number.POSITIVE_INFINITY : await leastLimit(host, own),
  };
}

/** memory.max of a cgroup and those above it: the least counts. */
async function leastLimit(host: Host, cgroup: string): Promise<number> {
  const texts: (string | undefined)[] = [];
  for (let at = cgroup; at !== '/'; at = path.posix.dirname(at)) {
    texts.push(await readText(host, `/sys/fs/cgroup${at}/memory.max`));
  }
  const limits = texts.map((text) =>
    /^\d+$/.test(text?.trim() ?? '') ? Number(text) / 1024 : Number.POSITIVE_INFINITY,
  );
  return Math.min(...limits, Number.POSITIVE_INFINITY);
}

/** memory.high and memory.max of the slice that holds all guests, as the host's files have them. */
export async function readSliceLimits(host: Host): Promise<Readonly<Record<'memory.high' | 'memory.max', string>>> {
  const [high, max] = await Promise.all(
    ['high', 'max'].map((name) => readText(host, `/sys/fs/cgroup/machine.slice/memory.${name}`)),
  );
  return { 'memory.high': high?.trim() ?? 'unknown', 'memory.max': max?.trim() ?? 'unknown' };
}

/** A size of RAM that the kernel refuses at once, MiB: more than the host has with its swap; or why there is none. */
export async function impossibleMemoryMiB(host: Host): Promise<number | { readonly because: string }> {
  const [meminfo, overcommit] = await Promise.all([
    readMeminfo(host),
    readText(host, '/proc/sys/vm/overcommit_memory'),
  ]);
  if (meminfo === undefined || overcommit === undefined) return { because: "the host's memory cannot be read" };
  // Mode 1 grants everything, and an encrypted guest would then drive the host out of memory.
  if (overcommit.trim() === '1')
    return { because: 'vm.overcommit_memory is 1: the kernel grants what it does not have' };
  const kiB = (name: string) => meminfo.get(name) ?? 0;
  return Math.ceil((kiB('MemTotal') + kiB('SwapTotal')) / 1024) + 1024;
}

/** What became of a guest whose memory may be too small: it runs, was refused, or was killed, with the words for it. */
export interface LimitVerdict {
  readonly end: 'runs' | 'refused' | 'killed' | 'ended without a reason';
  readonly words: string;
}

const NO_MEMORY = /Cannot allocate memory|Resource temporarily unavailable/;
const SETTLE_MS = 300;

/** Tells a refusal of the kernel from the OOM killer of a cgroup, which shows in the kernel's log alone. */
export async function howLimitEnds(host: Host, launch: Launch, since: ReadonlySet<string>): Promise<LimitVerdict> {
  if (launch.outcome === 'refused' && NO_MEMORY.test(launch.refusal.text)) {
    return { end: 'refused', words: launch.refusal.text };
  }
  if (launch.outcome === 'started') {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    if ((await launch.guest.currentState()) === 'running') return { end: 'runs', words: 'the guest runs' };
  }
  const killed = (await kernelLogLines(host)).find((line) => !since.has(line) && /Killed process/.test(line));
  if (killed !== undefined) return { end: 'killed', words: killed };
  return {
    end: 'ended without a reason',
    words: launch.outcome === 'refused' ? launch.refusal.text : 'neither libvirt nor the kernel says why',
  };
}

/** The kernel's log: `dmesg`, else the file that some systems keep; empty where neither can be read. */
export async function kernelLogLines(host: Host): Promise<readonly string[]> {
  const live = await host.shell.run(['dmesg']);
  const text = live.outcome === 'read' ? Buffer.from(live.bytes).toString() : await readText(host, '/var/log/dmesg');
  return text?.split('\n') ?? [];
}

async function readText(host: Host, file: string): Promise<string | undefined> {
  const reading = await host.shell.readFile(file);
  return reading.outcome === 'read' ? Buffer.from(reading.bytes).toString() : undefined;
}
