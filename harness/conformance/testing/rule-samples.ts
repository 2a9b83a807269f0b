import { PROFILES, type ProfileName, type Severity } from '../rule.ts';
import {
  type Change,
  CLEAN,
  changed,
  inOs,
  LAUNCH_SECURITY,
  LOADER,
  MEMORY_BACKING,
  SCSI_CONTROLLER,
  SNP,
  withDevice,
  withFeature,
} from './domains.ts';

/** The smallest document that breaks one rule. */
export interface Sample {
  readonly rule: string;
  readonly profile: ProfileName;
  readonly xml: string;
  readonly severity: Severity;
  readonly place?: string;
  /** A person has to decide: --fix leaves the text alone. */
  readonly isForPeople?: boolean;
  /** Rules that the same change cannot but break as well. */
  readonly also?: readonly string[];
}

type Extras = Partial<Omit<Sample, 'rule' | 'profile' | 'xml'>>;

function breaks(
  rule: string,
  profile: ProfileName | 'both',
  changes: readonly Change[],
  extras: Extras = {},
): Sample[] {
  return from(CLEAN, rule, profile, changes, extras);
}

function snpBreaks(rule: string, changes: readonly Change[]): Sample[] {
  return from(SNP, rule, 'modern', changes);
}

function from(base: string, rule: string, profile: ProfileName | 'both', changes: readonly Change[], extras = {}) {
  const profiles = profile === 'both' ? PROFILES : [profile];
  const xml = changed(base, ...changes);
  return profiles.map((one) => ({ rule, profile: one, xml, severity: 'error' as const, ...extras }));
}

const people = { isForPeople: true } as const;
const warning = { severity: 'warning' } as const;
const hardLimit = (xml: string): Change => [MEMORY_BACKING, `<memtune>${xml}</memtune>`];
const machine = (to: string): Change[] => [
  [" machine='pc-q35-7.2'", to],
  ["model='virtio-scsi'", "model='virtio-non-transitional'"],
];

const VIRTIO_DEVICES: Readonly<Record<string, (driver: string) => string>> = {
  disk: (driver) => `<disk>${driver}<source file='/b'/><target dev='vdb' bus='virtio'/></disk>`,
  interface: (driver) => `<interface type='user'>${driver}<model type='virtio'/></interface>`,
  'controller-virtio-serial': (driver) => `<controller type='virtio-serial'>${driver}</controller>`,
  'controller-virtio-scsi': (driver) => `<controller type='scsi' index='1' model='virtio-scsi'>${driver}</controller>`,
  rng: (driver) => `<rng model='virtio'>${driver}<backend model='random'/></rng>`,
  video: (driver) => `<video>${driver}<model type='virtio'/></video>`,
  input: (driver) => `<input type='tablet' bus='virtio'>${driver}</input>`,
  filesystem: (driver) => `<filesystem type='mount'>${driver}<source dir='/srv'/><target dir='share'/></filesystem>`,
  sound: (driver) => `<sound model='virtio'>${driver}</sound>`,
  crypto: (driver) => `<crypto model='virtio' type='qemu'><backend model='builtin'/>${driver}</crypto>`,
  vsock: (driver) => `<vsock model='virtio'>${driver}</vsock>`,
};

const iommuSamples = Object.entries(VIRTIO_DEVICES).flatMap(([kind, xml]) => [
  ...breaks(`IOMMU-OFF:${kind}`, 'train', [withDevice(xml(''))]),
  ...breaks(`IOMMU-OFF:${kind}`, 'train', [withDevice(xml("<driver iommu='off'/>"))]),
  ...breaks(`IOMMU-EXPLICITLY-OFF:${kind}`, 'modern', [withDevice(xml("<driver iommu='off'/>"))]),
]);

