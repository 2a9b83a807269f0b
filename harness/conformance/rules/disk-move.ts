import { attribute, bootDisk, child, type Disk, type DomainView, shown } from '../domain.ts';
import type { RuleContext } from '../rule.ts';
import { appendChild, removeAttribute, removeElement, setAttribute, type TextEdit } from '../xml-edit.ts';

/** Attributes of a disk's `<driver>` that are for virtio-blk only; most of them libvirt refuses on another bus. */
const VIRTIO_ONLY = [
  'iommu',
  'ats',
  'packed',
  'page_per_vq',
  'ioeventfd',
  'event_idx',
  'queues',
  'queue_size',
  'iothread',
];

/** Disks whose other end speaks virtio-blk itself. */
const ALWAYS_VIRTIO = ['vhostuser', 'vhostvdpa'];

export function canLeaveVirtio({ element, bus }: Disk): boolean {
  return bus === 'virtio' && !ALWAYS_VIRTIO.includes(attribute(element, 'type') ?? '');
}

/**
 * The boot disk that --fix moves from virtio-blk to another bus, where libvirt refuses options of virtio: nobody else may add any.
 * A guest that boots today may find its disk by name, so only the profile that forbids virtio-blk moves it.
 */
export function movingBootDisk({ domain, profile }: RuleContext): Disk | undefined {
  const disk = profile === 'train' ? bootDisk(domain.disks) : undefined;
  return disk !== undefined && canLeaveVirtio(disk) ? disk : undefined;
}

/** Moves a disk to another bus and name, without what its old bus left behind. */
export function moveToBus(domain: DomainView, disk: Disk, bus: 'scsi' | 'sata', name: string): TextEdit[] {
  const { document } = domain;
  const target = child(disk.element, 'target');
  if (target === undefined) return [];
  const driver = child(disk.element, 'driver');
  const address = child(disk.element, 'address');
  const devices = child(domain.root, 'devices');
  return [
    setAttribute(document, target, 'dev', name),
    setAttribute(document, target, 'bus', bus),
    ...removeAttribute(document, disk.element, 'model'),
    ...(driver === undefined ? [] : VIRTIO_ONLY.flatMap((name) => removeAttribute(document, driver, name))),
    ...(address === undefined ? [] : [removeElement(document, address)]),
    ...(bus === 'scsi' && devices !== undefined && !hasScsiController(domain)
      ? [appendChild(document, devices, controllerLines('scsi', 'virtio-scsi'))]
      : []),
  ];
}

/** What becomes of IDE disks on q35, for whom asks for q35; empty where there are none. */
export function ideConsequence({ disks }: DomainView): string {
  const names = freeNames(disks);
  const moves = disks.flatMap((disk) =>
    disk.bus === 'ide' ? [`'${shown(disk.target)}' to bus='sata' as '${names.get(disk)}'`] : [],
  );
  return moves.length === 0 ? '' : `; it has no IDE, so move ${moves.join(', ')}`;
}

function hasScsiController({ devices }: DomainView): boolean {
  return devices.some((device) => device.name === 'controller' && attribute(device, 'type') === 'scsi');
}

/** A name sda, sdb, … for each disk that may have to move: names that no disk has, and different ones. */
export function freeNames(disks: readonly Disk[]): ReadonlyMap<Disk, string> {
  const taken = new Set(disks.map(({ target }) => target));
  const names = new Map<Disk, string>();
  let index = 0;
  for (const disk of disks) {
    if (disk.bus !== 'ide' && disk.bus !== 'virtio') continue;
    while (taken.has(`sd${letters(index)}`)) index++;
    names.set(disk, `sd${letters(index++)}`);
  }
  return names;
}

/** 0 a, 25 z, 26 aa: libvirt's names of disks. */
function letters(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : `${letters(Math.floor(index / 26) - 1)}${last}`;
}

export function controllerLines(type: string, model?: string): string[] {
  const attributes = `type='${type}' index='0'${model === undefined ? '' : ` model='${model}'`}`;
  return [`<controller ${attributes}>`, "  <driver iommu='on'/>", '</controller>'];
}
