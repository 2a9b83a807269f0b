import { known } from '../readings.ts';
import { type PreflightCheck, unread } from '../row.ts';

/** cgroup v1 writes "no limit" as the largest number of pages. */
const V1_UNLIMITED = 2n ** 62n;

function isUnlimited(text: string | undefined): boolean {
  return text === 'max' || (text !== undefined && /^\d+$/.test(text) && BigInt(text) >= V1_UNLIMITED);
}

export const memoryChecks: readonly PreflightCheck[] = [
  {
    id: 'host.memlock',
    title: 'Locked memory',
    source: '/proc/PID/limits and CapEff of the libvirt daemon; nova specification, "Memory locking and accounting"',
    evaluate: ({ memoryLock, isSession }) => {
      if (memoryLock.outcome !== 'read') return unread(memoryLock);
      const { daemon, soft, mayRaise = !isSession } = memoryLock.value;
      const found = `${daemon}: ${soft === 'unlimited' ? soft : `${soft} bytes`}`;
      if (soft === 'unlimited' || mayRaise)
        return {
          outcome: 'pass',
          found,
          because: 'libvirt raises the limit of each guest by its <locked/> or <hard_limit>',
        };
      return {
        outcome: 'warn',
        found,
        expected: 'at least the memory of the guests',
        because: 'the daemon may not raise the limit (CAP_SYS_RESOURCE), and all memory of a SEV guest is locked',
        hint: isSession
          ? 'Use qemu:///system, or raise memlock for the user in /etc/security/limits.d.'
          : 'Give the container or the service of the daemon CAP_SYS_RESOURCE, or memlock without limit.',
      };
    },
  },
  {
    id: 'host.machine-slice',
    title: 'Memory limit of all guests together',
    source: 'memory.high and memory.max of machine.slice; the article, "Memory"',
    evaluate: ({ machineSlice: { high, max } }) => {
      if (max.outcome === 'unknown') return unread(max);
      if (max.outcome === 'absent')
        return { outcome: 'n/a', because: 'machine.slice is made when the first guest starts' };
      const found = `MemoryMax ${max.value}${high.outcome === 'read' ? `, MemoryHigh ${high.value}` : ''}`;
      if (!isUnlimited(max.value) || !isUnlimited(known(high) ?? 'max')) return { outcome: 'pass', found };
      if (high.outcome === 'unknown') return { ...unread(high), found };
      return {
        outcome: 'warn',
        found,
        because: 'SEV guests lock their memory without limit, so a malicious QEMU could lock all of the host',
        hint: 'systemctl set-property machine.slice MemoryHigh=<value> (or MemoryMax, which involves the OOM killer).',
      };
    },
  },
  {
    id: 'host.ksm',
    title: 'Kernel same-page merging (KSM)',
    source: '/sys/kernel/mm/ksm/run; nova specification, "Performance Impact"',
    evaluate: ({ ksm }) => {
      if (ksm.outcome === 'absent') return { outcome: 'n/a', because: 'this kernel has no KSM' };
      if (ksm.outcome !== 'read') return unread(ksm);
      if (ksm.value !== '1') return { outcome: 'pass', found: 'off' };
      return { outcome: 'pass', found: 'on', because: 'KSM finds no equal pages in the memory of SEV guests' };
    },
  },
];
