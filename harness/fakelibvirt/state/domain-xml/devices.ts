import { refusal } from '../../refusal.ts';
import { attribute, child, elements, type XmlElement } from '../xml/tree.ts';
import { enumAttribute, requiredEnumAttribute } from './values.ts';

export interface Disk {
  readonly type: string;
  readonly device: string;
  readonly target: string;
  readonly bus: string;
  readonly format: string;
  readonly source: string | undefined;
}

const DISK_TYPES = ['file', 'block', 'dir', 'network', 'volume', 'nvme', 'vhostuser'] as const;
const DISK_DEVICES = ['disk', 'cdrom', 'floppy', 'lun'] as const;
const INTERFACE_TYPES = [
  'user',
  'ethernet',
  'vhostuser',
  'server',
  'client',
  'mcast',
  'network',
  'bridge',
  'internal',
  'direct',
  'hostdev',
  'udp',
  'vdpa',
  'null',
  'vds',
] as const;

/** The bus that libvirt concludes from the first two letters of the target (`virDiskNameToBusDeviceIndex`). */
const BUS_BY_PREFIX: Readonly<Record<string, string>> = { vd: 'virtio', sd: 'scsi', hd: 'ide', fd: 'fdc', xv: 'xen' };

export function deviceElements(root: XmlElement, kind: string): XmlElement[] {
  const devices = child(root, 'devices');
  return devices === undefined ? [] : elements(devices, kind);
}

export function parseDisks(root: XmlElement): Disk[] {
  const disks = deviceElements(root, 'disk').map(parseDisk);
  for (const [index, disk] of disks.entries()) {
    const twin = disks.slice(0, index).find((other) => other.target === disk.target);
    if (twin) throw duplicateTarget(disk.target, twin.source, disk.source);
  }
  return disks;
}

export function duplicateTarget(target: string, first: string | undefined, second: string | undefined) {
  const sources = `'${first ?? ''}' and '${second ?? ''}'`;
  return refusal('XML_ERROR', 'DOMAIN', `target '${target}' duplicated for disk sources ${sources}`);
}

export function parseDisk(disk: XmlElement): Disk {
  const type = enumAttribute(disk, 'type', DISK_TYPES) ?? 'file';
  const device = enumAttribute(disk, 'device', DISK_DEVICES) ?? 'disk';
  const sourceElement = child(disk, 'source');
  const source = ['file', 'dev', 'dir', 'name', 'volume'].map((key) => attribute(sourceElement, key)).find(Boolean);
  const target = attribute(child(disk, 'target'), 'dev');
  if (target === undefined) throw refusal('NO_TARGET', 'DOMAIN', source ?? '(null)');
  const bus = attribute(child(disk, 'target'), 'bus') ?? BUS_BY_PREFIX[target.slice(0, 2)] ?? 'ide';
  return { type, device, target, bus, source, format: attribute(child(disk, 'driver'), 'type') ?? 'raw' };
}

export function parseInterfaces(root: XmlElement): void {
  for (const one of deviceElements(root, 'interface')) {
    requiredEnumAttribute(one, 'type', INTERFACE_TYPES);
    const address = attribute(child(one, 'mac'), 'address');
    if (address !== undefined && !/^[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}$/.test(address)) {
      throw refusal('XML_ERROR', 'DOMAIN', `unable to parse mac address '${address}'`);
    }
  }
}

const RNG_MODELS = ['virtio', 'virtio-transitional', 'virtio-non-transitional'];
const RNG_BACKENDS = ['random', 'egd', 'builtin'];

export function parseRngs(root: XmlElement): void {
  for (const rng of deviceElements(root, 'rng')) {
    requireRngModel('RNG device model', 'RNG model', attribute(rng, 'model'), RNG_MODELS);
    const backends = elements(rng, 'backend');
    if (backends.length !== 1) throw refusal('XML_ERROR', 'DOMAIN', 'only one RNG backend is supported');
    requireRngModel('RNG device backend model', 'RNG backend model', attribute(backends[0], 'model'), RNG_BACKENDS);
  }
}

function requireRngModel(missing: string, unknown: string, model: string | undefined, known: readonly string[]): void {
  if (model === undefined) throw refusal('XML_ERROR', 'DOMAIN', `missing ${missing}`);
  if (!known.includes(model)) throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `unknown ${unknown} '${model}'`);
}

/** Whether a device sits on virtio, by the place where its kind says so. */
export function isVirtio(device: XmlElement): boolean {
  switch (device.name) {
    case 'disk':
      return parseDisk(device).bus === 'virtio';
    case 'controller':
      return attribute(device, 'type') === 'virtio-serial' || (attribute(device, 'model') ?? '').startsWith('virtio');
    case 'interface':
      return (attribute(child(device, 'model'), 'type') ?? '').startsWith('virtio');
    case 'video':
      return (attribute(child(device, 'model'), 'type') ?? '').startsWith('virtio');
    case 'input':
      return attribute(device, 'bus') === 'virtio';
    default:
      return (attribute(device, 'model') ?? 'virtio').startsWith('virtio');
  }
}
