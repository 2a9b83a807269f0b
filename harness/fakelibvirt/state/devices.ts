import { refusal } from '../refusal.ts';
import type { Domain } from './domain.ts';
import { type DomainDefinition, readDefinition } from './domain-xml/definition.ts';
import { parseDisk } from './domain-xml/devices.ts';
import { liveTree } from './domain-xml/live.ts';
import { assertHotpluggable } from './hotplug.ts';
import type { Machine } from './machine.ts';
import { parseXml } from './xml/parse.ts';
import { attribute, child, cloneElement, elements, type XmlElement } from './xml/tree.ts';

const KINDS = [
  'disk',
  'lease',
  'filesystem',
  'interface',
  'input',
  'sound',
  'watchdog',
  'video',
  'hostdev',
  'controller',
  'graphics',
  'hub',
  'redirdev',
  'rng',
  'console',
  'channel',
  'serial',
  'parallel',
  'smartcard',
  'memballoon',
  'tpm',
  'shmem',
  'memory',
  'iommu',
  'vsock',
  'panic',
  'nvram',
  'audio',
];

export interface Target {
  readonly live: boolean;
  readonly config: boolean;
}

/** `virDomainAttachDeviceFlags`: the device becomes part of the running guest, of the next start, or of both. */
export function attachDevice(machine: Machine, domain: Domain, xml: string, target: Target): void {
  const device = parseDevice(xml);
  if (target.config) {
    const definition = requirePersistent(domain);
    if (device.name === 'disk' && findDisk(definition, device)) {
      throw refusal('OPERATION_INVALID', 'QEMU', `target ${parseDisk(device).target} already exists`);
    }
    if (device.name === 'disk' && parseDisk(device).bus === 'sata' && machine.has('sata-refused'))
      throw refusal('CONFIG_UNSUPPORTED', 'QEMU', 'SATA is not supported with this QEMU binary');
    domain.persistent = editDefinition(machine, definition, (devices) => devices.children.push(cloneElement(device)));
  }
  if (target.live && domain.live) {
    assertHotpluggable(machine, domain.live.definition, device);
    const definition = editDefinition(machine, domain.live.definition, (devices) =>
      devices.children.push(cloneElement(device)),
    );
    domain.live = { ...domain.live, definition, tree: liveTree(definition, domain.live.id, machine) };
  }
}

/** `virDomainDetachDeviceFlags`. Disks are found by target, interfaces by address, others by equality. */
export function detachDevice(machine: Machine, domain: Domain, xml: string, target: Target): void {
  const device = parseDevice(xml);
  if (target.config) {
    domain.persistent = editDefinition(machine, requirePersistent(domain), (devices) => {
      removeDevice(devices, device, (name) => refusal('DEVICE_MISSING', 'QEMU', `no target device ${name}`));
    });
  }
  if (target.live && domain.live) {
    const definition = editDefinition(machine, domain.live.definition, (devices) => {
      removeDevice(devices, device, (name) => refusal('DEVICE_MISSING', 'QEMU', `disk ${name} not found`));
    });
    domain.live = { ...domain.live, definition, tree: liveTree(definition, domain.live.id, machine) };
  }
}

function parseDevice(xml: string): XmlElement {
  const device = parseXml(xml, 'device_definition');
  if (!KINDS.includes(device.name))
    throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `unknown device type '${device.name}'`);
  return device;
}

function requirePersistent(domain: Domain): DomainDefinition {
  if (domain.persistent !== undefined) return domain.persistent;
  throw refusal('OPERATION_INVALID', 'DOMAIN', 'transient domains do not have any persistent config');
}

function findDisk(definition: DomainDefinition, device: XmlElement) {
  const { target } = parseDisk(device);
  return definition.disks.find((disk) => disk.target === target);
}

/** The definition after a change of its devices, read anew so that defaults and addresses are complete. */
export function editDefinition(
  machine: Machine,
  definition: DomainDefinition,
  change: (devices: XmlElement) => void,
): DomainDefinition {
  const tree = cloneElement(definition.tree);
  const devices = child(tree, 'devices');
  if (devices) change(devices);
  return readDefinition(tree, machine.profile, () => definition.uuid);
}

function removeDevice(devices: XmlElement, device: XmlElement, missing: (name: string) => Error): void {
  const match = elements(devices, device.name).find((candidate) => isSameDevice(candidate, device));
  if (match === undefined) throw device.name === 'interface' ? missingInterface(device) : missing(deviceName(device));
  devices.children.splice(devices.children.indexOf(match), 1);
}

function isSameDevice(candidate: XmlElement, device: XmlElement): boolean {
  switch (device.name) {
    case 'disk':
      return parseDisk(candidate).target === parseDisk(device).target;
    case 'interface':
      return attribute(child(candidate, 'mac'), 'address') === attribute(child(device, 'mac'), 'address');
    default:
      return [...device.attributes].every(([name, value]) => candidate.attributes.get(name) === value);
  }
}

function deviceName(device: XmlElement): string {
  return device.name === 'disk' ? parseDisk(device).target : device.name;
}

function missingInterface(device: XmlElement) {
  const mac = attribute(child(device, 'mac'), 'address') ?? '(null)';
  const text = `no device found at address '(<null>)' matching MAC address '${mac}' and alias '(<null>)'`;
  return refusal('DEVICE_MISSING', 'DOMAIN', text);
}
