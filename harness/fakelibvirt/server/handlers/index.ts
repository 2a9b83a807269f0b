import type { EmulatorHandlers, QemuHandlers, RemoteHandlers } from '../dispatch.ts';
import { connectHandlers } from './connect.ts';
import { domainDefineHandlers } from './domain-define.ts';
import { domainInfoHandlers } from './domain-info.ts';
import { domainLookupHandlers } from './domain-lookup.ts';
import { domainPowerHandlers } from './domain-power.ts';
import { eventHandlers, monitorEventHandlers } from './events.ts';
import { nodeHandlers } from './node.ts';

export const remoteHandlers: RemoteHandlers = {
  ...connectHandlers,
  ...nodeHandlers,
  ...domainLookupHandlers,
  ...domainDefineHandlers,
  ...domainPowerHandlers,
  ...domainInfoHandlers,
  ...eventHandlers,
};

export const qemuHandlers: QemuHandlers = { ...monitorEventHandlers };

export const emulatorHandlers: EmulatorHandlers = {};
