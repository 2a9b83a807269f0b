import { attribute, child, shown, type VirtioDevice } from '../domain.ts';
import type { Problem, RuleContext } from '../rule.ts';
import { SENTENCE } from '../sources.ts';
import { setAttribute } from '../xml-edit.ts';
import type { XmlElement } from '../xml-reader.ts';
import { movingBootDisk } from './disk-move.ts';

/**
 * On a machine without PCIe, virtio devices are 0.9 unless their model says otherwise, and SEV needs 1.0. They are changed only
 * where the machine type stays: on q35 they are right as they are.
 */
export function* transitionalDevices(context: RuleContext, machineStays: boolean): Iterable<Problem> {
  const { domain } = context;
  const moving = movingBootDisk(context)?.element;
  for (const device of domain.virtioDevices) {
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
    if (place === undefined || place.value === 'virtio-non-transitional') continue;
    yield {
      at: device.element,
      message: `on machine type '${shown(domain.machine)}' this ${device.element.name} speaks virtio 0.9`,
      suggestion: `${place.attribute}='virtio-non-transitional' (libvirt 5.2.0 or later)`,
      ...(machineStays && device.element !== moving
        ? { edits: [setAttribute(domain.document, place.element, place.attribute, 'virtio-non-transitional')] }
        : {}),
      source: SENTENCE.virtio10,
    };
  }
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
