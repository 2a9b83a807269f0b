import { readFileSync } from 'node:fs';
import { isSystemError } from '../../core/errors.ts';

/** Start time of a process in clock ticks since boot (proc(5), `stat` field 22): tells a reused pid apart. Undefined where it cannot be read. */
export function startTicksOf(pid: number): string | undefined {
  return readStat(pid)?.startTicks;
}

/**
 * Whether the process that was started then still runs. One that has ended and waits for its parent to ask how is dead, which
 * in a container may last for ever; of one that `/proc` hides from us (`hidepid`), the pid has to do.
 */
export function isProcessAlive(pid: number, startTicks: string): boolean {
  if (!Number.isInteger(pid) || pid < 1) return false;
  const found = readStat(pid);
  if (found !== undefined) return !ENDED.has(found.state) && (startTicks === '' || found.startTicks === startTicks);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isSystemError(error, 'EPERM');
  }
}

const ENDED: ReadonlySet<string> = new Set(['Z', 'X']);

function readStat(pid: number): { readonly state: string; readonly startTicks: string } | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command name, in parentheses, may itself hold spaces and parentheses.
    const [state = '', ...rest] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return { state, startTicks: rest[18] ?? '' };
  } catch {
    return undefined;
  }
}
