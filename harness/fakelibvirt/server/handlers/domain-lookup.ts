import { refusal, unsupportedFlags } from '../../refusal.ts';
import type { Domain } from '../../state/domain.ts';
import { STATE } from '../../state/states.ts';
import type { RemoteHandlers } from '../dispatch.ts';

/** VIR_CONNECT_LIST_DOMAINS_*: each group of bits is a question; no bit of a group means that all answers do. */
const LIST_FILTERS: readonly (readonly [bit: number, matches: (domain: Domain) => boolean])[][] = [
  [
    [1, (domain) => domain.isActive],
    [2, (domain) => !domain.isActive],
  ],
  [
    [4, (domain) => domain.persistent !== undefined],
    [8, (domain) => domain.persistent === undefined],
  ],
  [
    [16, (domain) => domain.state[0] === STATE.running],
    [32, (domain) => domain.state[0] === STATE.paused],
    [64, (domain) => domain.state[0] === STATE.shutoff],
    [128, (domain) => ![STATE.running, STATE.paused, STATE.shutoff].some((state) => state === domain.state[0])],
  ],
  [
    [256, (domain) => domain.managedSave !== undefined],
    [512, (domain) => domain.managedSave === undefined],
  ],
  [
    [1024, (domain) => domain.autostart],
    [2048, (domain) => !domain.autostart],
  ],
  [
    [4096, (domain) => domain.snapshots.size > 0],
    [8192, (domain) => domain.snapshots.size === 0],
  ],
  [
    [16384, () => false],
    [32768, () => true],
  ],
];
const KNOWN_LIST_FLAGS = 0xffff;

export const domainLookupHandlers: RemoteHandlers = {
  connectListAllDomains: ({ needResults, flags }, { machine }) => {
    if ((flags & ~KNOWN_LIST_FLAGS) !== 0)
      throw unsupportedFlags(flags & ~KNOWN_LIST_FLAGS, 'qemuConnectListAllDomains');
    const found = machine.domains.all().filter((domain) =>
      LIST_FILTERS.every((group) => {
        const asked = group.filter(([bit]) => (flags & bit) !== 0);
        return asked.length === 0 || asked.some(([, matches]) => matches(domain));
      }),
    );
    return { domains: needResults ? found.map((domain) => domain.ref) : [], ret: found.length };
  },
  connectNumOfDomains: (_, { machine }) => ({ num: machine.domains.active().length }),
  connectListDomains: ({ maxids }, { machine }) => ({
    ids: machine.domains
      .active()
      .slice(0, Math.max(0, maxids))
      .map((domain) => domain.ref.id),
  }),
  connectNumOfDefinedDomains: (_, { machine }) => ({ num: inactive(machine.domains.all()).length }),
  connectListDefinedDomains: ({ maxnames }, { machine }) => ({
    names: inactive(machine.domains.all())
      .slice(0, Math.max(0, maxnames))
      .map((domain) => domain.name),
  }),
  domainLookupById: ({ id }, { machine }) => ({ dom: machine.domains.byId(id).ref }),
  domainLookupByName: ({ name }, { machine }) => ({ dom: machine.domains.byName(name).ref }),
  domainLookupByUuid: ({ uuid }, { machine }) => ({ dom: machine.domains.byUuid(uuid).ref }),
  domainIsActive: ({ dom }, { machine }) => ({ active: machine.domains.resolve(dom).isActive ? 1 : 0 }),
  domainIsPersistent: ({ dom }, { machine }) => ({ persistent: machine.domains.resolve(dom).persistent ? 1 : 0 }),
  domainIsUpdated: ({ dom }, { machine }) => {
    machine.domains.resolve(dom);
    return { updated: 0 };
  },
  domainGetAutostart: ({ dom }, { machine }) => ({ autostart: machine.domains.resolve(dom).autostart ? 1 : 0 }),
};

function inactive(domains: readonly Domain[]): Domain[] {
  return domains.filter((domain) => !domain.isActive);
}

/** `virDomainObjUpdateModificationImpact`: which of the two definitions a call means; 0 is the one in use. */
export function modificationImpact(domain: Domain, flags: number): { live: boolean; config: boolean } {
  const LIVE = 1;
  const CONFIG = 2;
  const wantsLive = (flags & LIVE) !== 0;
  const wantsConfig = (flags & CONFIG) !== 0;
  const isCurrent = !wantsLive && !wantsConfig;
  const live = wantsLive || (isCurrent && domain.isActive);
  const config = wantsConfig || (isCurrent && !domain.isActive);
  if (live && !domain.isActive) throw refusal('OPERATION_INVALID', 'DOMAIN', 'domain is not running');
  if (config && domain.persistent === undefined) {
    throw refusal('OPERATION_INVALID', 'DOMAIN', 'transient domains do not have any persistent config');
  }
  return { live, config };
}
