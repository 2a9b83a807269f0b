import { refusal, systemRefusal } from '../../refusal.ts';
import { requireActive } from '../../state/lifecycle.ts';
import { assertMigratable, managedSaveDomain, managedSavePath, restoreDomain, saveDomain } from '../../state/save.ts';
import type { RemoteHandlers } from '../dispatch.ts';
import { checkFlags } from './domain-define.ts';

/** VIR_DOMAIN_SAVE_BYPASS_CACHE, _RUNNING, _PAUSED */
const SAVE_FLAGS = 7;

const NO_JOB = {
  type: 0,
  timeElapsed: 0n,
  timeRemaining: 0n,
  dataTotal: 0n,
  dataProcessed: 0n,
  dataRemaining: 0n,
  memTotal: 0n,
  memProcessed: 0n,
  memRemaining: 0n,
  fileTotal: 0n,
  fileProcessed: 0n,
  fileRemaining: 0n,
};

export const domainSaveHandlers: RemoteHandlers = {
  domainSave: async ({ dom, to }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    await domain.withJob(() => saveDomain(machine, domain, to));
    return {};
  },
  domainRestore: async ({ from }, { machine }) => {
    await restoreDomain(machine, from);
    return {};
  },
  domainManagedSave: async ({ dom, flags }, { machine }) => {
    checkFlags(flags, SAVE_FLAGS, 'qemuDomainManagedSave');
    const domain = machine.domains.resolve(dom);
    await domain.withJob(() => managedSaveDomain(machine, domain));
    return {};
  },
  domainManagedSaveRemove: ({ dom, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainManagedSaveRemove');
    const domain = machine.domains.resolve(dom);
    const path = managedSavePath(domain);
    if (domain.managedSave === undefined)
      throw systemRefusal(2, 'QEMU', `Failed to remove managed save file '${path}'`);
    machine.savedImages.delete(path);
    domain.managedSave = undefined;
    return {};
  },
  domainHasManagedSaveImage: ({ dom, flags }, { machine }) => {
    checkFlags(flags, 0, 'qemuDomainHasManagedSaveImage');
    return { result: machine.domains.resolve(dom).managedSave === undefined ? 0 : 1 };
  },
  domainGetJobInfo: ({ dom }, { machine }) => {
    requireActive(machine.domains.resolve(dom));
    return NO_JOB;
  },
  domainGetJobStats: ({ dom, flags }, { machine }) => {
    checkFlags(flags, 3, 'qemuDomainGetJobStats');
    requireActive(machine.domains.resolve(dom));
    return { type: 0, params: [] };
  },
  domainAbortJob: ({ dom }, { machine }) => {
    requireActive(machine.domains.resolve(dom));
    throw refusal('OPERATION_INVALID', 'QEMU', 'no job is active on the domain');
  },
  domainMigrateBegin3Params: ({ dom }, { machine }) => {
    assertMigratable(machine, requireActive(machine.domains.resolve(dom)), 'migration-allowed');
    throw sameHost(machine.hostUuid);
  },
  domainMigratePerform3Params: ({ dom }, { machine }) => {
    assertMigratable(machine, requireActive(machine.domains.resolve(dom)), 'p2p-migration-allowed');
    throw sameHost(machine.hostUuid);
  },
};

/** There is no second emulated host to go to. */
function sameHost(hostUuid: string) {
  return refusal('INTERNAL_ERROR', 'QEMU', `Attempt to migrate guest to the same host ${hostUuid}`);
}
