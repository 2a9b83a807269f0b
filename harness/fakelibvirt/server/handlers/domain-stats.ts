import type { TypedParam } from '../../../libvirt/protocol/typed-params.ts';
import { memoryUse } from '../../faults/memory-limits.ts';
import { refusal } from '../../refusal.ts';
import type { Domain, LiveDomain } from '../../state/domain.ts';
import { deviceElements } from '../../state/domain-xml/devices.ts';
import { requireActive } from '../../state/lifecycle.ts';
import type { Machine } from '../../state/machine.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';
import { cpuTimeNs } from './domain-info.ts';
import { modificationImpact } from './domain-lookup.ts';

/** VIR_DOMAIN_MEMORY_STAT_* */
const MEMORY_STAT = { actual: 6, rss: 7, lastUpdate: 9 } as const;
/** VIR_DOMAIN_STATS_* */
const STATS = { state: 1, cpuTotal: 2, balloon: 4, vcpu: 8, interface: 16, block: 32, dirtyrate: 512 } as const;
/** VIR_CONNECT_GET_ALL_DOMAINS_STATS_* that select domains, with their opposite. */
const SELECT = { active: 1, inactive: 2, persistent: 4, transient: 8 } as const;

export const domainStatsHandlers: RemoteHandlers = {
  domainMemoryStats: ({ dom, maxStats, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainMemoryStats');
    const live = requireActive(machine.domains.resolve(dom));
    const stats = [
      { tag: MEMORY_STAT.actual, val: BigInt(live.balloonKiB) },
      { tag: MEMORY_STAT.lastUpdate, val: 0n },
      { tag: MEMORY_STAT.rss, val: BigInt(rssKiB(machine, live)) },
    ];
    return { stats: stats.slice(0, maxStats) };
  },
  domainSetMemoryFlags: ({ dom, memory, flags }, { machine }) => {
    checkFlags(flags, 7, 'qemuDomainSetMemoryFlags');
    const domain = machine.domains.resolve(dom);
    const { live } = modificationImpact(domain, flags);
    const maximum = BigInt(domain.current?.memoryKiB ?? 0);
    if (memory > maximum) throw refusal('INVALID_ARG', 'QEMU', 'cannot set memory higher than max memory');
    // The model guest has a balloon driver: it follows at once.
    if (live && domain.live) domain.live.balloonKiB = Number(memory);
    return {};
  },
  domainBlockStats: ({ dom, path }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    requireActive(domain);
    if (!hasDisk(domain, path)) throw refusal('INVALID_ARG', 'QEMU', `invalid path: ${path}`);
    return { rdReq: 0n, rdBytes: 0n, wrReq: 0n, wrBytes: 0n, errs: -1n };
  },
  domainGetBlockInfo: ({ dom, path, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainGetBlockInfo');
    const domain = machine.domains.resolve(dom);
    if (!hasDisk(domain, path)) throw refusal('INVALID_ARG', 'QEMU', `invalid path ${path} not assigned to domain`);
    return { allocation: 0n, capacity: DISK_BYTES, physical: DISK_BYTES };
  },
  connectGetAllDomainStats: ({ doms, stats, flags }, { machine }) => {
    const chosen =
      doms.length > 0
        ? doms.map((dom) => machine.domains.resolve(dom))
        : machine.domains.all().filter((domain) => isSelected(domain, flags));
    const wanted = stats === 0 ? 0xffffffff : stats;
    return { retStats: chosen.map((domain) => ({ dom: domain.ref, params: statsOf(machine, domain, wanted) })) };
  },
};

/** Disks of the model guest are as large as an empty cloud image. */
const DISK_BYTES = 10_737_418_240n;

function rssKiB(machine: Machine, { definition }: LiveDomain): number {
  return memoryUse(machine, definition).residentKiB;
}

function hasDisk(domain: Domain, path: string): boolean {
  return (domain.current?.disks ?? []).some((disk) => disk.target === path || (path !== '' && disk.source === path));
}

function isSelected(domain: Domain, flags: number): boolean {
  const asks = (bit: number) => (flags & bit) !== 0;
  const matches = (yes: number, no: number, is: boolean) => (!asks(yes) && !asks(no)) || (is ? asks(yes) : asks(no));
  return (
    matches(SELECT.active, SELECT.inactive, domain.isActive) &&
    matches(SELECT.persistent, SELECT.transient, domain.persistent !== undefined)
  );
}

function statsOf(machine: Machine, domain: Domain, wanted: number): TypedParam[] {
  const { live, current } = domain;
  const params: TypedParam[] = [];
  const int = (field: string, value: number) => params.push({ field, type: 'int', value });
  const uint = (field: string, value: number) => params.push({ field, type: 'uint', value });
  const ullong = (field: string, value: bigint | number) =>
    params.push({ field, type: 'ullong', value: BigInt(value) });
  const has = (bit: number) => (wanted & bit) !== 0;
  if (has(STATS.state)) {
    int('state.state', domain.state[0]);
    int('state.reason', domain.state[1]);
  }
  const cpuTime = cpuTimeNs(machine, domain);
  if (has(STATS.cpuTotal) && live) {
    ullong('cpu.time', cpuTime);
    ullong('cpu.user', (cpuTime * 9n) / 10n);
    ullong('cpu.system', cpuTime / 10n);
  }
  if (has(STATS.balloon)) {
    ullong('balloon.current', live?.balloonKiB ?? current?.currentMemoryKiB ?? 0);
    ullong('balloon.maximum', current?.memoryKiB ?? 0);
    if (live) ullong('balloon.last-update', 0);
    if (live) ullong('balloon.rss', rssKiB(machine, live));
  }
  const vcpus = current?.vcpus ?? 0;
  if (has(STATS.vcpu)) {
    uint('vcpu.current', vcpus);
    uint('vcpu.maximum', current?.maxVcpus ?? 0);
    for (let index = 0; live && index < vcpus; index++) {
      int(`vcpu.${index}.state`, 1);
      ullong(`vcpu.${index}.time`, cpuTime / BigInt(vcpus));
    }
  }
  if (has(STATS.interface) && live) uint('net.count', deviceElements(live.tree, 'interface').length);
  if (has(STATS.block)) {
    const disks = current?.disks ?? [];
    uint('block.count', disks.length);
    for (const [index, disk] of disks.entries()) {
      params.push({ field: `block.${index}.name`, type: 'string', value: disk.target });
      if (disk.source) params.push({ field: `block.${index}.path`, type: 'string', value: disk.source });
    }
  }
  if (has(STATS.dirtyrate) && live) int('dirtyrate.calc_status', 0);
  return params;
}
