import { attribute, bootDisk, type Disk, type DomainView, isVirtio, shown } from '../domain.ts';
import type { Problem, Rule } from '../rule.ts';
import { SENTENCE } from '../sources.ts';
import { removeElement } from '../xml-edit.ts';
import { freeNames, moveToBus, moveToVirtioScsi, movingBootDisk, whatKeepsOnVirtio } from './disk-move.ts';
import { scsiControllers, seating, seatOf } from './drive-seats.ts';

const ON_SCSI_OR_SATA = "bus='scsi' with <controller type='scsi' model='virtio-scsi'>, or bus='sata'";

export const deviceRules: readonly Rule[] = [
  {
    id: 'BOOT-DISK-VIRTIO-BLK',
    promise: 'the boot disk is not on virtio-blk (modern: only a warning, guest kernels from 5.1 can)',
    severity: { train: 'error', modern: 'warning' },
    sources: [SENTENCE.bootDisk, SENTENCE.bootDiskArticle],
    *check(context) {
      const { domain } = context;
      const disk = domain.launchSecurity === undefined ? undefined : bootDisk(domain.disks);
      if (disk?.bus !== 'virtio') return;
      yield {
        at: disk.element,
        message: `the boot disk '${shown(disk.target)}' is on virtio-blk`,
        suggestion: whatKeepsOnVirtio(disk) ?? ON_SCSI_OR_SATA,
        ...(movingBootDisk(context) === disk ? { edits: moveToVirtioScsi(domain, disk) } : {}),
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
      if (disk === undefined || ['virtio', 'sata'].includes(disk.bus)) return;
      const where = disk.bus === 'scsi' ? emulatedScsi(domain, disk) : `bus '${shown(disk.bus)}'`;
      if (where === undefined) return;
      yield {
        at: disk.element,
        message: `nothing says that a SEV guest boots from ${where} (disk '${shown(disk.target)}')`,
        suggestion: ON_SCSI_OR_SATA,
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
      const seatFor = seating(domain, 'sata');
      for (const disk of domain.disks) {
        if (disk.bus !== 'ide') continue;
        const name = names.get(disk) ?? disk.target;
        yield {
          at: disk.element,
          message: `${shown(disk.device)} '${shown(disk.target)}' is on IDE, and q35 has no IDE controller`,
          suggestion: "bus='sata'",
          edits: moveToBus(domain, disk, { bus: 'sata', name, seat: seatFor(name) }),
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
    *check({ domain, profile }) {
      if (domain.launchSecurity === undefined) return;
      for (const device of domain.devices) {
        const type = attribute(device, 'type');
        if (device.name === 'hostdev')
          yield passedThrough(device, /^[a-z_]{1,20}$/.exec(type ?? '')?.[0] ?? 'unknown', 'host device');
        if (device.name === 'interface' && type === 'hostdev')
          yield passedThrough(device, 'interface', 'network function of the host');
        // Newer than the seed documents: the guest drives it by virtio, but the queues are those of the hardware.
        if (device.name === 'interface' && type === 'vdpa' && profile === 'modern')
          yield {
            ...passedThrough(device, 'vdpa', 'vDPA device'),
            message: 'a vDPA device of the host is given to the guest: nothing says that it reaches encrypted memory',
            severity: 'warning',
          };
      }
    },
  },
];

/** The controller of a disk on SCSI, in words; undefined where it is virtio-scsi. */
function emulatedScsi(domain: DomainView, { element }: Disk): string | undefined {
  const [index = 0] = seatOf(element, 'scsi') ?? [];
  const model = scsiControllers(domain).get(index);
  if (isVirtio(model)) return undefined;
  return model === undefined
    ? `SCSI controller ${index}, for which libvirt takes lsilogic where QEMU has it`
    : `SCSI controller ${index}, which is ${shown(model)}`;
}

function passedThrough(at: Problem['at'], kind: string, what: string): Problem {
  return {
    kind,
    at,
    message: `a ${what} is given to the guest: it cannot reach encrypted memory`,
    suggestion: 'no passthrough; an emulated, virtio or vhost-user device instead',
  };
}
