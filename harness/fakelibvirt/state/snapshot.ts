import { refusal } from '../refusal.ts';
import type { Domain, LiveDomain } from './domain.ts';
import { type Disk, parseDisk } from './domain-xml/devices.ts';
import { editDevices, editLive, editPersistent } from './edit.ts';
import type { Machine } from './machine.ts';
import { suspendDomain } from './power.ts';
import { assertMigratable, whileStopped } from './save.ts';
import { STATE } from './states.ts';
import { formatXml } from './xml/format.ts';
import { parseXml } from './xml/parse.ts';
import { attribute, child, element, elements, text, type XmlElement } from './xml/tree.ts';

/** VIR_DOMAIN_SNAPSHOT_CREATE_* */
const FLAG = { noMetadata: 4, diskOnly: 16, live: 256 } as const;

type Place = 'no' | 'internal' | 'external';

interface Request {
  readonly name: string;
  readonly createdSeconds: string;
  readonly memory: Place;
  /** The disks that take part, and the files that go on where they stop. */
  readonly disks: readonly { readonly disk: Disk; readonly place: Place; readonly overlay: string | undefined }[];
}

/** `virDomainSnapshotCreateXML`: disks go on in new files, and what has memory in it is a migration into a file. */
export function createSnapshot(machine: Machine, domain: Domain, xml: string, flags: number): string {
  const request = parseRequest(machine, domain, xml, flags);
  const { name, memory, disks } = request;
  if (domain.snapshots.has(name)) throw refusal('OPERATION_FAILED', 'QEMU', `snapshot '${name}' already exists`);
  assertPossible(request);
  if (memory === 'no' && machine.has('disk-snapshot-refused'))
    throw refusal('OPERATION_INVALID', 'QEMU', 'cannot take a snapshot of a domain with launch security');
  if (memory !== 'no' && domain.live) copyMemory(machine, domain, domain.live, memory, (flags & FLAG.live) !== 0);
  const overlays = new Map(
    disks.flatMap(({ disk, overlay }) => (overlay === undefined ? [] : [[disk.target, overlay]])),
  );
  if (overlays.size > 0) moveToOverlays(machine, domain, overlays);
  for (const overlay of overlays.values()) machine.storage.notice(overlay);
  if ((flags & FLAG.noMetadata) === 0) domain.snapshots.set(name, { name, xml: snapshotXml(domain, request) });
  return name;
}

function parseRequest(machine: Machine, domain: Domain, xml: string, flags: number): Request {
  const root = parseXml(xml, '(domain_snapshot)');
  const createdSeconds = String(Math.floor(machine.clock.nowMs() / 1000));
  const name = text(child(root, 'name')) || createdSeconds;
  const isDiskOnly = (flags & FLAG.diskOnly) !== 0;
  const asked = placeOf(attribute(child(root, 'memory'), 'snapshot'));
  const memory = isDiskOnly || !domain.isActive ? 'no' : (asked ?? 'internal');
  const all = (domain.current?.disks ?? []).filter((disk) => disk.device === 'disk');
  const named = elements(child(root, 'disks') ?? element('disks'), 'disk');
  if (named.length > all.length)
    throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN_SNAPSHOT', 'too many disk snapshot requests for domain');
  const unknown = named.map((one) => attribute(one, 'name')).find((one) => all.every((disk) => disk.target !== one));
  if (unknown !== undefined) throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN_SNAPSHOT', `no disk named '${unknown}'`);
  const usual = isDiskOnly || memory === 'external' ? 'external' : 'internal';
  const disks = all.map((disk) => {
    const own = named.find((one) => attribute(one, 'name') === disk.target);
    const place = placeOf(attribute(own, 'snapshot')) ?? usual;
    const file =
      attribute(child(own ?? root, 'source'), 'file') ?? `${(disk.source ?? '').replace(/\.[^./]*$/, '')}.${name}`;
    return { disk, place, overlay: place === 'external' ? file : undefined };
  });
  return { name, createdSeconds, memory, disks: disks.filter(({ place }) => place !== 'no') };
}

function placeOf(word: string | undefined): Place | undefined {
  return (['no', 'internal', 'external'] as const).find((one) => one === word);
}

function assertPossible({ memory, disks }: Request): void {
  if (memory === 'internal' && disks.length === 0) {
    const words = 'internal and full system snapshots require all disks to be selected for snapshot';
    throw refusal('CONFIG_UNSUPPORTED', 'QEMU', words);
  }
  if (memory === 'no' && disks.length === 0)
    throw refusal('CONFIG_UNSUPPORTED', 'QEMU', 'nothing selected for snapshot');
  const raw = disks.find(({ disk, place }) => place === 'internal' && disk.format !== 'qcow2')?.disk;
  if (raw === undefined) return;
  const words = `internal snapshot for disk ${raw.target} unsupported for storage type ${raw.format}`;
  throw refusal('CONFIG_UNSUPPORTED', 'QEMU', words);
}

/** Into a file unless `isLive`, libvirt stops the guest before it asks whether it may. */
function copyMemory(machine: Machine, domain: Domain, live: LiveDomain, memory: Place, isLive: boolean): void {
  const copy = () => assertMigratable(machine, live, 'memory-snapshot-allowed');
  if (memory !== 'external' || isLive) {
    copy();
    return;
  }
  if (domain.state[0] === STATE.running && machine.has('refusal-pauses-guest')) suspendDomain(machine, domain);
  whileStopped(machine, domain, live, copy);
}

function moveToOverlays(machine: Machine, domain: Domain, overlays: ReadonlyMap<string, string>): void {
  const move = editDevices((devices) => {
    for (const disk of elements(devices, 'disk')) {
      const overlay = overlays.get(parseDisk(disk).target);
      if (overlay === undefined) continue;
      child(disk, 'source')?.attributes.set('file', overlay);
      child(disk, 'driver')?.attributes.set('type', 'qcow2');
    }
  });
  if (domain.persistent) editPersistent(machine, domain, move);
  editLive(machine, domain, move);
}

function snapshotXml(domain: Domain, { name, createdSeconds, memory, disks }: Request): string {
  const definition = domain.current;
  const leaf = (of: string, value: string) => element(of, {}, [value]);
  const diskRow = ({ disk, place, overlay }: Request['disks'][number]): XmlElement =>
    element('disk', { name: disk.target, snapshot: place, ...(overlay ? { type: 'file' } : {}) }, [
      ...(overlay ? [element('driver', { type: 'qcow2' }), element('source', { file: overlay })] : []),
    ]);
  return formatXml(
    element('domainsnapshot', {}, [
      leaf('name', name),
      leaf('state', stateWord(domain, memory)),
      leaf('creationTime', createdSeconds),
      element('memory', { snapshot: memory }),
      element('disks', {}, disks.map(diskRow)),
      ...(definition ? [definition.tree] : []),
    ]),
  );
}

function stateWord(domain: Domain, memory: Place): string {
  if (!domain.isActive) return 'shutoff';
  if (memory === 'no') return 'disk-snapshot';
  return domain.state[0] === STATE.running ? 'running' : 'paused';
}
