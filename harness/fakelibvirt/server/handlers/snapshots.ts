import { refusal } from '../../refusal.ts';
import type { Domain } from '../../state/domain.ts';
import type { Machine } from '../../state/machine.ts';
import { assertMigratable } from '../../state/save.ts';
import { STATE } from '../../state/states.ts';
import { formatXml } from '../../state/xml/format.ts';
import { parseXml } from '../../state/xml/parse.ts';
import { child, element, text } from '../../state/xml/tree.ts';
import type { RemoteHandlers } from '../dispatch.ts';

const DISK_ONLY = 16;

export const snapshotHandlers: RemoteHandlers = {
  domainSnapshotCreateXml: ({ dom, xmlDesc, flags }, { machine }) => {
    const domain = machine.domains.resolve(dom);
    const name = createSnapshot(machine, domain, xmlDesc, (flags & DISK_ONLY) !== 0);
    return { snap: { name, dom: domain.ref } };
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

/** Internal snapshots need qcow2 disks and a guest that can be migrated; external ones need a disk. */
function createSnapshot(machine: Machine, domain: Domain, xml: string, isDiskOnly: boolean): string {
  const root = parseXml(xml, '(domain_snapshot)');
  const createdSeconds = String(Math.floor(machine.clock.nowMs() / 1000));
  const name = text(child(root, 'name')) || createdSeconds;
  if (domain.snapshots.has(name)) {
    throw refusal('OPERATION_FAILED', 'QEMU', `snapshot '${name}' already exists`);
  }
  const disks = (domain.current?.disks ?? []).filter((disk) => disk.device === 'disk');
  const isLive = domain.isActive && !isDiskOnly;
  if (disks.length === 0) {
    const text = isLive
      ? 'internal and full system snapshots require all disks to be selected for snapshot'
      : 'nothing selected for snapshot';
    throw refusal('CONFIG_UNSUPPORTED', 'QEMU', text);
  }
  const raw = disks.find((disk) => disk.format !== 'qcow2');
  if (!isDiskOnly && raw) {
    const text = `internal snapshot for disk ${raw.target} unsupported for storage type ${raw.format}`;
    throw refusal('CONFIG_UNSUPPORTED', 'QEMU', text);
  }
  if (isLive && domain.live) assertMigratable(machine, domain.live, 'save-allowed');
  domain.snapshots.set(name, { name, xml: snapshotXml(domain, name, createdSeconds, isDiskOnly) });
  return name;
}

function snapshotXml(domain: Domain, name: string, createdSeconds: string, isDiskOnly: boolean): string {
  const state = isDiskOnly
    ? 'disk-snapshot'
    : domain.state[0] === STATE.running
      ? 'running'
      : domain.isActive
        ? 'paused'
        : 'shutoff';
  const disks = (domain.current?.disks ?? []).map((disk) =>
    element('disk', { name: disk.target, snapshot: isDiskOnly ? 'external' : 'internal' }),
  );
  const leaf = (of: string, value: string) => element(of, {}, [value]);
  const definition = domain.current;
  return formatXml(
    element('domainsnapshot', {}, [
      leaf('name', name),
      leaf('state', state),
      leaf('creationTime', createdSeconds),
      element('memory', { snapshot: domain.isActive && !isDiskOnly ? 'internal' : 'no' }),
      element('disks', {}, disks),
      ...(definition ? [definition.tree] : []),
    ]),
  );
}
