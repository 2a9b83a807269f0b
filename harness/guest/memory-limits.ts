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

const GUESTS_SLICE = '/sys/fs/cgroup/machine.slice';

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
    ['high', 'max'].map((name) => readText(host, `${GUESTS_SLICE}/memory.${name}`)),
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

/** What the kernel keeps of processes that the OOM killer of a cgroup ended. */
export interface OomRecord {
  /** Lines of its log, which not every host shows to users, or why they cannot be read. */
  readonly log: readonly string[] | { readonly because: string };
  /** How many there were in the slice of all guests, which every user may read where there is one. */
  readonly kills: number | undefined;
}

export async function readOomRecord(host: Host): Promise<OomRecord> {
  const [log, events] = await Promise.all([readKernelLog(host), readText(host, `${GUESTS_SLICE}/memory.events`)]);
  const kills = /^oom_kill (\d+)$/m.exec(events ?? '')?.[1];
  return { log, kills: kills === undefined ? undefined : Number(kills) };
}

/** The log as it is now: of an emulated host, which runs no commands, a file; on a real one that file is of its boot. */
async function readKernelLog(host: Host): Promise<OomRecord['log']> {
  const reading = await (host.kind === 'emulated' ? host.shell.readFile('/var/log/dmesg') : host.shell.run(['dmesg']));
  if (reading.outcome === 'read') return Buffer.from(reading.bytes).toString().split('\n');
  return { because: reading.outcome === 'absent' ? 'the host has no dmesg' : reading.because };
}

/** What became of a guest whose memory may be too small, with the words for it. */
export interface LimitVerdict {
  readonly end: 'runs' | 'refused' | 'killed' | 'ended without a reason' | 'cannot be told';
  readonly words: string;
}

const NO_MEMORY = /Cannot allocate memory|Resource temporarily unavailable/;
const SETTLE_MS = 300;

/** Tells a refusal of the kernel from the OOM killer of a cgroup, of which libvirt knows nothing. */
export async function howLimitEnds(host: Host, launch: Launch, before: OomRecord): Promise<LimitVerdict> {
  if (launch.outcome === 'refused' && NO_MEMORY.test(launch.refusal.text)) {
    return { end: 'refused', words: launch.refusal.text };
  }
  if (launch.outcome === 'started') {
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    if ((await launch.guest.currentState()) === 'running') return { end: 'runs', words: 'the guest runs' };
  }
  const { log, kills } = await readOomRecord(host);
  const killed = newKill(before, { log, kills });
  if (killed !== undefined) return { end: 'killed', words: killed };
  const words = launch.outcome === 'refused' ? launch.refusal.text : 'neither libvirt nor the kernel says why';
  if (!('because' in log)) return { end: 'ended without a reason', words };
  return {
    end: 'cannot be told',
    words: `the kernel's log, which says whom the OOM killer ended, cannot be read (${log.because}): run as root on the host. ${words}`,
  };
}

function newKill(before: OomRecord, now: OomRecord): string | undefined {
  if (now.kills !== undefined && before.kills !== undefined && now.kills > before.kills)
    return `oom_kill in ${GUESTS_SLICE}/memory.events went from ${before.kills} to ${now.kills}`;
  if ('because' in before.log || 'because' in now.log) return undefined;
  const since = new Set(before.log);
  return now.log.find((line) => !since.has(line) && /Killed process/.test(line));
}

async function readText(host: Host, file: string): Promise<string | undefined> {
  const reading = await host.shell.readFile(file);
  return reading.outcome === 'read' ? Buffer.from(reading.bytes).toString() : undefined;
}
