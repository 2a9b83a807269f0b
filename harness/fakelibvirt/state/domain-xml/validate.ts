import type { Profile } from '../../profiles/profile.ts';
import { isAtLeast } from '../../profiles/profile.ts';
import { refusal, systemRefusal } from '../../refusal.ts';
import { attribute, child, elements, find } from '../xml/tree.ts';
import type { DomainDefinition } from './definition.ts';
import { isVirtio, parseDisk } from './devices.ts';
import { EMULATOR, isQ35, isSupportedMachine, maxCpus } from './machines.ts';

const EMULATORS = [EMULATOR, '/usr/bin/qemu-system-i386', '/usr/bin/kvm', '/usr/bin/qemu-kvm', '/usr/libexec/qemu-kvm'];

/** Devices with a `<driver>` that takes `iommu`. */
const VIRTIO_OPTION_DEVICES = ['disk', 'controller', 'interface', 'filesystem', 'input', 'memballoon', 'rng', 'video'];

/** Whether libvirt believes that its QEMU can run SEV guests. */
export function libvirtOffersSev(profile: Profile): boolean {
  return profile.obstacle === 'none';
}

/** The QEMU driver's checks of a parsed definition (`qemuValidateDomainDef`, then the devices), in their order. */
export function validateDefinition(
  definition: DomainDefinition,
  osType: string,
  architecture: string,
  profile: Profile,
): void {
  const { emulator, machine } = definition;
  if (!EMULATORS.includes(emulator)) throw systemRefusal(2, 'QEMU', `Cannot check QEMU binary ${emulator}`);
  if (osType !== 'hvm') throw unsupported(`Emulator '${emulator}' does not support os type '${osType}'`);
  if (architecture === 'i686' && emulator !== EMULATORS[1] && emulator !== EMULATOR) {
    throw unsupported(`Emulator '${emulator}' does not support arch '${architecture}'`);
  }
  if (!isSupportedMachine(machine, profile.qemu)) {
    throw unsupported(`Emulator '${emulator}' does not support machine type '${machine}'`);
  }
  if (find(definition.tree, 'memtune', 'min_guarantee'))
    throw unsupported("Parameter 'min_guarantee' not supported by QEMU.");
  validateFirmware(definition, profile);
  validateLifecycle(definition);
  if (definition.maxVcpus > maxCpus(machine, profile.qemu)) {
    throw unsupported(`Maximum CPUs greater than specified machine type limit ${maxCpus(machine, profile.qemu)}`);
  }
  // Newer ones switch SMM on by themselves.
  if (definition.loader?.secure && !definition.hasSmm && !isAtLeast(profile.libvirt, [10, 0, 0])) {
    throw unsupported('Secure boot requires SMM feature enabled');
  }
  validateLaunchSecurity(definition, profile);
  for (const device of elements(child(definition.tree, 'devices') ?? definition.tree)) {
    const iommu = attribute(child(device, 'driver'), 'iommu');
    if (iommu !== undefined && VIRTIO_OPTION_DEVICES.includes(device.name) && !isVirtio(device)) {
      throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', 'iommu driver option is only supported for virtio devices');
    }
    if (device.name === 'disk' && parseDisk(device).bus === 'ide' && isQ35(machine)) {
      throw unsupported('IDE controllers are unsupported for this QEMU binary or machine type');
    }
  }
}

function validateFirmware({ tree, loader, hasAcpi }: DomainDefinition, profile: Profile): void {
  const os = child(tree, 'os');
  const isAutoselected = attribute(os, 'firmware') === 'efi';
  if (isAutoselected && attribute(child(os, 'loader'), 'secure') === 'no' && !isAtLeast(profile.libvirt, [10, 0, 0])) {
    const text = "loader attribute 'secure' cannot be specified when firmware autoselection is enabled";
    throw refusal('XML_DETAIL', 'DOMAIN', text);
  }
  if ((isAutoselected || loader?.type === 'pflash') && !hasAcpi)
    throw unsupported('UEFI requires ACPI on this architecture');
}

/** `qemuValidateDomainLifecycleAction`: QEMU can end, reset, or dump. */
function validateLifecycle({ onPoweroff, onReboot, onCrash }: DomainDefinition): void {
  if (onPoweroff === 'preserve' || onReboot === 'preserve') {
    throw unsupported("qemu driver doesn't support the 'preserve' action for 'on_reboot'/'on_poweroff'");
  }
  if ([onPoweroff, onReboot, onCrash].includes('rename-restart')) {
    const actions = "'on_reboot'/'on_poweroff'/'on_crash'";
    throw unsupported(`qemu driver doesn't support the 'rename-restart' action for ${actions}`);
  }
  if (onReboot === 'destroy' && onPoweroff === 'restart') {
    throw unsupported("qemu driver doesn't support 'onReboot' set to 'destroy and 'onPoweroff' set to 'reboot'");
  }
}

function validateLaunchSecurity({ launchSecurity }: DomainDefinition, profile: Profile): void {
  if (launchSecurity === undefined) return;
  if (libvirtOffersSev(profile) && launchSecurity.type === 'sev') return;
  const olderWord = launchSecurity.type === 's390-pv' ? 'S390 PV' : 'SEV';
  const word = isAtLeast(profile.libvirt, [10, 5, 0]) ? `'${launchSecurity.type}'` : olderWord;
  throw unsupported(`${word} launch security is not supported with this QEMU binary`);
}

function unsupported(text: string) {
  return refusal('CONFIG_UNSUPPORTED', 'QEMU', text);
}
