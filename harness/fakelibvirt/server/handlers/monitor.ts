import { runMonitorCommand } from '../../qemu/monitor.ts';
import { requireActive } from '../../state/lifecycle.ts';
import type { QemuHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';
import { noAgent } from './domain-power.ts';

const MONITOR_COMMAND_HMP = 1;

export const monitorHandlers: QemuHandlers = {
  domainMonitorCommand: ({ dom, cmd, flags }, { machine }) => {
    checkFlags(flags, MONITOR_COMMAND_HMP, 'qemuDomainQemuMonitorCommandWithFiles');
    const domain = machine.domains.resolve(dom);
    const live = requireActive(domain);
    return { result: runMonitorCommand(machine, domain, live, cmd, (flags & MONITOR_COMMAND_HMP) !== 0) };
  },
  domainAgentCommand: ({ dom }, { machine }) => {
    requireActive(machine.domains.resolve(dom));
    throw noAgent();
  },
};
