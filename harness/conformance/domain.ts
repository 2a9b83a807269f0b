import type { XmlDocument, XmlElement } from './xml-reader.ts';

/** A domain document with the parts that the rules look at, found once. */
export interface DomainView {
  readonly document: XmlDocument;
  readonly root: XmlElement;
  readonly launchSecurity: XmlElement | undefined;
  readonly os: XmlElement | undefined;
  readonly machine: string;
  readonly isQ35: boolean;
  readonly devices: readonly XmlElement[];
  readonly virtioDevices: readonly VirtioDevice[];
  readonly disks: readonly Disk[];
}

export interface VirtioDevice {
  /** What stands after the colon in `IOMMU-OFF:<kind>`. */
  readonly kind: string;
  readonly element: XmlElement;
  readonly driver: XmlElement | undefined;
  readonly iommu: string | undefined;
}

export interface Disk {
  readonly element: XmlElement;
  readonly device: string;
  readonly target: string;
  readonly bus: string;
  readonly bootOrder: number | undefined;
}

/** The bus that libvirt concludes from the first letters of the target when none is given. */
const BUS_BY_PREFIX: Readonly<Record<string, string>> = { vd: 'virtio', sd: 'scsi', hd: 'ide', fd: 'fdc', xv: 'xen' };

export function viewDomain(document: XmlDocument): DomainView {
  const { root } = document;
  const os = child(root, 'os');
  const machine = attribute(child(os, 'type'), 'machine') ?? '';
  const devices = children(root, 'devices').flatMap((part) => part.children);
  return {
    document,
    root,
    launchSecurity: child(root, 'launchSecurity'),
    os,
    machine,
    isQ35: machine.includes('q35'),
    devices,
    virtioDevices: devices.flatMap(virtioDevice),
    disks: devices.filter((device) => device.name === 'disk').map(disk),
  };
}

export function child(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((candidate) => candidate.name === name);
}

export function children(element: XmlElement | undefined, name: string): XmlElement[] {
  return element?.children.filter((candidate) => candidate.name === name) ?? [];
}

export function attribute(element: XmlElement | undefined, name: string): string | undefined {
  return element?.attributes.get(name)?.value;
}

/** Trimmed text of a child; undefined when the child is absent or empty. */
export function childText(element: XmlElement | undefined, name: string): string | undefined {
  return child(element, name)?.text.trim() || undefined;
}

/** Text of the document as a message may carry it: one line, nothing that steers a terminal, at most 60 characters. */
export function shown(text: string): string {
  const plain = text.replace(/\s+/g, ' ').replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd');
  return plain.length <= 60 ? plain : `${plain.slice(0, 59)}…`;
}

/** XPath of an element from the root, with a position wherever a sibling shares the name. */
export function pathOf(element: XmlElement): string {
  const { name, parent, ordinal } = element;
  if (parent === undefined) return `/${name}`;
  const alone = parent.childCounts.get(name) === 1;
  return `${pathOf(parent)}/${name}${alone ? '' : `[${ordinal}]`}`;
}

/** The disk that the firmware boots: the lowest `<boot order>`, else the first; CD-ROM and floppy do not count. */
export function bootDisk(disks: readonly Disk[]): Disk | undefined {
  const candidates = disks.filter(({ device }) => device === 'disk' || device === 'lun');
  const ordered = candidates
    .filter(({ bootOrder }) => bootOrder !== undefined)
    .sort((a, b) => (a.bootOrder ?? 0) - (b.bootOrder ?? 0));
  return ordered[0] ?? candidates[0];
}

function disk(element: XmlElement): Disk {
  const target = child(element, 'target');
  const name = attribute(target, 'dev') ?? '';
  const order = attribute(child(element, 'boot'), 'order');
  return {
    element,
    device: attribute(element, 'device') ?? 'disk',
    target: name,
    bus: attribute(target, 'bus') ?? BUS_BY_PREFIX[name.slice(0, 2)] ?? 'ide',
    bootOrder: order !== undefined && /^[0-9]{1,9}$/.test(order) ? Number(order) : undefined,
  };
}

/** `virtio`, and all that begins with it: `virtio-scsi`, `virtio-non-transitional`, … */
export function isVirtio(model: string | undefined): boolean {
  return model?.startsWith('virtio') === true;
}

function virtioDevice(element: XmlElement): VirtioDevice[] {
  const kind = virtioKind(element);
  if (kind === undefined) return [];
  const driver = child(element, 'driver');
  return [{ kind, element, driver, iommu: attribute(driver, 'iommu') }];
}

/** Where each kind of device says that it sits on virtio (libvirt, formatdomain). */
function virtioKind(element: XmlElement): string | undefined {
  const { name } = element;
  const ifVirtio = (model: string | undefined) => (isVirtio(model) ? name : undefined);
  switch (name) {
    case 'disk':
      return disk(element).bus === 'virtio' ? name : undefined;
    case 'interface':
      // A vDPA interface names no model: it is virtio by nature.
      return attribute(element, 'type') === 'vdpa' ? name : ifVirtio(attribute(child(element, 'model'), 'type'));
    case 'controller':
      return controllerKind(attribute(element, 'type'), isVirtio(attribute(element, 'model')));
    case 'video':
      return ifVirtio(attribute(child(element, 'model'), 'type'));
    case 'input':
      return ifVirtio(attribute(element, 'bus'));
    case 'filesystem':
      // QEMU shares folders by virtio-9p or virtiofs, and nothing else.
      return name;
    case 'crypto':
    case 'memballoon':
    case 'rng':
    case 'sound':
    case 'vsock':
      return ifVirtio(attribute(element, 'model'));
    default:
      return undefined;
  }
}

function controllerKind(type: string | undefined, isVirtio: boolean): string | undefined {
  if (type === 'virtio-serial') return 'controller-virtio-serial';
  return type === 'scsi' && isVirtio ? 'controller-virtio-scsi' : undefined;
}
