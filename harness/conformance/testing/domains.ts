import type { ProfileName } from '../rule.ts';

/** What the host of the sample domains has. */
export const HOST = { cbitpos: 47, reducedPhysBits: 1 };

/** A guest that breaks no rule of either profile. The samples of the rules each change one thing in it. */
export const CLEAN = `<domain type='kvm'>
  <name>guest</name>
  <memory unit='KiB'>4194304</memory>
  <memoryBacking>
    <locked/>
  </memoryBacking>
  <os>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader>
  </os>
  <features>
    <acpi/>
  </features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/guest.qcow2'/>
      <target dev='sda' bus='scsi'/>
    </disk>
    <controller type='scsi' index='0' model='virtio-scsi'>
      <driver iommu='on'/>
    </controller>
    <memballoon model='none'/>
  </devices>
  <launchSecurity type='sev'>
    <cbitpos>47</cbitpos>
    <reducedPhysBits>1</reducedPhysBits>
    <policy>0x0033</policy>
  </launchSecurity>
</domain>
`;

export type Change = readonly [from: string | RegExp, to: string];

/** A copy with each change made once. Throws when there is nothing to change, so that no sample tests nothing. */
export function changed(xml: string, ...changes: readonly Change[]): string {
  return changes.reduce((text, [from, to]) => {
    const result = text.replace(from, () => to);
    if (result === text) throw new Error(`nothing to change: ${from}`);
    return result;
  }, xml);
}

export const withDevice = (xml: string): Change => ['  </devices>', `    ${xml}\n  </devices>`];
export const withFeature = (xml: string): Change => ['  </features>', `    ${xml}\n  </features>`];
export const inOs = (xml: string): Change => ['  </os>', `    ${xml}\n  </os>`];
export const LAUNCH_SECURITY = / {2}<launchSecurity[\s\S]*<\/launchSecurity>\n/;
export const MEMORY_BACKING = / {2}<memoryBacking>[\s\S]*<\/memoryBacking>\n/;
export const SCSI_CONTROLLER = / {4}<controller[\s\S]*<\/controller>\n/;
export const LOADER = / {4}<loader.*\n/;

/** The same guest with SEV-SNP, which only the modern profile knows. */
export const SNP = changed(
  CLEAN,
  [LAUNCH_SECURITY, "  <launchSecurity type='sev-snp'>\n    <policy>0x00030000</policy>\n  </launchSecurity>\n"],
  [LOADER, "    <loader stateless='yes'/>\n"],
  ['<os>', "<os firmware='efi'>"],
);

const withRom = (loader: string) => changed(SNP, ["<loader stateless='yes'/>", loader], [" firmware='efi'", '']);

/** A guest that keeps every rule although it looks unusual. */
export const fineDomains: readonly (readonly [what: string, profile: ProfileName, xml: string])[] = [
  [
    'SMM and Secure Boot with SEV alone',
    'modern',
    changed(CLEAN, withFeature("<smm state='on'/>"), ["type='pflash'", "type='pflash' secure='yes'"]),
  ],
  ['SMM switched off with SEV-ES', 'modern', changed(CLEAN, ['0x0033', '0x0037'], withFeature("<smm state='off'/>"))],
  ['cbitpos left to libvirt', 'modern', changed(CLEAN, [/ {4}<cbitpos>.*\n.*\n/, ''])],
  [
    'the hard limit of the article',
    'modern',
    changed(CLEAN, [MEMORY_BACKING, "<memtune><hard_limit unit='KiB'>4456448</hard_limit></memtune>"]),
  ],
  ['an SNP guest whose memory is not locked', 'modern', changed(SNP, ['    <locked/>\n', ''])],
  ['an SNP guest whose firmware is loaded as rom', 'modern', withRom("<loader type='rom'>/OVMF.amdsev.fd</loader>")],
  ['an SNP guest whose firmware is loaded as rom, the default', 'modern', withRom('<loader>/OVMF.amdsev.fd</loader>')],
  [
    'a loader of no secure flag with SEV-ES',
    'modern',
    changed(CLEAN, ['0x0033', '0x0037'], ["type='pflash'", "type='pflash' secure='no'"]),
  ],
  [
    "a hard limit in libvirt's other units",
    'modern',
    changed(CLEAN, [MEMORY_BACKING, "<memtune><hard_limit unit='p'>1</hard_limit></memtune>"]),
  ],
  ['a cbitpos with white space before it', 'train', changed(CLEAN, ['>47<', '>\n      047<'])],
  ['SEV-ES as nova asks for it', 'modern', changed(CLEAN, ['0x0033', '0x0037'])],
  ['a policy without prefix', 'train', changed(CLEAN, ['0x0033', '33'])],
  ['firmware that libvirt chooses', 'train', changed(CLEAN, ['<os>', "<os firmware='efi'>"], [LOADER, ''])],
  [
    'virtio-blk behind a boot disk that is not',
    'train',
    changed(CLEAN, withDevice("<disk><driver iommu='on'/><target dev='vda' bus='virtio'/></disk>")),
  ],
  [
    'virtio-blk first in the text and second in boot order',
    'modern',
    changed(
      CLEAN,
      ['    <disk ', "    <disk><target dev='vda' bus='virtio'/><boot order='2'/></disk>\n    <disk "],
      ["bus='scsi'/>", "bus='scsi'/><boot order='1'/>"],
    ),
  ],
  [
    'a vhost-user interface',
    'train',
    changed(CLEAN, withDevice("<interface type='vhostuser'><model type='virtio'/><driver iommu='on'/></interface>")),
  ],
  [
    'virtio-mem with SEV-SNP, whose memory is not pinned',
    'modern',
    changed(SNP, withDevice("<memory model='virtio-mem'/>")),
  ],
  [
    'a macvtap interface of its own, which the guest only sees by virtio',
    'modern',
    changed(
      CLEAN,
      withDevice("<interface type='direct'><source dev='eth0' mode='passthrough'/><model type='virtio'/></interface>"),
    ),
  ],
  ['vmcoreinfo that is switched off', 'train', changed(CLEAN, ['<acpi/>', "<vmcoreinfo state='off'/>"])],
];

