import type { DomainView, VirtioDevice } from '../domain.ts';
import { attribute, child, children, shown } from '../domain.ts';
import type { Problem, Rule } from '../rule.ts';
import { type Quote, SENTENCE } from '../sources.ts';
import { appendChild, setAttribute, type TextEdit } from '../xml-edit.ts';
import { controllerLines, movingBootDisk } from './disk-move.ts';

const FORCED: Quote = {
  document: 'QEMU',
  text: 'since 6.0 iommu_platform is on for every virtio device of a confidential guest, unless it is switched off',
};

export const iommuRules: readonly Rule[] = [
  {
    id: 'IOMMU-OFF:<kind>',
    promise: "every virtio device has <driver iommu='on'/>",
    severity: { train: 'error' },
    sources: [SENTENCE.iommu, SENTENCE.virtualDma],
    *check(context) {
      const { domain } = context;
      if (domain.launchSecurity === undefined) return;
      const moving = movingBootDisk(context)?.element;
      for (const device of domain.virtioDevices) {
        if (device.iommu === 'on') continue;
        const problem = iommuProblem(domain, device);
        yield device.element === moving ? { ...problem, edits: [] } : problem;
      }
      yield* impliedBalloon(domain);
    },
  },
  {
    id: 'IOMMU-EXPLICITLY-OFF:<kind>',
    promise: "no virtio device has iommu='off'",
    severity: { modern: 'error' },
    sources: [FORCED, SENTENCE.virtualDma],
    *check({ domain }) {
      if (domain.launchSecurity === undefined) return;
      for (const device of domain.virtioDevices) if (device.iommu === 'off') yield iommuProblem(domain, device);
    },
  },
  {
    id: 'IMPLICIT-CONTROLLER:<kind>',
    promise: "controllers that a device needs are written down, so that they can have iommu='on'",
    severity: { train: 'error' },
    sources: [SENTENCE.iommu, SENTENCE.explicitController],
    *check({ domain }) {
      if (domain.launchSecurity === undefined) return;
      const devices = child(domain.root, 'devices');
      for (const [kind, model] of [['virtio-serial'], ['scsi', 'virtio-scsi']] as const) {
        const user = kind === 'scsi' ? scsiDisk(domain) : domain.devices.find(isVirtioPort);
        const present = domain.devices.some(({ name, attributes }) => {
          return name === 'controller' && attributes.get('type')?.value === kind;
        });
        if (user === undefined || present || devices === undefined) continue;
        const lines = controllerLines(kind, model);
        yield {
          kind,
          at: user,
          message: `libvirt adds the ${kind} controller of this ${user.name} by itself, without iommu='on'`,
          suggestion: lines.map((line) => line.trim()).join(''),
          edits: [appendChild(domain.document, devices, lines)],
        };
      }
    },
  },
];

function iommuProblem(domain: DomainView, { kind, element, driver, iommu }: VirtioDevice): Problem {
  return {
    kind,
    at: driver ?? element,
    message:
      iommu === undefined
        ? `this virtio ${element.name} has no <driver iommu='on'/>: its DMA meets encrypted memory`
        : `this virtio ${element.name} has iommu='${shown(iommu)}': its DMA meets encrypted memory`,
    suggestion: "<driver iommu='on'/>",
    edits: [switchOn(domain, driver, element)],
  };
}

function switchOn(
  { document }: DomainView,
  driver: VirtioDevice['driver'],
  element: VirtioDevice['element'],
): TextEdit {
  return driver === undefined
    ? appendChild(document, element, ["<driver iommu='on'/>"])
    : setAttribute(document, driver, 'iommu', 'on');
}

/** A domain that names no balloon gets a virtio one from libvirt. */
function* impliedBalloon(domain: DomainView): Iterable<Problem> {
  const devices = child(domain.root, 'devices');
  if (devices === undefined || domain.devices.some(({ name }) => name === 'memballoon')) return;
  const lines = ["<memballoon model='virtio'>", "  <driver iommu='on'/>", '</memballoon>'];
  yield {
    kind: 'memballoon',
    at: devices,
    message: "libvirt adds a virtio balloon by itself, without iommu='on'",
    suggestion: `${lines.map((line) => line.trim()).join('')}, or model='none'`,
    edits: [appendChild(domain.document, devices, lines)],
  };
}

function scsiDisk({ disks }: DomainView) {
  return disks.find(({ bus }) => bus === 'scsi')?.element;
}

function isVirtioPort(device: DomainView['devices'][number]): boolean {
  if (device.name !== 'channel' && device.name !== 'console') return false;
  return children(device, 'target').some((target) => attribute(target, 'type') === 'virtio');
}
