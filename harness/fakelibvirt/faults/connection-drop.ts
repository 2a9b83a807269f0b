import type { Call } from '../server/call.ts';

const dropped = new WeakSet<object>();

/**
 * Fault connection-drops-in-mid-fill: true once in the life of a host, on the start that comes in when half of the SEV
 * ASIDs are taken; the connection is closed without an answer.
 */
export function dropsConnectionNow({ machine, connection }: Call): boolean {
  const { first, last } = machine.kvm.allocator.ranges.sev;
  if (machine.kvm.misc.current('sev') < Math.floor((last - first + 1) / 2)) return false;
  if (!machine.has('connection-drops-in-mid-fill') || dropped.has(machine)) return false;
  dropped.add(machine);
  connection.close('fault connection-drops-in-mid-fill');
  return true;
}