const DISK = / {4}<disk[\s\S]*<\/disk>\n/;
const virtioBoot = (xml: string, ...changes: readonly Change[]) =>
  changed(CLEAN, [DISK, `    ${xml}\n`], [SCSI_CONTROLLER, ''], ...changes);

/** Guests of which `--fix --profile train` moves disks to another bus. */
export const movingDisks: readonly (readonly [what: string, xml: string])[] = [
  [
    'a driver with no option of virtio',
    virtioBoot("<disk><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>"),
  ],
  ['no driver', virtioBoot("<disk><source file='/a'/><target dev='vda' bus='virtio'/></disk>")],
  [
    'every option of virtio',
    virtioBoot(
      "<disk><driver name='qemu' iommu='off' ats='on' packed='on' queues='2' queue_size='256' iothread='1'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>",
      ['  <os>', '  <iothreads>1</iothreads>\n  <os>'],
    ),
  ],
  [
    "KubeVirt's disk model",
    virtioBoot("<disk model='virtio-non-transitional'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"),
  ],
  [
    'a transitional model',
    virtioBoot("<disk model='virtio-transitional'><source file='/a'/><target dev='vda' bus='virtio'/></disk>"),
  ],
  [
    'a machine type that its PCI addresses keep',
    virtioBoot("<disk><source file='/a'/><target dev='vda' bus='virtio'/><address type='pci' slot='0x07'/></disk>", [
      'pc-q35-7.2',
      'pc-i440fx-7.2',
    ]),
  ],
  [
    'an LSI controller beside it',
    virtioBoot(
      "<disk><source file='/a'/><target dev='vda' bus='virtio'/></disk>",
      withDevice("<controller type='scsi' index='0' model='lsilogic'/>"),
    ),
  ],
  [
    'a virtio-scsi controller behind one of LSI, neither with an index',
    virtioBoot(
      "<disk><source file='/a'/><target dev='vda' bus='virtio'/></disk>",
      withDevice("<controller type='scsi' model='lsilogic'/>"),
      withDevice("<controller type='scsi' model='virtio-scsi'><driver iommu='on'/></controller>"),
    ),
  ],
  [
    'another disk at its address',
    virtioBoot(
      "<disk><source file='/a'/><target dev='vda' bus='virtio'/><boot order='1'/></disk>",
      withDevice("<controller type='scsi' index='0' model='virtio-scsi'><driver iommu='on'/></controller>"),
      withDevice(
        "<disk><source file='/b'/><target dev='sdb' bus='scsi'/><address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>",
      ),
    ),
  ],
  [
    'the names of a whole controller taken by SATA disks',
    virtioBoot(
      "<disk><source file='/a'/><target dev='vda' bus='virtio'/></disk>",
      ...[...'abcdefg'].map((letter) =>
        withDevice(`<disk><source file='/${letter}'/><target dev='sd${letter}' bus='sata'/></disk>`),
      ),
    ),
  ],
  [
    'an IDE disk that moves to SATA too, where another one is',
    virtioBoot(
      "<disk><source file='/a'/><target dev='vda' bus='virtio'/></disk>",
      withDevice("<disk><source file='/b'/><target dev='hda' bus='ide'/></disk>"),
      withDevice("<disk><source file='/c'/><target dev='sdf' bus='sata'/><address type='drive' unit='1'/></disk>"),
    ),
  ],
];
