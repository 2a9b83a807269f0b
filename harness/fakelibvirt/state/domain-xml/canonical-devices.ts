import { attribute, child, element, elements, insertAfter, isElement, type XmlElement } from '../xml/tree.ts';
import type { DomainDefinition } from './definition.ts';
import { parseDisk } from './devices.ts';
import { isQ35 } from './machines.ts';
import { assignPciAddresses } from './pci.ts';

type Facts = Pick<DomainDefinition, 'emulator' | 'machine' | 'uuid'>;

/** The order in which libvirt prints the kinds of devices. */
const ORDER = [
  'disk',
  'controller',
  'lease',
  'filesystem',
  'interface',
  'smartcard',
  'serial',
  'parallel',
  'console',
  'channel',
  'input',
  'tpm',
  'graphics',
  'sound',
  'audio',
  'video',
  'hostdev',
  'redirdev',
  'redirfilter',
  'hub',
  'watchdog',
  'memballoon',
  'rng',
  'nvram',
  'panic',
  'shmem',
  'memory',
  'iommu',
  'vsock',
  'crypto',
];
const DISK_ORDER = [
  'driver',
  'auth',
  'source',
  'backingStore',
  'mirror',
  'target',
  'iotune',
  'readonly',
  'shareable',
  'transient',
  'serial',
  'wwn',
  'vendor',
  'product',
  'boot',
  'encryption',
  'alias',
  'address',
];

/**
 * The devices with those that libvirt adds to an x86 guest.
 *
 * Not reproduced: details that libvirt adds inside sound, tpm, redirdev, hostdev and shmem; drive addresses of more
 * than one controller; PCI bridges (conventional PCI devices of a q35 guest get a root port instead), several roots.
 */
export function canonicalDevices(root: XmlElement, facts: Facts): XmlElement {
  const given = elements(child(root, 'devices') ?? element('devices')).filter((device) => device.name !== 'emulator');
  const of = (kind: string) => given.filter((device) => device.name === kind);
  const graphics = of('graphics').map(canonicalGraphics);
  const serials = of('serial').map(canonicalSerial);
  const made = new Map<string, XmlElement[]>([
    ['disk', of('disk').map(canonicalDisk)],
    ['controller', canonicalControllers(of('controller'), given, facts.machine)],
    ['interface', of('interface').map((one, index) => canonicalInterface(one, index, facts))],
    ['serial', serials],
    ['console', canonicalConsoles(of('console'), serials)],
    ['channel', of('channel').map(canonicalChannel)],
    ['input', canonicalInputs(of('input'))],
    ['graphics', graphics],
    ['audio', of('audio').length > 0 ? of('audio') : [element('audio', { id: '1', type: 'none' })]],
    ['video', canonicalVideos(of('video'), graphics.length > 0)],
    [
      'memballoon',
      of('memballoon').length > 0 ? of('memballoon').slice(0, 1) : [element('memballoon', { model: 'virtio' })],
    ],
  ]);
  const known = ORDER.flatMap((kind) => made.get(kind) ?? of(kind));
  const unknown = given.filter((device) => !ORDER.includes(device.name));
  const emulator = element('emulator', {}, [facts.emulator]);
  const devices = element('devices', {}, [emulator, ...known, ...unknown]);
  assignPciAddresses(devices, isQ35(facts.machine));
  for (const balloon of elements(devices, 'memballoon')) moveToEnd(balloon, 'driver');
  return devices;
}

/** libvirt prints a balloon's driver options behind its address. */
function moveToEnd(parent: XmlElement, name: string): void {
  const moved = elements(parent, name);
  const kept = parent.children.filter((node) => !isElement(node) || node.name !== name);
  parent.children.splice(0, parent.children.length, ...kept, ...moved);
}

