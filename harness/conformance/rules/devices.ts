import { attribute, bootDisk, child, type Disk, type DomainView, shown } from '../domain.ts';
import type { Problem, Rule } from '../rule.ts';
import { SENTENCE } from '../sources.ts';
import { appendChild, removeAttribute, removeElement, setAttribute, type TextEdit } from '../xml-edit.ts';
import { controllerLines } from './iommu.ts';

/** Attributes of a disk's `<driver>` that libvirt takes for virtio only. */
const VIRTIO_ONLY = ['iommu', 'ats', 'packed', 'page_per_vq', 'ioeventfd', 'event_idx', 'queues', 'iothread'];

export const deviceRules: readonly Rule[] = [
  {
    id: 'BOOT-DISK-VIRTIO-BLK',
    promise: 'the boot disk is not on virtio-blk (modern: only a warning, guest kernels from 5.1 can)',
    severity: { train: 'error', modern: 'warning' },
    sources: [SENTENCE.bootDisk, SENTENCE.bootDiskArticle],
    *check({ domain, profile }) {
      const disk = domain.launchSecurity === undefined ? undefined : bootDisk(domain.disks);
      if (disk?.bus !== 'virtio') return;
      yield {
        at: disk.element,
        message: `the boot disk '${shown(disk.target)}' is on virtio-blk`,
        suggestion: "bus='scsi' with <controller type='scsi' model='virtio-scsi'>, or bus='sata'",
        // A guest that boots today may find its disk by name: only the profile that forbids it changes it.
        ...(profile === 'train'
          ? { edits: moveToBus(domain, disk, 'scsi', freeNames(domain.disks).get(disk) ?? disk.target) }
          : {}),
      };
    },
  },
  {
    id: 'BOOT-DISK-BUS-UNDOCUMENTED',
    promise: 'the boot disk is on virtio-scsi or SATA',
    severity: { train: 'warning', modern: 'warning' },
    sources: [SENTENCE.bootDiskBuses],
    *check({ domain }) {
      const disk = domain.launchSecurity === undefined ? undefined : bootDisk(domain.disks);
      if (disk === undefined || ['virtio', 'scsi', 'sata'].includes(disk.bus)) return;
      yield {
        at: disk.element,
        message: `nothing says that a SEV guest boots from bus '${shown(disk.bus)}' (disk '${shown(disk.target)}')`,
        suggestion: "bus='scsi' with <controller type='scsi' model='virtio-scsi'>, or bus='sata'",
      };
    },
  },
  {
    id: 'IDE-ON-Q35',
    promise: 'no device is on IDE, which q35 does not have',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.ide],
    *check({ domain }) {
      if (domain.launchSecurity === undefined || !domain.isQ35) return;
      const names = freeNames(domain.disks);
      for (const disk of domain.disks) {
        if (disk.bus !== 'ide') continue;
        yield {
          at: disk.element,
          message: `${shown(disk.device)} '${shown(disk.target)}' is on IDE, and q35 has no IDE controller`,
          suggestion: "bus='sata'",
          edits: moveToBus(domain, disk, 'sata', names.get(disk) ?? disk.target),
        };
      }
      for (const controller of domain.devices) {
        if (controller.name !== 'controller' || attribute(controller, 'type') !== 'ide') continue;
        yield {
          at: controller,
          message: 'q35 has no IDE controller',
          suggestion: 'no IDE controller',
          edits: [removeElement(domain.document, controller)],
        };
      }
    },
  },
  {
    id: 'HOSTDEV:<type>',
    promise: 'no host device is passed through',
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.passthrough],
    *check({ domain }) {
      if (domain.launchSecurity === undefined) return;
      for (const device of domain.devices) {
        const type = attribute(device, 'type');
        if (device.name === 'hostdev')
          yield passedThrough(device, /^[a-z_]{1,20}$/.exec(type ?? '')?.[0] ?? 'unknown', 'host device');
        if (device.name === 'interface' && type === 'hostdev')
          yield passedThrough(device, 'interface', 'network function of the host');
      }
    },
  },
];

function passedThrough(at: Problem['at'], kind: string, what: string): Problem {
  return {
    kind,
    at,
    message: `a ${what} is given to the guest: it cannot reach encrypted memory`,
    suggestion: 'no passthrough; an emulated, virtio or vhost-user device instead',
  };
}

/** Moves a disk to another bus and name, without what its old bus left behind. */
function moveToBus(domain: DomainView, disk: Disk, bus: 'scsi' | 'sata', name: string): TextEdit[] {
  const { document } = domain;
  const target = child(disk.element, 'target');
  if (target === undefined) return [];
  const driver = child(disk.element, 'driver');
  const address = child(disk.element, 'address');
  const devices = child(domain.root, 'devices');
  return [
    setAttribute(document, target, 'dev', name),
    setAttribute(document, target, 'bus', bus),
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
function freeNames(disks: readonly Disk[]): ReadonlyMap<Disk, string> {
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
