import { refusal, systemRefusal } from '../refusal.ts';
import type { DomainDefinition } from './domain-xml/definition.ts';
import { deviceElements, duplicateTarget, parseDisk } from './domain-xml/devices.ts';
import { isQ35 } from './domain-xml/machines.ts';
import { freeRootPorts } from './domain-xml/pci.ts';
import { isOnHost } from './host-paths.ts';
import type { Machine } from './machine.ts';
import { attribute, child, type XmlElement } from './xml/tree.ts';

/** Disks on one virtio-scsi controller in libvirt's way of counting: targets 0 to 6, as on the narrow bus of old. */
const DISKS_PER_SCSI_CONTROLLER = 7;

/** What libvirt and QEMU check before a device becomes part of a running guest, in their order. */
export function assertHotpluggable(machine: Machine, definition: DomainDefinition, device: XmlElement): void {
  if (device.name === 'hostdev') assertPassthrough(machine, device);
  if (device.name !== 'disk') return;
  const disk = parseDisk(device);
  if (disk.bus === 'fdc') throw refusal('INTERNAL_ERROR', 'DOMAIN', "Invalid bus type 'fdc' for disk");
  if (disk.type === 'file' && disk.source !== undefined && !isOnHost(disk.source)) {
    throw systemRefusal(2, 'STORAGE', `Cannot access storage file '${disk.source}'`);
  }
  const twin = definition.disks.find((other) => other.target === disk.target);
  if (twin) throw duplicateTarget(disk.target, twin.source, disk.source);
  const unit = Math.max(0, disk.target.charCodeAt(2) - 97);
  switch (disk.bus) {
    case 'virtio':
      assertFreePorts(definition, 1);
      return;
    case 'scsi':
      if (machine.has('scsi-hotplug-refused')) throw notHotpluggable('scsi0.0');
      assertFreePorts(definition, missingScsiControllers(definition, unit));
      return;
    case 'sata':
      throw notHotpluggable(`ide.${unit}`);
    case 'ide':
      if (!isQ35(definition.machine)) throw notHotpluggable(`ide.${unit >> 1}`);
      throw refusal('INTERNAL_ERROR', 'DOMAIN', 'Could not find ide controller with index 0 required for device');
    default:
      return;
  }
}

/** The emulated host has no VFIO: /dev/vfio/vfio is not there (`qemuHostdevPreparePCIDevicesCheckSupport`). */
export function assertPassthrough(machine: Machine, hostdev: XmlElement): void {
  if (attribute(hostdev, 'type') !== 'pci' || machine.has('passthrough-allowed')) return;
  throw refusal('CONFIG_UNSUPPORTED', 'QEMU', "host doesn't support passthrough of host PCI devices");
}

function notHotpluggable(bus: string) {
  const text = `unable to execute QEMU command 'device_add': Bus '${bus}' does not support hotplugging`;
  return refusal('INTERNAL_ERROR', 'QEMU', text);
}

function missingScsiControllers({ tree }: DomainDefinition, unit: number): number {
  const controllers = deviceElements(tree, 'controller').filter((one) => attribute(one, 'type') === 'scsi');
  return Math.max(0, Math.floor(unit / DISKS_PER_SCSI_CONTROLLER) + 1 - controllers.length);
}

function assertFreePorts({ tree, machine }: DomainDefinition, wanted: number): void {
  const devices = child(tree, 'devices');
  if (!isQ35(machine) || devices === undefined || freeRootPorts(devices) >= wanted) return;
  throw refusal('INTERNAL_ERROR', 'DOMAIN', 'No more available PCI slots');
}
