import { refusal } from '../../refusal.ts';
import { rebootDomain, resetDomain, resumeDomain, shutdownDomain, suspendDomain } from '../../state/power.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';

/** VIR_DOMAIN_SHUTDOWN_* and VIR_DOMAIN_REBOOT_*, of which QEMU knows the first two. */
const BY_AGENT = 2;
const KNOWN_FLAGS = 3;

export const domainPowerHandlers: RemoteHandlers = {
  domainSuspend: async ({ dom }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    await domain.withJob(async () => suspendDomain(machine, domain));
    return {};
  },
  domainResume: async ({ dom }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    await domain.withJob(async () => resumeDomain(machine, domain));
    return {};
  },
  domainShutdown: async ({ dom }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    await domain.withJob(async () => shutdownDomain(machine, domain));
    return {};
  },
  domainShutdownFlags: async ({ dom, flags }, { machine }) => {
    checkFlags(flags, KNOWN_FLAGS, 'qemuDomainShutdownFlags');
    const domain = machine.domains.resolve(dom);
    if (flags === BY_AGENT && domain.isActive) throw noAgent();
    await domain.withJob(async () => shutdownDomain(machine, domain));
    return {};
  },
  domainReboot: async ({ dom, flags }, { machine }) => {
    checkFlags(flags, KNOWN_FLAGS, 'qemuDomainReboot');
    const domain = machine.domains.resolve(dom);
    if (flags === BY_AGENT && domain.isActive) throw noAgent();
    await domain.withJob(async () => rebootDomain(machine, domain));
    return {};
  },
  domainReset: async ({ dom, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainReset');
    const domain = machine.domains.resolve(dom);
    await domain.withJob(async () => resetDomain(machine, domain));
    return {};
  },
};

/** No emulated guest runs the agent. */
export function noAgent() {
  return refusal('ARGUMENT_UNSUPPORTED', 'QEMU', 'QEMU guest agent is not configured');
}
