import { attribute, child, shown, type VirtioDevice } from '../domain.ts';
import type { Problem, Rule, RuleContext } from '../rule.ts';
import { type Quote, SENTENCE } from '../sources.ts';
import { setAttribute, type TextEdit } from '../xml-edit.ts';
import type { XmlElement } from '../xml-reader.ts';
import { movingBootDisk } from './disk-move.ts';

const NEITHER: Quote = {
  document: 'QEMU',
  text: 'hw/virtio/virtio-pci.c, VIRTIO_F_IOMMU_PLATFORM was supported by neither legacy nor transitional device',
};
const MODERN = 'virtio-non-transitional';

/** QEMU has these as virtio 1.0 only, and libvirt knows no other model of them. */
const ALWAYS_MODERN = ['input', 'crypto', 'sound'];

export const virtioVersionRules: readonly Rule[] = [
  {
    id: 'VIRTIO-TRANSITIONAL',
    promise: "no virtio device is of a model 'virtio-transitional', on any machine type",
    severity: { train: 'error', modern: 'error' },
    sources: [SENTENCE.virtio10, NEITHER],
    *check(context) {
      if (context.domain.launchSecurity === undefined) return;
      for (const device of context.domain.virtioDevices) {
        const place = modelPlace(device);
        if (place?.value !== 'virtio-transitional') continue;
        yield {
          at: device.element,
          message: `this ${device.element.name} speaks virtio 0.9 as well, so QEMU refuses it the DMA that encrypted memory needs`,
          suggestion: `${place.attribute}='${MODERN}'`,
          edits: makeModern(context, device, place),
        };
      }
    },
  },
];

/**
 * On a machine without PCIe, virtio devices are 0.9 unless their model says otherwise, and SEV needs 1.0. They are changed only
 * where the machine type stays: on q35 they are right as they are.
 */
export function* transitionalDevices(context: RuleContext, machineStays: boolean): Iterable<Problem> {
  const { domain } = context;
  for (const device of domain.virtioDevices) {
    if (ALWAYS_MODERN.includes(device.kind)) continue;
    if (device.kind === 'video') {
      yield {
        at: device.element,
        message: 'a virtio video device has no model without virtio 0.9, so it cannot be used on this machine type',
        suggestion: "another model, for example <model type='qxl'/>",
        source: SENTENCE.noVirtioGpu,
      };
      continue;
    }
    const place = modelPlace(device);
    if (place === undefined || place.value?.endsWith('-transitional')) continue;
    yield {
      at: device.element,
      message: `on machine type '${shown(domain.machine)}' this ${device.element.name} speaks virtio 0.9`,
      suggestion: `${place.attribute}='${MODERN}' (libvirt 5.2.0 or later)`,
      edits: machineStays ? makeModern(context, device, place) : [],
      source: SENTENCE.virtio10,
    };
  }
}

function makeModern(context: RuleContext, { element }: VirtioDevice, place: ModelPlace): TextEdit[] {
  if (element === movingBootDisk(context)?.element) return [];
  return [setAttribute(context.domain.document, place.element, place.attribute, MODERN)];
}

interface ModelPlace {
  readonly element: XmlElement;
  readonly attribute: string;
  readonly value: string | undefined;
}

function modelPlace({ element }: VirtioDevice): ModelPlace | undefined {
  const holder = element.name === 'interface' ? child(element, 'model') : element;
  if (holder === undefined) return undefined;
  const name = element.name === 'interface' ? 'type' : 'model';
  return { element: holder, attribute: name, value: attribute(holder, name) };
}
