import { known, type PreflightReadings } from './readings.ts';

/** How to let libvirt probe QEMU again (the article, "Checking SEV support in the virt stack"), with this host's daemon. */
export function reprobe({ memoryLock, isSession }: PreflightReadings): string {
  const folder = 'libvirt/qemu/capabilities/*';
  if (isSession)
    return `Let libvirt probe QEMU again: end your own libvirtd or virtqemud, rm -f ~/.cache/${folder}, and connect again.`;
  const daemon = known(memoryLock)?.daemon;
  const name = daemon ?? 'libvirtd';
  const orModular = daemon === undefined ? ' (virtqemud where the host runs that instead of libvirtd)' : '';
  return `Let libvirt probe QEMU again: systemctl stop ${name}; rm -f /var/cache/${folder}; systemctl start ${name}${orModular}.`;
}
