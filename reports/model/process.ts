import { readFileSync } from 'node:fs';

/** Start time of a process in clock ticks since boot (proc(5), `stat` field 22): tells a reused pid apart. Undefined where it cannot be read. */
export function startTicksOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The command name, in parentheses, may itself hold spaces and parentheses.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}
