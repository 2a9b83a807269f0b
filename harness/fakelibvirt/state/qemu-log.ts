import { cBitPosition } from '../profiles/profile.ts';
import { REPORTED_REDUCED_PHYS_BITS } from '../qemu/launch.ts';
import type { Domain } from './domain.ts';
import type { DomainDefinition } from './domain-xml/definition.ts';
import type { Machine } from './machine.ts';

/** Reasons that libvirt gives for the end of a QEMU (`virDomainShutoffReason`). */
export type EndReason = 'destroyed' | 'shutdown' | 'crashed' | 'saved' | 'failed';

/** What libvirt 9.0 writes before it runs QEMU; of the command line, what is about memory and encryption. */
export function logStart(machine: Machine, domain: Domain, definition: DomainDefinition): void {
  const { libvirt, qemu, kernel, name } = machine.profile;
  const versions = `libvirt version: ${libvirt.join('.')}, qemu version: ${qemu.join('.')}, kernel: ${kernel}`;
  const lines = [
    `${stamp(machine)}: starting up ${versions}, hostname: emulated-${name}`,
    `${definition.emulator} \\`,
    ...commandLine(definition, machine).map((option) => `${option} \\`),
    '-msg timestamp=on',
  ];
  machine.appendQemuLog(domain.name, lines.join('\n'));
}

/** libvirt's last line about a QEMU (`qemuProcessStop`). */
export function logEnd(machine: Machine, domain: Domain, reason: EndReason): void {
  machine.appendQemuLog(domain.name, `${stamp(machine)}: shutting down, reason=${reason}`);
}

function stamp(machine: Machine): string {
  return new Date(machine.clock.nowMs()).toISOString().replace('T', ' ').replace('Z', '+0000');
}

function commandLine(definition: DomainDefinition, { profile }: Machine): string[] {
  const { name, machine, virtType, memoryKiB, isLocked, isPreallocated, maxVcpus, uuid, launchSecurity } = definition;
  const sev = launchSecurity?.type === 'sev' ? launchSecurity : undefined;
  const object = (properties: object) => `-object '${JSON.stringify(properties)}'`;
  return [
    `-name guest=${name},debug-threads=on`,
    '-S',
    `-machine ${machine},usb=off,dump-guest-core=off,memory-backend=pc.ram${sev ? ',confidential-guest-support=lsec0' : ''}`,
    `-accel ${virtType === 'kvm' ? 'kvm' : 'tcg'}`,
    `-m ${Math.floor(memoryKiB / 1024)}`,
    object({
      'qom-type': 'memory-backend-ram',
      id: 'pc.ram',
      ...(isPreallocated ? { prealloc: true } : {}),
      size: memoryKiB * 1024,
    }),
    `-overcommit mem-lock=${isLocked ? 'on' : 'off'}`,
    `-smp ${maxVcpus},sockets=${maxVcpus},cores=1,threads=1`,
    `-uuid ${uuid}`,
    ...(sev
      ? [
          object({
            'qom-type': 'sev-guest',
            id: 'lsec0',
            cbitpos: sev.cbitpos ?? cBitPosition(profile.memoryEncryption),
            'reduced-phys-bits': sev.reducedPhysBits ?? REPORTED_REDUCED_PHYS_BITS,
            policy: sev.policy,
          }),
        ]
      : []),
  ];
}