export function canonicalDisk(source: XmlElement): XmlElement {
  const { device, bus, target, type } = parseDisk(source);
  const children = elements(source).map((one) => {
    if (one.name === 'target') return element('target', { ...Object.fromEntries(one.attributes), dev: target, bus });
    if (one.name === 'driver' && !one.attributes.has('type')) {
      return element('driver', {
        name: attribute(one, 'name') ?? 'qemu',
        type: 'raw',
        ...Object.fromEntries(one.attributes),
      });
    }
    return one;
  });
  if (!children.some((one) => one.name === 'driver')) children.push(element('driver', { name: 'qemu', type: 'raw' }));
  if (device === 'cdrom' && !children.some((one) => one.name === 'readonly')) children.push(element('readonly'));
  if (bus !== 'virtio' && bus !== 'usb' && !children.some((one) => one.name === 'address')) {
    const unit = String(Math.max(0, target.charCodeAt(2) - 97));
    children.push(element('address', { type: 'drive', controller: '0', bus: '0', target: '0', unit }));
  }
  const rank = (one: XmlElement) => (DISK_ORDER.indexOf(one.name) + DISK_ORDER.length + 1) % (DISK_ORDER.length + 1);
  children.sort((a, b) => rank(a) - rank(b));
  const rest = [...source.attributes].filter(([name]) => name !== 'type' && name !== 'device');
  return element('disk', { type, device, ...Object.fromEntries(rest) }, children);
}

function canonicalControllers(
  given: readonly XmlElement[],
  devices: readonly XmlElement[],
  machine: string,
): XmlElement[] {
  const controllers: XmlElement[] = [];
  const has = (type: string) => controllers.some((one) => attribute(one, 'type') === type);
  const add = (type: string, model?: string) => {
    const index = controllers.filter((one) => attribute(one, 'type') === type).length;
    controllers.push(element('controller', { type, index: String(index), model }));
  };
  for (const one of given) {
    const type = attribute(one, 'type') ?? 'pci';
    const index =
      attribute(one, 'index') ?? String(controllers.filter((other) => attribute(other, 'type') === type).length);
    const model = type === 'usb' ? 'piix3-uhci' : undefined;
    controllers.push(
      element('controller', { type, index, model, ...Object.fromEntries(one.attributes) }, one.children),
    );
  }
  if (!has('usb')) add('usb', isQ35(machine) ? 'qemu-xhci' : 'piix3-uhci');
  if (isQ35(machine) && !has('sata')) add('sata');
  const root = isQ35(machine) ? 'pcie-root' : 'pci-root';
  if (!controllers.some((one) => attribute(one, 'type') === 'pci' && attribute(one, 'model') === root)) {
    for (const one of controllers) {
      if (attribute(one, 'type') === 'pci') one.attributes.set('index', String(Number(attribute(one, 'index')) + 1));
    }
    controllers.push(element('controller', { type: 'pci', index: '0', model: root }));
  }
  const buses = devices.filter((one) => one.name === 'disk').map((one) => parseDisk(one).bus);
  if (buses.includes('scsi') && !has('scsi')) add('scsi', 'lsilogic');
  if (!isQ35(machine) && buses.includes('ide') && !has('ide')) add('ide');
  const wantsSerialBus = devices.some(
    (one) => attribute(child(one, 'target'), 'type') === 'virtio' && one.name !== 'disk',
  );
  if (wantsSerialBus && !has('virtio-serial')) add('virtio-serial');
  return controllers;
}

/** Locally administered, in QEMU's range, and the same each time for one guest. */
function canonicalInterface(source: XmlElement, index: number, { uuid }: Facts): XmlElement {
  const added: XmlElement[] = [];
  if (!child(source, 'mac')) {
    const seed = uuid.replaceAll('-', '');
    const last = (Number.parseInt(seed.slice(30), 16) ^ index).toString(16).padStart(2, '0');
    const address = ['52:54:00', seed.slice(26, 28), seed.slice(28, 30), last].join(':');
    added.push(element('mac', { address }));
  }
  const children = [...added, ...source.children];
  if (!child(source, 'model') && attribute(source, 'type') !== 'hostdev') {
    const full = { ...source, children };
    insertAfter(full, ['mac', 'source', 'virtualport', 'target'], element('model', { type: 'rtl8139' }));
    return full;
  }
  return { ...source, children };
}