const TRANSITIONAL: readonly string[] = [
  "<disk model='virtio-transitional'><driver iommu='on'/><source file='/b'/><target dev='vdb' bus='virtio'/></disk>",
  "<interface type='user'><model type='virtio-transitional'/><driver iommu='on'/></interface>",
  "<controller type='scsi' index='1' model='virtio-transitional'><driver iommu='on'/></controller>",
  "<controller type='virtio-serial' model='virtio-transitional'><driver iommu='on'/></controller>",
  "<rng model='virtio-transitional'><backend model='random'/><driver iommu='on'/></rng>",
  "<filesystem model='virtio-transitional'><driver iommu='on'/><source dir='/srv'/><target dir='s'/></filesystem>",
  "<vsock model='virtio-transitional'><driver iommu='on'/></vsock>",
];

export const ruleSamples: readonly Sample[] = [
  ...breaks('LS-MISSING', 'both', [[LAUNCH_SECURITY, '']], { place: '/domain at 1:1' }),
  ...breaks('LS-MISSING', 'both', [
    [LAUNCH_SECURITY, ''],
    ['    <locked/>\n', ''],
  ]),
  ...breaks('LS-TYPE', 'both', [["type='sev'", "type='tdx'"]], { ...people, place: '/domain/launchSecurity at 25:3' }),
  ...breaks('LS-TYPE', 'both', [["type='sev'", "type=''"]]),
  ...breaks('LS-TYPE', 'both', [[" type='sev'", '']]),
  ...breaks('DOMAIN-NOT-KVM', 'both', [["type='kvm'", "type='qemu'"]], { place: '/domain at 1:1' }),
  ...from(SNP, 'LS-TYPE-SNP', 'train', [['guest', 'snp-guest']], people),
  ...breaks('CBITPOS-MISSING', 'train', [['    <cbitpos>47</cbitpos>\n', '']]),
  ...breaks('CBITPOS-MISSING', 'train', [['<cbitpos>47</cbitpos>', '<cbitpos/>']]),
  ...breaks('CBITPOS-MISMATCH', 'both', [['>47<', '>51<']], { place: '/domain/launchSecurity/cbitpos at 26:5' }),
  ...breaks('CBITPOS-MISMATCH', 'both', [['>47<', '>0x2f<']]),
  ...breaks('CBITPOS-MISMATCH', 'both', [['>47<', '>47 <']]),
  ...breaks('CBITPOS-MISMATCH', 'both', [['>47<', '>4294967343<']]),
  ...breaks('REDUCEDPHYSBITS-MISSING', 'train', [[/ {4}<reducedPhysBits>.*\n/, '']]),
  ...breaks('REDUCEDPHYSBITS-MISMATCH', 'both', [['Bits>1<', 'Bits>5<']]),
  ...breaks('REDUCEDPHYSBITS-MISMATCH', 'both', [['Bits>1<', 'Bits>0<']]),
  ...breaks('POLICY-MISSING', 'both', [[/ {4}<policy>.*\n/, '']]),
  ...breaks('POLICY-MISSING', 'both', [['0x0033', 'strict']]),
  ...breaks('POLICY-MISSING', 'both', [['0x0033', '0x100000033']]),
  ...breaks('POLICY-MISSING', 'both', [['0x0033', '0x0033\n    ']]),
  ...snpBreaks('POLICY-MISSING', [[/ {4}<policy>.*\n/, '']]),
  ...breaks('POLICY-NOT-0x0033', 'train', [['0x0033', '0x0003']]),
  ...breaks('POLICY-NOT-0x0033', 'train', [['0x0033', '0x0037']], people),
  ...breaks('POLICY-NOT-0x0033', 'train', [['0x0033</policy>', '0x0003</policy><session>AA</session>']], people),
  ...breaks('POLICY-NOT-NOVA', 'modern', [['0x0033', '7']]),
  ...breaks('POLICY-NOT-NOVA', 'modern', [['0x0033', '0x007f']], people),
  ...breaks('POLICY-NOT-NOVA', 'modern', [['0x0033', '0x0073']]),
  ...breaks('POLICY-NOT-NOVA', 'modern', [['0x0033', '0x01370033']], people),
  ...breaks('POLICY-NOT-0x0033', 'train', [['0x0033', '0x003b']], people),
  ...breaks('POLICY-DEBUG-ALLOWED', 'train', [['0x0033', '0x0032']], { also: ['POLICY-NOT-0x0033'] }),
  ...breaks('POLICY-DEBUG-ALLOWED', 'modern', [['0x0033', '0x0036']], { also: ['POLICY-NOT-NOVA'] }),
  ...snpBreaks('SNP-POLICY-RESERVED-BIT', [['0x00030000', '0x00010000']]),
  ...snpBreaks('SNP-POLICY-DEBUG-ALLOWED', [['0x00030000', '0x000b0000']]),
  ...breaks('MACHINE-NOT-Q35', 'both', machine(" machine='pc-i440fx-7.2'")),
  ...breaks('MACHINE-NOT-Q35', 'both', machine('')),
  ...breaks('UEFI-MISSING', 'both', [[LOADER, '']]),
  ...breaks('UEFI-MISSING', 'both', [
    ['<os>', "<os firmware='bios'>"],
    [LOADER, ''],
  ]),
  ...breaks('UEFI-MISSING', 'both', [['<os>', "<os firmware='bios'>"]], people),
  ...breaks('UEFI-MISSING', 'both', [
    [LOADER, ''],
    [/ {2}<features>[\s\S]*<\/features>\n/, ''],
  ]),
  ...breaks('UEFI-MISSING', 'both', [
    [LOADER, ''],
    ['<acpi/>', '<apic/>'],
  ]),
  ...breaks('LOADER-NOT-PFLASH', 'both', [["'pflash'", "'rom'"]], { place: '/domain/os/loader at 9:5' }),
  ...breaks('LOADER-NOT-PFLASH', 'both', [[" type='pflash'", '']]),
  ...breaks('LOADER-NOT-READONLY', 'both', [["readonly='yes'", "readonly='no'"]]),
  ...breaks('LOADER-NOT-READONLY', 'both', [[" readonly='yes'", '']]),
  ...breaks('SMM-WITH-ENCRYPTED-STATE', 'modern', [['0x0033', '0x0037'], withFeature("<smm state='on'/>")], {
    ...people,
    place: '/domain/features/smm at 13:5',
  }),
  ...from(SNP, 'SMM-WITH-ENCRYPTED-STATE', 'modern', [withFeature('<smm/>')], people),
  ...breaks(
    'SMM-WITH-ENCRYPTED-STATE',
    'modern',
    [
      ['0x0033', '0x0037'],
      ["type='pflash'", "type='pflash' secure='yes'"],
    ],
    {
      ...people,
      place: '/domain/os/loader at 9:5',
    },
  ),
  ...from(
    SNP,
    'SNP-LOADER-PFLASH',
    'modern',
    [
      ["<loader stateless='yes'/>", "<loader type='pflash' stateless='yes' readonly='yes'>/OVMF_CODE.fd</loader>"],
      [" firmware='efi'", ''],
    ],
    people,
  ),
  ...snpBreaks('SNP-FIRMWARE-NOT-STATELESS', [[" stateless='yes'", '']]),
  ...snpBreaks('SNP-NVRAM-PRESENT', [inOs('<nvram>/vars.fd</nvram>')]),
  ...snpBreaks('SNP-KERNELHASHES-OFF', [inOs('<kernel>/vmlinuz</kernel>')]),
  ...breaks('SEV-DIRECT-KERNEL-UNMEASURED', 'both', [inOs('<kernel>/vmlinuz</kernel>')], { ...warning, ...people }),
  ...breaks('MEMORY-NOT-LOCKED', 'both', [['    <locked/>\n', '']]),
  ...breaks('MEMORY-NOT-LOCKED', 'both', [[MEMORY_BACKING, '']]),
  ...breaks('MEMORY-NOT-LOCKED', 'train', [hardLimit("<hard_limit unit='GiB'>8</hard_limit>")]),
  ...breaks('MEMORY-NOT-LOCKED', 'modern', [hardLimit("<hard_limit unit='GiB'>4</hard_limit>")]),
  ...breaks('MEMORY-NOT-LOCKED', 'modern', [hardLimit('<hard_limit>4456447</hard_limit>')], warning),
  ...breaks('MEMORY-NOT-LOCKED', 'modern', [hardLimit("<hard_limit unit='GiBs'>8</hard_limit>")], people),
  ...breaks('MEMORY-NOT-LOCKED', 'modern', [hardLimit("<hard_limit unit='GiB'> 8 </hard_limit>")], people),
  ...breaks('VMCOREINFO-PRESENT', 'both', [['    <acpi/>', '    <acpi/>\n    <vmcoreinfo/>']], warning),
  ...breaks('VIRTIO-MEM-WITH-PINNED-RAM', 'modern', [withDevice("<memory model='virtio-mem'/>")], people),
  ...breaks('BALLOON-RECLAIM-WITH-PINNED-RAM', 'modern', [["'none'", "'virtio' autodeflate='on'"]], warning),
  ...breaks(
    'BALLOON-RECLAIM-WITH-PINNED-RAM',
    'train',
    [
      [
        "<memballoon model='none'/>",
        "<memballoon model='virtio' freePageReporting='on'><driver iommu='on'/></memballoon>",
      ],
    ],
    warning,
  ),
  ...TRANSITIONAL.flatMap((xml) => breaks('VIRTIO-TRANSITIONAL', 'both', [withDevice(xml)])),
  ...iommuSamples,
  ...breaks('IOMMU-OFF:memballoon', 'train', [["    <memballoon model='none'/>\n", '']], {
    place: '/domain/devices at 14:3',
  }),
  ...breaks('IOMMU-OFF:memballoon', 'train', [["'none'", "'virtio'"]]),
  ...breaks('IOMMU-OFF:interface', 'train', [
    withDevice("<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>"),
  ]),
  ...breaks('IMPLICIT-CONTROLLER:virtio-serial', 'train', [
    withDevice("<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"),
  ]),
  ...breaks('IMPLICIT-CONTROLLER:scsi', 'train', [[SCSI_CONTROLLER, '']], { also: ['BOOT-DISK-BUS-UNDOCUMENTED'] }),
  ...breaks('BOOT-DISK-VIRTIO-BLK', 'train', [
    ["type='qcow2'/>", "type='qcow2' iommu='on' queues='4'/>"],
    ["dev='sda' bus='scsi'/>", "dev='vda' bus='virtio'/>\n      <address type='pci' bus='0x01'/>"],
  ]),
  ...breaks('BOOT-DISK-VIRTIO-BLK', 'modern', [["dev='sda' bus='scsi'", "dev='vda'"]], { ...warning, ...people }),
  ...breaks('BOOT-DISK-BUS-UNDOCUMENTED', 'both', [["bus='scsi'", "bus='usb'"]], { ...warning, ...people }),
  ...breaks('BOOT-DISK-BUS-UNDOCUMENTED', 'both', [["model='virtio-scsi'", "model='lsilogic'"]], {
    ...warning,
    ...people,
  }),
  ...breaks('BOOT-DISK-BUS-UNDOCUMENTED', 'modern', [[SCSI_CONTROLLER, '']], { ...warning, ...people }),
  ...breaks('BOOT-DISK-BUS-UNDOCUMENTED', 'both', [["dev='sda' bus", "dev='sdh' bus"]], { ...warning, ...people }),
  ...breaks(
    'BOOT-DISK-BUS-UNDOCUMENTED',
    'both',
    [
      withDevice("<controller type='scsi' index='1' model='lsilogic'/>"),
      ["bus='scsi'/>", "bus='scsi'/><address type='drive' controller='1'/>"],
    ],
    { ...warning, ...people },
  ),
  ...breaks('IDE-ON-Q35', 'both', [withDevice("<disk device='cdrom'><target dev='hda' bus='ide'/></disk>")]),
  ...breaks('IDE-ON-Q35', 'both', [withDevice("<controller type='ide' index='0'/>")]),
  ...breaks('HOSTDEV:pci', 'both', [withDevice("<hostdev mode='subsystem' type='pci'/>")], people),
  ...breaks('HOSTDEV:mdev', 'both', [withDevice("<hostdev mode='subsystem' type='mdev'/>")], people),
  ...breaks('HOSTDEV:interface', 'both', [withDevice("<interface type='hostdev'/>")], people),
  ...breaks('HOSTDEV:vdpa', 'modern', [withDevice("<interface type='vdpa'/>")], { ...warning, ...people }),
];
