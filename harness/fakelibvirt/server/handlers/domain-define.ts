import { dropsConnectionNow } from '../../faults/connection-drop.ts';
import { refusal, unsupportedFlags } from '../../refusal.ts';
import { createDomain, defineDomain, undefineDomain } from '../../state/define.ts';
import type { Domain } from '../../state/domain.ts';
import { destroyDomain, startDomain } from '../../state/lifecycle.ts';
import type { Machine } from '../../state/machine.ts';
import { managedSavePath } from '../../state/save.ts';
import type { Call } from '../call.ts';
import type { RemoteHandlers } from '../dispatch.ts';

/** VIR_DOMAIN_START_* */
const START = { paused: 1, autodestroy: 2, bypassCache: 4, forceBoot: 8, validate: 16, resetNvram: 32 } as const;
const CREATE_FLAGS = START.paused | START.autodestroy | START.validate | START.resetNvram;
const DEFINE_VALIDATE = 1;
const UNDEFINE_FLAGS = 0x7f;
const DESTROY_GRACEFUL = 1;

export const domainDefineHandlers: RemoteHandlers = {
  domainDefineXml: ({ xml }, { machine }) => ({ dom: defineDomain(machine, xml, false).ref }),
  domainDefineXmlFlags: ({ xml, flags }, { machine }) => {
    checkFlags(flags, DEFINE_VALIDATE, 'qemuDomainDefineXMLFlags');
    return { dom: defineDomain(machine, xml, (flags & DEFINE_VALIDATE) !== 0).ref };
  },
  domainUndefine: ({ dom }, { machine }) => {
    undefineDomain(machine, machine.domains.resolve(dom), 0);
    return {};
  },
  domainUndefineFlags: ({ dom, flags }, { machine }) => {
    checkFlags(flags, UNDEFINE_FLAGS, 'qemuDomainUndefineFlags');
    undefineDomain(machine, machine.domains.resolve(dom), flags);
    return {};
  },
  domainCreateXml: async ({ xmlDesc, flags }, call) => {
    checkFlags(flags, CREATE_FLAGS, 'qemuDomainCreateXML');
    if (dropsConnectionNow(call)) return never();
    const domain = await createDomain(call.machine, xmlDesc, (flags & START.validate) !== 0, startOptions(flags, call));
    return { dom: domain.ref };
  },
  domainCreate: async ({ dom }, call) => {
    await start(call.machine.domains.resolve(dom), 0, call);
    return {};
  },
  domainCreateWithFlags: async ({ dom, flags }, call) => {
    checkFlags(flags, CREATE_FLAGS | START.bypassCache | START.forceBoot, 'qemuDomainCreateWithFlags');
    const domain = call.machine.domains.resolve(dom);
    await start(domain, flags, call);
    return { dom: domain.ref };
  },
  domainDestroy: async ({ dom }, { machine }) => {
    await destroy(machine, machine.domains.resolve(dom));
    return {};
  },
  domainDestroyFlags: async ({ dom, flags }, { machine }) => {
    checkFlags(flags, DESTROY_GRACEFUL, 'qemuDomainDestroyFlags');
    await destroy(machine, machine.domains.resolve(dom));
    return {};
  },
};

export function checkFlags(flags: number, known: number, driverFunction: string): void {
  const unknown = (flags & ~known) >>> 0;
  if (unknown !== 0) throw unsupportedFlags(unknown, driverFunction);
}

/** A call on a connection that was dropped gets no answer. */
function never(): Promise<never> {
  return new Promise(() => {});
}

function startOptions(flags: number, { connection }: Call) {
  return {
    isPaused: (flags & START.paused) !== 0,
    autodestroyOwner: (flags & START.autodestroy) !== 0 ? connection : undefined,
  };
}

async function start(domain: Domain, flags: number, call: Call): Promise<void> {
  const { machine } = call;
  if (dropsConnectionNow(call)) return never();
  await domain.withJob(async () => {
    const definition = domain.persistent;
    if (domain.isActive) throw refusal('OPERATION_INVALID', 'QEMU', 'domain is already running');
    if (definition === undefined) throw machine.domains.gone(domain);
    const image = (flags & START.forceBoot) !== 0 ? undefined : domain.managedSave;
    const options = startOptions(flags, call);
    if (domain.managedSave !== undefined) {
      machine.savedImages.delete(managedSavePath(domain));
      domain.managedSave = undefined;
    }
    if (image === undefined) return startDomain(machine, domain, definition, options);
    const isPaused = options.isPaused || !image.wasRunning;
    await startDomain(machine, domain, image.definition, { ...options, isPaused, isRestore: true });
  });
}

async function destroy(machine: Machine, domain: Domain): Promise<void> {
  await domain.withJob(() => destroyDomain(machine, domain));
}