function canonicalSerial(source: XmlElement, index: number): XmlElement {
  const target = child(source, 'target');
  const type = attribute(target, 'type') ?? 'isa-serial';
  const port = attribute(target, 'port') ?? String(index);
  const full = element('target', { type, port }, [element('model', { name: type })]);
  const others = source.children.filter((one) => !isElement(one) || !['target', 'alias'].includes(one.name));
  return { ...source, children: [...others, full] };
}

/** libvirt shows the first serial port as a console too. */
function canonicalConsoles(given: readonly XmlElement[], serials: readonly XmlElement[]): XmlElement[] {
  const [serial] = serials;
  if (given.length === 0) {
    if (serial === undefined) return [];
    const kept = serial.children.filter((one) => isElement(one) && ['source', 'protocol', 'log'].includes(one.name));
    const target = element('target', { type: 'serial', port: '0' });
    return [element('console', Object.fromEntries(serial.attributes), [...kept, target])];
  }
  return given.map((one, index) => {
    const target = child(one, 'target');
    const full = element('target', {
      type: attribute(target, 'type') ?? 'serial',
      port: attribute(target, 'port') ?? String(index),
    });
    return { ...one, children: [...one.children.filter((node) => !isElement(node) || node.name !== 'target'), full] };
  });
}

function canonicalChannel(source: XmlElement, index: number): XmlElement {
  if (child(source, 'address') || attribute(child(source, 'target'), 'type') !== 'virtio') return source;
  const address = element('address', { type: 'virtio-serial', controller: '0', bus: '0', port: String(index + 1) });
  return { ...source, children: [...source.children, address] };
}

/** A PC has a PS/2 mouse and keyboard whether asked for or not. */
function canonicalInputs(given: readonly XmlElement[]): XmlElement[] {
  const inputs = given.map((one) => {
    const bus = attribute(one, 'bus') ?? (attribute(one, 'type') === 'tablet' ? 'usb' : 'ps2');
    return element('input', { type: attribute(one, 'type'), bus, ...Object.fromEntries(one.attributes) }, one.children);
  });
  for (const type of ['mouse', 'keyboard']) {
    const isThere = inputs.some((one) => attribute(one, 'type') === type && attribute(one, 'bus') === 'ps2');
    if (!isThere) inputs.push(element('input', { type, bus: 'ps2' }));
  }
  return inputs;
}

function canonicalGraphics(source: XmlElement): XmlElement {
  if (!['vnc', 'spice'].includes(attribute(source, 'type') ?? '')) return source;
  const autoport = (attribute(source, 'autoport') ?? (attribute(source, 'port') ?? '-1') === '-1') ? 'yes' : 'no';
  const address = attribute(source, 'listen');
  const listen = elements(source, 'listen').length > 0 ? [] : [element('listen', { type: 'address', address })];
  const order = { type: attribute(source, 'type'), port: attribute(source, 'port') ?? '-1', autoport };
  return element('graphics', { ...order, ...Object.fromEntries(source.attributes) }, [...listen, ...source.children]);
}

function canonicalVideos(given: readonly XmlElement[], hasGraphics: boolean): XmlElement[] {
  const videos =
    given.length === 0 && hasGraphics ? [element('video', {}, [element('model', { type: 'cirrus' })])] : given;
  return videos.map((one, index) => {
    const model = child(one, 'model');
    const type = attribute(model, 'type') ?? 'vga';
    if (type === 'none') return one;
    const defaults = {
      type,
      vram: type === 'vga' || type === 'bochs' || type === 'cirrus' ? '16384' : undefined,
      heads: '1',
      primary: index === 0 ? 'yes' : undefined,
    };
    const full = element('model', { ...defaults, ...Object.fromEntries(model?.attributes ?? []) }, model?.children);
    return { ...one, children: [full, ...one.children.filter((node) => node !== model)] };
  });
}
