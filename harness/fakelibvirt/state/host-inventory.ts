import type { Profile } from '../profiles/profile.ts';
import { bootFiles } from './host-paths.ts';

const LIBVIRTD_PID = 1203;
const IOMMU_GROUPS = 64;
const OVMF_DESCRIPTOR = '60-edk2-x86_64.json';
const FIRMWARE_FOLDER = '/usr/share/qemu/firmware';
const CCP_FOLDER = '/sys/bus/pci/drivers/ccp';
const CCP_DEVICE = '0000:02:00.2';

/** The descriptor that Debian 12's package ovmf installs for the image that can boot SEV guests. */
function ovmfDescriptor(): string {
  return JSON.stringify({
    description: 'UEFI firmware for x86_64, without Secure Boot without SMM, with empty varstore',
    'interface-types': ['uefi'],
    mapping: {
      device: 'flash',
      executable: { filename: '/usr/share/OVMF/OVMF_CODE_4M.fd', format: 'raw' },
      'nvram-template': { filename: '/usr/share/OVMF/OVMF_VARS_4M.fd', format: 'raw' },
    },
    targets: [{ architecture: 'x86_64', machines: ['pc-i440fx-*', 'pc-q35-*'] }],
    features: ['acpi-s3', 'amd-sev', 'verbose-dynamic'],
    tags: [],
  });
}

/**
 * What an administrator would look at before the first guest, by path. A path that ends in a slash holds the names in that
 * folder; a path below `/.stat` holds what `stat -c '%a %U %G %C'` prints of the file.
 */
export const INVENTORY_FILES: Readonly<
  Record<string, (profile: Profile, hasSevDevice: boolean) => string | undefined>
> = {
  // The mode that the kernel gives the device; the article tells of the trouble that it made before libvirt 5.1.0.
  '/.stat/dev/sev': (_, hasSevDevice) => (hasSevDevice ? '600 root root ?\n' : undefined),
  '/etc/modprobe.d/': () => '',
  '/boot/': ({ kernel }) => bootFiles(kernel).join('\n'),
  [`${FIRMWARE_FOLDER}/`]: () => `${OVMF_DESCRIPTOR}\n`,
  [`${FIRMWARE_FOLDER}/${OVMF_DESCRIPTOR}`]: ovmfDescriptor,
  '/var/lib/dpkg/status': ({ ovmf }) => `Package: ovmf\nStatus: install ok installed\nVersion: ${ovmf}\n`,
  '/sys/kernel/iommu_groups/': () => Array.from({ length: IOMMU_GROUPS }, (_, group) => `${group}\n`).join(''),
  [`${CCP_FOLDER}/`]: ({ sevFirmware }) => (sevFirmware === undefined ? undefined : `${CCP_DEVICE}\n`),
  [`${CCP_FOLDER}/${CCP_DEVICE}/tsme_status`]: ({ sevFirmware }) => (sevFirmware === undefined ? undefined : '0\n'),
  '/run/libvirtd.pid': () => `${LIBVIRTD_PID}\n`,
  // LimitMEMLOCK=64M of libvirtd.service.
  [`/proc/${LIBVIRTD_PID}/limits`]: () =>
    'Max locked memory         67108864             67108864             bytes     \n',
};
