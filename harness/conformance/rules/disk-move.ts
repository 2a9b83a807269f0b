import { attribute, bootDisk, child, type Disk, type DomainView, isVirtio, shown } from '../domain.ts';
import type { RuleContext } from '../rule.ts';
import {
  appendChild,
  removeAttribute,
  removeElement,
  replaceElement,
  setAttribute,
  type TextEdit,
} from '../xml-edit.ts';
import type { XmlDocument, XmlElement } from '../xml-reader.ts';
import { type DriveBus, freeIndex, type Seat, scsiControllers, seating } from './drive-seats.ts';

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

/** What a person has to do about a disk that --fix cannot move to SCSI. */
export function whatKeepsOnVirtio({ element, device }: Disk): string | undefined {
  if (ALWAYS_VIRTIO.includes(attribute(element, 'type') ?? ''))
    return 'another disk to boot from: what is behind this one speaks virtio-blk only';
  return device === 'lun' && child(element, 'serial') !== undefined
    ? "bus='scsi', and no <serial>: a lun on SCSI has the one of its hardware"
    : undefined;
}

/**
 * The boot disk that --fix moves from virtio-blk to another bus, where libvirt refuses options of virtio: nobody else may add any.
 * A guest that boots today may find its disk by name, so only the profile that forbids virtio-blk moves it.
 */
export function movingBootDisk({ domain, profile }: RuleContext): Disk | undefined {
  const disk = profile === 'train' ? bootDisk(domain.disks) : undefined;
  return disk?.bus === 'virtio' && whatKeepsOnVirtio(disk) === undefined ? disk : undefined;
}

/** A place for a disk that moves. */
export interface Place {
  readonly bus: DriveBus;
  readonly name: string;
  /** Absent where the name is enough. */
  readonly seat: Seat | undefined;
}

/** Moves a disk to another bus and name, without what its old bus left behind. */
export function moveToBus({ document }: DomainView, { element }: Disk, { bus, name, seat }: Place): TextEdit[] {
  const target = child(element, 'target');
  if (target === undefined) return [];
  const driver = child(element, 'driver');
  return [
    setAttribute(document, target, 'dev', name),
    setAttribute(document, target, 'bus', bus),
    ...removeAttribute(document, element, 'model'),
    ...(driver === undefined ? [] : VIRTIO_ONLY.flatMap((name) => removeAttribute(document, driver, name))),
    ...setAddress(document, element, seat),
  ];
}

function setAddress(document: XmlDocument, disk: XmlElement, seat: Seat | undefined): TextEdit[] {
  const old = child(disk, 'address');
  if (seat === undefined) return old === undefined ? [] : [removeElement(document, old)];
  const [controller, bus, target, unit] = seat;
  const line = `<address type='drive' controller='${controller}' bus='${bus}' target='${target}' unit='${unit}'/>`;
  return [old === undefined ? appendChild(document, disk, [line]) : replaceElement(document, old, line)];
}

/** Moves a disk to virtio-scsi, with a controller for it where the domain has none. */
export function moveToVirtioScsi(domain: DomainView, disk: Disk): TextEdit[] {
  const controllers = scsiControllers(domain);
  const [present] = [...controllers].find(([, model]) => isVirtio(model)) ?? [];
  const controller = present ?? freeIndex(controllers);
  const name = freeNames(domain.disks).get(disk) ?? disk.target;
  const seat = seating(domain, 'scsi', controller)(name);
  const devices = child(domain.root, 'devices');
  return [
    ...moveToBus(domain, disk, { bus: 'scsi', name, seat }),
    ...(present === undefined && devices !== undefined
      ? [appendChild(domain.document, devices, controllerLines('scsi', 'virtio-scsi', controller))]
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

export function controllerLines(type: string, model?: string, index = 0): string[] {
  const attributes = `type='${type}' index='${index}'${model === undefined ? '' : ` model='${model}'`}`;
  return [`<controller ${attributes}>`, "  <driver iommu='on'/>", '</controller>'];
}
