import { refusal } from '../../refusal.ts';
import type { Domain } from '../../state/domain.ts';
import { createSnapshot } from '../../state/snapshot.ts';
import type { RemoteHandlers } from '../dispatch.ts';

export const snapshotHandlers: RemoteHandlers = {
  domainSnapshotCreateXml: ({ dom, xmlDesc, flags }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    return { snap: { name: createSnapshot(machine, domain, xmlDesc, flags), dom: domain.ref } };
  },
  domainListAllSnapshots: ({ dom, needResults }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    const names = [...domain.snapshots.keys()];
    return { snapshots: needResults ? names.map((name) => ({ name, dom: domain.ref })) : [], ret: names.length };
  },
  domainSnapshotNum: ({ dom }, { machine }) => ({ num: machine.domains.resolve(dom).snapshots.size }),
  domainSnapshotLookupByName: ({ dom, name }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    requireSnapshot(domain, name);
    return { snap: { name, dom: domain.ref } };
  },
  domainSnapshotGetXmlDesc: ({ snap }, { machine }) => ({
    xml: requireSnapshot(machine.domains.resolve(snap.dom), snap.name).xml,
  }),
  domainSnapshotDelete: ({ snap }, { machine }) => {
    const domain = machine.domains.resolve(snap.dom);
    requireSnapshot(domain, snap.name);
    domain.snapshots.delete(snap.name);
    return {};
  },
};

function requireSnapshot(domain: Domain, name: string) {
  const snapshot = domain.snapshots.get(name);
  if (snapshot === undefined) {
    throw refusal('NO_DOMAIN_SNAPSHOT', 'QEMU', `no domain snapshot with matching name '${name}'`);
  }
  return snapshot;
}
