import type { Profile } from '../../profiles/profile.ts';
import { isAtLeast } from '../../profiles/profile.ts';
import { refusal, systemRefusal } from '../../refusal.ts';
import { attribute, child, elements } from '../xml/tree.ts';
import type { DomainDefinition } from './definition.ts';
import { isVirtio } from './devices.ts';
import { EMULATOR, isSupportedMachine, maxCpus } from './machines.ts';

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
  if (definition.maxVcpus > maxCpus(machine, profile.qemu)) {
    throw unsupported(`Maximum CPUs greater than specified machine type limit ${maxCpus(machine, profile.qemu)}`);
  }
  if (definition.loader?.secure && !definition.hasSmm) throw unsupported('Secure boot requires SMM feature enabled');
  validateLaunchSecurity(definition, profile);
  for (const device of elements(child(definition.tree, 'devices') ?? definition.tree)) {
    const iommu = attribute(child(device, 'driver'), 'iommu');
    if (iommu !== undefined && VIRTIO_OPTION_DEVICES.includes(device.name) && !isVirtio(device)) {
      throw refusal('CONFIG_UNSUPPORTED', 'DOMAIN', 'iommu driver option is only supported for virtio devices');
    }
    if (device.name === 'rng' && elements(device, 'backend').length !== 1) {
      throw refusal('XML_ERROR', 'DOMAIN', 'only one RNG backend is supported');
    }
  }
}

function validateLaunchSecurity({ launchSecurity }: DomainDefinition, profile: Profile): void {
  if (launchSecurity === undefined) return;
  if (launchSecurity.type === 's390-pv') {
    throw unsupported('S390 PV launch security is not supported with this QEMU binary');
  }
  if (libvirtOffersSev(profile) && launchSecurity.type === 'sev') return;
  const words = isAtLeast(profile.libvirt, [10, 5, 0])
    ? `'${launchSecurity.type}' launch security`
    : 'SEV launch security';
  throw unsupported(`${words} is not supported with this QEMU binary`);
}

function unsupported(text: string) {
  return refusal('CONFIG_UNSUPPORTED', 'QEMU', text);
}
