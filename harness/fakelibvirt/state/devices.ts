import { refusal } from '../refusal.ts';
import type { Domain } from './domain.ts';
import type { DomainDefinition } from './domain-xml/definition.ts';
import { parseDisk } from './domain-xml/devices.ts';
import { editDevices, editLive, editPersistent, requirePersistent, type Target } from './edit.ts';
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

/** `virDomainAttachDeviceFlags`: the device becomes part of the running guest, of the next start, or of both. */
export function attachDevice(machine: Machine, domain: Domain, xml: string, target: Target): void {
  const device = parseDevice(xml);
  const attach = editDevices((devices) => devices.children.push(cloneElement(device)));
  if (target.config) {
    if (device.name === 'disk' && findDisk(requirePersistent(domain), device)) {
      throw refusal('OPERATION_INVALID', 'QEMU', `target ${parseDisk(device).target} already exists`);
    }
    if (device.name === 'disk' && parseDisk(device).bus === 'sata' && machine.has('sata-refused'))
      throw refusal('CONFIG_UNSUPPORTED', 'QEMU', 'SATA is not supported with this QEMU binary');
    editPersistent(machine, domain, attach);
  }
  if (target.live && domain.live) {
    assertHotpluggable(machine, domain.live.definition, device);
    editLive(machine, domain, attach);
  }
}

/** `virDomainDetachDeviceFlags`. Disks are found by target, interfaces by address, others by equality. */
export function detachDevice(machine: Machine, domain: Domain, xml: string, target: Target): void {
  const device = parseDevice(xml);
  const detach = (missing: (name: string) => string) =>
    editDevices((devices) => removeDevice(devices, device, (name) => refusal('DEVICE_MISSING', 'QEMU', missing(name))));
  const fromConfig = detach((name) => `no target device ${name}`);
  const fromGuest = detach((name) => `disk ${name} not found`);
  if (target.config) editPersistent(machine, domain, fromConfig);
  if (target.live) editLive(machine, domain, fromGuest);
}

function parseDevice(xml: string): XmlElement {
  const device = parseXml(xml, 'device_definition');
  if (!KINDS.includes(device.name))
    throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', `unknown device type '${device.name}'`);
  return device;
}

function findDisk(definition: DomainDefinition, device: XmlElement) {
  const { target } = parseDisk(device);
  return definition.disks.find((disk) => disk.target === target);
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
