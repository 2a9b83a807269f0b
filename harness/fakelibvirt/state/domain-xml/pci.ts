import { attribute, child, element, elements, insertAfter, type XmlElement } from '../xml/tree.ts';
import { isVirtio } from './devices.ts';

const FUNCTIONS = 8;

/** Kinds in the order in which the QEMU driver gives them addresses (`qemuDomainAssignDevicePCISlots`). */
const ASSIGNMENT_ORDER = ['filesystem', 'interface', 'controller', 'disk', 'memballoon', 'rng', 'shmem', 'input'];

interface Address {
  readonly bus: number;
  readonly slot: number;
  readonly fn: number;
}

/**
 * Gives PCI addresses to the devices that have none.
 *
 * q35: integrated devices on bus 0, everything else behind a root port of its own, root ports eight to a slot, and one
 * spare port for hotplug when the user defined none. i440fx: one flat bus.
 */
export function assignPciAddresses(devices: XmlElement, isPcie: boolean): void {
  const all = elements(devices).filter((one) => one.name !== 'emulator');
  const taken = new Set(
    all
      .map(addressOf)
      .filter((one) => one !== undefined)
      .map(key),
  );
  const place = (device: XmlElement, address: Address, isMultifunction = false) => {
    taken.add(key(address));
    device.children.push(addressElement(address, isMultifunction));
  };
  for (const device of all) {
    const fixed = fixedAddress(device, isPcie);
    if (fixed && !hasAddress(device) && !taken.has(key(fixed))) place(device, fixed);
  }
  const waiting = ASSIGNMENT_ORDER.flatMap((kind) =>
    all.filter((one) => one.name === kind && wantsPci(one) && !hasAddress(one)),
  );
  if (!isPcie) {
    for (const device of waiting) place(device, { bus: 0, slot: freeSlot(taken, 0, 2), fn: 0 });
    return;
  }
  const ports = all.filter((one) => one.name === 'controller' && attribute(one, 'model') === 'pcie-root-port');
  const isUserTopology = ports.length > 0;
  const indexes = ports.map((one) => Number(attribute(one, 'index')));
  const free = () => indexes.filter((bus) => !taken.has(key({ bus, slot: 0, fn: 0 })));
  const spare = isUserTopology ? 0 : 1;
  let next = Math.max(0, ...indexes) + 1;
  for (let missing = waiting.length + spare - free().length; missing > 0; missing--) {
    const port = element('controller', { type: 'pci', index: String(next), model: 'pcie-root-port' });
    insertAfter(devices, ['emulator', 'disk', 'controller'], port);
    ports.push(port);
    indexes.push(next++);
  }
  const portSlots = new Set(
    ports
      .map(addressOf)
      .filter((one) => one !== undefined)
      .map((one) => one.slot),
  );
  for (const port of ports) completePort(port, taken, portSlots);
  for (const device of waiting) {
    const [bus] = free();
    if (bus !== undefined) place(device, { bus, slot: 0, fn: 0 });
  }
}

/** Root ports behind which a device can still be plugged in. */
export function freeRootPorts(devices: XmlElement): number {
  const all = elements(devices);
  const used = new Set(all.flatMap((device) => addressOf(device)?.bus ?? []));
  const ports = all.filter((one) => one.name === 'controller' && attribute(one, 'model') === 'pcie-root-port');
  return ports.filter((port) => !used.has(Number(attribute(port, 'index')))).length;
}

function completePort(port: XmlElement, taken: Set<string>, portSlots: Set<number>): void {
  if (!hasAddress(port)) {
    const address = nextPortAddress(taken, portSlots);
    portSlots.add(address.slot);
    taken.add(key(address));
    port.children.push(addressElement(address, address.fn === 0));
  }
  const { slot, fn } = addressOf(port) ?? { slot: 0, fn: 0 };
  const index = attribute(port, 'index') ?? '1';
  if (!child(port, 'target')) {
    port.children.unshift(element('target', { chassis: index, port: `0x${(slot * FUNCTIONS + fn).toString(16)}` }));
  }
  if (!child(port, 'model')) port.children.unshift(element('model', { name: 'pcie-root-port' }));
}

/** Root ports fill the eight functions of a slot before the next slot is begun. */
function nextPortAddress(taken: ReadonlySet<string>, portSlots: ReadonlySet<number>): Address {
  for (let slot = 1; ; slot++) {
    if (!isSlotTaken(taken, 0, slot)) return { bus: 0, slot, fn: 0 };
    if (!portSlots.has(slot)) continue;
    for (let fn = 0; fn < FUNCTIONS; fn++) {
      if (!taken.has(key({ bus: 0, slot, fn }))) return { bus: 0, slot, fn };
    }
  }
}

function isSlotTaken(taken: ReadonlySet<string>, bus: number, slot: number): boolean {
  return Array.from({ length: FUNCTIONS }, (_, fn) => key({ bus, slot, fn })).some((one) => taken.has(one));
}

function freeSlot(taken: ReadonlySet<string>, bus: number, first: number): number {
  let slot = first;
  while (isSlotTaken(taken, bus, slot)) slot++;
  return slot;
}

/** Devices of the chipset, and the first video card. */
function fixedAddress(device: XmlElement, isPcie: boolean): Address | undefined {
  const type = attribute(device, 'type');
  if (device.name === 'video' && attribute(child(device, 'model'), 'type') !== 'none') {
    return { bus: 0, slot: isPcie ? 1 : 2, fn: 0 };
  }
  if (device.name === 'sound' && isPcie) return { bus: 0, slot: 0x1b, fn: 0 };
  if (device.name !== 'controller' || attribute(device, 'index') !== '0') return undefined;
  if (isPcie && type === 'sata') return { bus: 0, slot: 0x1f, fn: 2 };
  if (!isPcie && type === 'ide') return { bus: 0, slot: 1, fn: 1 };
  if (!isPcie && type === 'usb' && attribute(device, 'model') === 'piix3-uhci') return { bus: 0, slot: 1, fn: 2 };
  return undefined;
}

function wantsPci(device: XmlElement): boolean {
  switch (device.name) {
    case 'disk':
    case 'input':
      return isVirtio(device);
    case 'controller': {
      const type = attribute(device, 'type');
      if (type === 'usb') return attribute(device, 'model') !== 'none';
      return type === 'virtio-serial' || type === 'scsi';
    }
    case 'memballoon':
      return attribute(device, 'model') !== 'none';
    default:
      return true;
  }
}

function hasAddress(device: XmlElement): boolean {
  return child(device, 'address') !== undefined;
}

function addressOf(device: XmlElement): Address | undefined {
  const address = child(device, 'address');
  if (attribute(address, 'type') !== 'pci') return undefined;
  const part = (name: string) => Number(attribute(address, name) ?? 0) || 0;
  return { bus: part('bus'), slot: part('slot'), fn: part('function') };
}

function key({ bus, slot, fn }: Address): string {
  return `${bus}:${slot}.${fn}`;
}

function addressElement({ bus, slot, fn }: Address, isMultifunction: boolean): XmlElement {
  const hex = (value: number) => `0x${value.toString(16).padStart(2, '0')}`;
  return element('address', {
    type: 'pci',
    domain: '0x0000',
    bus: hex(bus),
    slot: hex(slot),
    function: `0x${fn.toString(16)}`,
    multifunction: isMultifunction ? 'on' : undefined,
  });
}
