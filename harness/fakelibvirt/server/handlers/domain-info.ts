import { invalidArgument, refusal } from '../../refusal.ts';
import type { Domain } from '../../state/domain.ts';
import type { Machine } from '../../state/machine.ts';
import { formatXml } from '../../state/xml/format.ts';
import { child } from '../../state/xml/tree.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';
import { modificationImpact } from './domain-lookup.ts';

const XML = { secure: 1, inactive: 2, updateCpu: 4, migratable: 8 } as const;
const VCPU = { maximum: 4, guest: 8 } as const;

export const domainInfoHandlers: RemoteHandlers = {
  domainGetXmlDesc: ({ dom, flags }, { machine }) => {
    checkFlags(flags, XML.secure | XML.inactive | XML.updateCpu | XML.migratable, 'qemuDomainGetXMLDesc');
    return { xml: domainXml(machine.domains.resolve(dom), (flags & XML.inactive) !== 0) };
  },
  domainGetInfo: ({ dom }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    const definition = domain.current;
    return {
      state: domain.state[0],
      maxMem: BigInt(definition?.memoryKiB ?? 0),
      memory: BigInt(domain.live?.balloonKiB ?? definition?.currentMemoryKiB ?? 0),
      nrVirtCpu: definition?.vcpus ?? 0,
      cpuTime: cpuTimeNs(machine, domain),
    };
  },
  domainGetState: ({ dom, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainGetState');
    const [state, reason] = machine.domains.resolve(dom).state;
    return { state, reason };
  },
  domainGetOsType: ({ dom }, { machine }) => {
    machine.domains.resolve(dom);
    return { type: 'hvm' };
  },
  domainGetMaxMemory: ({ dom }, { machine }) => ({
    memory: BigInt(machine.domains.resolve(dom).current?.memoryKiB ?? 0),
  }),
  domainGetMaxVcpus: ({ dom }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    modificationImpact(domain, 1);
    return { num: domain.live?.definition.maxVcpus ?? 0 };
  },
  domainGetVcpusFlags: ({ dom, flags }, { machine }) => {
    checkFlags(flags, 15, 'qemuDomainGetVcpusFlags');
    const domain = machine.domains.resolve(dom);
    const { config } = modificationImpact(domain, flags);
    if ((flags & VCPU.guest) !== 0) throw refusal('ARGUMENT_UNSUPPORTED', 'QEMU', 'QEMU guest agent is not configured');
    const definition = config ? domain.persistent : domain.live?.definition;
    return { num: ((flags & VCPU.maximum) !== 0 ? definition?.maxVcpus : definition?.vcpus) ?? 0 };
  },
  domainGetVcpus: ({ dom, maxinfo, maplen }, { machine }) => {
    assertVcpuRoom(maxinfo, maplen);
    const domain = machine.domains.resolve(dom);
    if (domain.live === undefined) {
      throw refusal('OPERATION_INVALID', 'QEMU', 'cannot retrieve vcpu information for inactive domain');
    }
    const count = Math.min(domain.live.definition.vcpus, maxinfo);
    const info = Array.from({ length: count }, (_, number) => ({
      number,
      state: 1,
      cpuTime: cpuTimeNs(machine, domain) / BigInt(count),
      cpu: number,
    }));
    return { info, cpumaps: new Uint8Array(maxinfo * maplen).fill(0xff, 0, count * maplen) };
  },
  domainGetSecurityLabel: ({ dom }, { machine }) => {
    machine.domains.resolve(dom);
    return { label: '', enforcing: 0 };
  },
  domainGetMessages: ({ dom, flags }, { machine }) => {
    checkFlags(flags, 3, 'qemuDomainGetMessages');
    machine.domains.resolve(dom);
    return { msgs: [] };
  },
  domainGetTime: ({ dom }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    modificationImpact(domain, 1);
    throw refusal('ARGUMENT_UNSUPPORTED', 'QEMU', 'QEMU guest agent is not configured');
  },
};

/** REMOTE_VCPUINFO_MAX and REMOTE_CPUMAPS_MAX of remote_protocol.x */
const MOST_VCPUS = 16_384;
const MOST_MAP_BYTES = 8_388_608;

/** In the order and the words of libvirt 9.0.0, which allocates what the client asks for. */
function assertVcpuRoom(maxinfo: number, maplen: number): void {
  const refuse = (why: string) => refusal('INTERNAL_ERROR', 'RPC', why);
  if (maxinfo < 0 || maplen < 0) throw refuse('maxinfo must be non-negative');
  if (maxinfo > MOST_VCPUS) throw refuse('maxinfo > REMOTE_VCPUINFO_MAX');
  if (maxinfo * maplen > MOST_MAP_BYTES) throw refuse('maxinfo * maplen > REMOTE_CPUMAPS_MAX');
  if (maxinfo === 0)
    throw invalidArgument('DOMAIN', 'info in virDomainGetVcpus must not be NULL', 'virDomainGetVcpus', 'info');
}

export function domainXml(domain: Domain, isInactive: boolean): string {
  const { live, persistent } = domain;
  if (live === undefined || isInactive) return xmlOf((persistent ?? live?.definition)?.tree);
  const current = child(live.tree, 'currentMemory');
  if (current) current.children.splice(0, current.children.length, String(live.balloonKiB));
  return xmlOf(live.tree);
}

function xmlOf(tree: Parameters<typeof formatXml>[0] | undefined): string {
  return tree === undefined ? '' : formatXml(tree);
}

const START_UP_NS = 200_000_000n;
const RUNNING_SHARE = 20_000n;

/** A guest that idles: what its start cost, and two per cent of a CPU since. */
export function cpuTimeNs(machine: Machine, domain: Domain): bigint {
  if (domain.live === undefined) return 0n;
  return START_UP_NS + BigInt(Math.max(0, Math.round(machine.clock.nowMs() - domain.live.startedAtMs))) * RUNNING_SHARE;
}
