import type { QemuHandlers, RemoteHandlers } from '../dispatch.ts';
import { connectHandlers } from './connect.ts';
import { domainDefineHandlers } from './domain-define.ts';
import { domainDeviceHandlers } from './domain-devices.ts';
import { domainInfoHandlers } from './domain-info.ts';
import { domainLookupHandlers } from './domain-lookup.ts';
import { domainMemoryHandlers } from './domain-memory.ts';
import { domainPowerHandlers } from './domain-power.ts';
import { domainSaveHandlers } from './domain-save.ts';
import { domainSecurityHandlers } from './domain-security.ts';
import { domainStatsHandlers } from './domain-stats.ts';
import { domainTuningHandlers } from './domain-tuning.ts';
import { eventHandlers, monitorEventHandlers } from './events.ts';
import { monitorHandlers } from './monitor.ts';
import { nodeHandlers } from './node.ts';
import { snapshotHandlers } from './snapshots.ts';
import { storageHandlers } from './storage.ts';
import { streamHandlers } from './streams.ts';

export { emulatorHandlers } from './emulator.ts';

export const remoteHandlers: RemoteHandlers = {
  ...connectHandlers,
  ...nodeHandlers,
  ...domainLookupHandlers,
  ...domainDefineHandlers,
  ...domainPowerHandlers,
  ...domainInfoHandlers,
  ...domainSaveHandlers,
  ...domainMemoryHandlers,
  ...domainSecurityHandlers,
  ...domainStatsHandlers,
  ...domainTuningHandlers,
  ...domainDeviceHandlers,
  ...snapshotHandlers,
  ...storageHandlers,
  ...streamHandlers,
  ...eventHandlers,
};

export const qemuHandlers: QemuHandlers = { ...monitorHandlers, ...monitorEventHandlers };
