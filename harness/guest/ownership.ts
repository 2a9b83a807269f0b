import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { isProcessAlive, startTicksOf } from '../../reports/model/process.ts';

/** Namespace of our `<metadata>` in domain XML. */
export const METADATA_NAMESPACE = 'https://sev-harness.dev/xmlns/run/1';
const NAME_PREFIX = 'sevh-';

/** The process that answers for what a run creates. */
export interface Owner {
  readonly runId: string;
  /** Machine that runs the harness, which need not be the host under test. */
  readonly machine: string;
  /** Boot and process namespace in which the pid means that process: names alone do not tell two containers apart. */
  readonly place: string;
  readonly pid: number;
  /** Start time of that process in clock ticks since boot (proc(5), `stat` field 22): tells a reused pid apart. */
  readonly startTicks: string;
}

/** A run id: sorts by time, and is safe in a domain name. */
export function createRunId(nowMs: number, randomHex: string): string {
  return `${nowMs.toString(36)}${randomHex}`;
}

export function currentOwner(runId: string): Owner {
  return {
    runId,
    machine: hostname(),
    place: currentPlace(),
    pid: process.pid,
    startTicks: startTicksOf(process.pid) ?? '',
  };
}

export type OwnerState = 'alive' | 'dead' | 'elsewhere';

/** Whether the owner still runs; `elsewhere` when it ran where we cannot look: on another machine, or before this boot. */
export function ownerState(owner: Owner): OwnerState {
  if (owner.place === '' || owner.place !== currentPlace()) return 'elsewhere';
  return isProcessAlive(owner.pid, owner.startTicks) ? 'alive' : 'dead';
}

/** Empty where there is no /proc. */
function currentPlace(): string {
  try {
    const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${bootId} ${readlinkSync('/proc/self/ns/pid')}`;
  } catch {
    return '';
  }
}

/** `sevh-<runId>-<role>`: the name of everything that a run creates on a host. */
export function guestName(runId: string, role: string): string {
  return `${NAME_PREFIX}${runId}-${role}`;
}

export function isOurName(name: string, runId?: string): boolean {
  return name.startsWith(runId === undefined ? NAME_PREFIX : `${NAME_PREFIX}${runId}-`);
}

/** The run that made what has this name; undefined for a name that is not ours. */
export function runIdOfName(name: string): string | undefined {
  return /^sevh-([0-9a-z]+)-/.exec(name)?.[1];
}
