import type { CpuModel, MemoryEncryptionLeaf, Profile, SevFirmwareVersion } from './profile.ts';

const KERNEL = 'Debian 12 linux-image-6.1.0-56-amd64 (6.1.192-2)';
const DEBIAN_12 = {
  kernel: '6.1.0-56-amd64',
  qemu: [7, 2, 22],
  libvirt: [9, 0, 0],
  ovmf: '2022.11-6+deb12u2',
  osRelease: 'Debian GNU/Linux 12 (bookworm)',
} as const;
const DEBIAN_13 = {
  kernel: '6.12.48+deb13-amd64',
  qemu: [10, 0, 13],
  libvirt: [11, 3, 0],
  ovmf: '2025.02-8',
  osRelease: 'Debian GNU/Linux 13 (trixie)',
} as const;

/** Board values that nothing depends on: two sockets as in the usual dual-socket server. */
function cpu(core: Omit<CpuModel, 'sockets' | 'threadsPerCore'>): CpuModel {
  return { ...core, sockets: 2, threadsPerCore: 2 };
}

const ENABLED = { sev: 'Y', sevEs: 'N', sevSnp: undefined } as const;
const NAPLES_FIRMWARE: SevFirmwareVersion = { apiMajor: 0, apiMinor: 17, build: 48 };

const naples: Profile = {
  name: 'naples',
  title: 'AMD EPYC 7551 with SEV and no SEV-ES range: fifteen SEV guests',
  cpu: cpu({
    brand: 'AMD EPYC 7551 32-Core Processor',
    family: 0x17,
    model: 0x01,
    stepping: 2,
    libvirtModel: 'EPYC-IBPB',
    microcodeHex: '0x8001250',
    coresPerSocket: 32,
    mhz: 2000,
  }),
  memoryKiB: 263_995_392,
  memoryEncryption: { eax: 0x0000000f, ebx: 0x0000016f, maxAsid: 15, minSevAsid: 1 },
  sevFirmware: NAPLES_FIRMWARE,
  kvmParameters: ENABLED,
  obstacle: 'none',
  ...DEBIAN_12,
  sources: {
    maxAsid: 'nova specification amd-sev-libvirt-support: "on EPYC machines the maximum number … is expected to be 15"',
    minSevAsid: 'AMDESE/AMDSEV issue 33 (MIN_SEV_ASID=1 when the BIOS reserves nothing for SEV-ES)',
    ebx: 'C-bit 47 as in the same specification; leaf value as on Rome, whose public dump shares C-bit and reduction',
    sevFirmware: 'API 0.17 is the Naples line; build 48 is past 0.17 build 22, which fixes CVE-2019-9836',
    cpu: 'CPUID signature 0x00800F12 (QEMU EPYC model)',
    versions: `${KERNEL}, libvirt 9.0.0-4+deb12u2, QEMU 1:7.2+dfsg-7+deb12u18`,
  },
};

const MILAN_LEAF: MemoryEncryptionLeaf = { eax: 0x0101fd3f, ebx: 0x00004173, maxAsid: 509, minSevAsid: 128 };

const genoa: Profile = {
  name: 'genoa',
  title: 'AMD EPYC 9654 with the BIOS default of no SEV-ES range: 1006 SEV guests',
  cpu: cpu({
    brand: 'AMD EPYC 9654 96-Core Processor',
    family: 0x19,
    model: 0x11,
    stepping: 1,
    libvirtModel: 'EPYC-Genoa',
    microcodeHex: '0xa101154',
    coresPerSocket: 96,
    mhz: 2400,
  }),
  memoryKiB: 1_583_734_784,
  memoryEncryption: { eax: 0x0101fd3f, ebx: 0x000041b3, maxAsid: 1006, minSevAsid: 1 },
  sevFirmware: { apiMajor: 1, apiMinor: 55, build: 39 },
  kvmParameters: { sev: 'Y', sevEs: 'N', sevSnp: 'N' },
  obstacle: 'none',
  ...DEBIAN_13,
  sources: {
    maxAsid: 'not verified on a host: 1006 is the number commonly quoted for EPYC 9004',
    minSevAsid: 'BIOS default "SEV-ES ASID Space Limit" 1 (virtee/sevctl pull request 116)',
    ebx: 'C-bit 51; reduction of 6 bits not verified on a host',
    sevFirmware: 'linux-firmware amd_sev_fam19h_modela0h, February 2025: 1.55 build 39',
    cpu: 'CPUID family 0x19 model 0x11; microcode floor of AMD-SB-3019',
    versions: 'Debian 13: libvirt 11.3.0-3+deb13u3, QEMU 10.0.13',
  },
};

const PROFILES = {
  naples,
  'naples-es': {
    ...naples,
    name: 'naples-es',
    title: 'AMD EPYC 7551 whose BIOS reserves four ASIDs for SEV-ES: eleven SEV guests and four SEV-ES guests',
    memoryEncryption: { ...naples.memoryEncryption, minSevAsid: 5 },
    kvmParameters: { ...ENABLED, sevEs: 'Y' },
    sources: { ...naples.sources, minSevAsid: 'AMDESE/AMDSEV issue 41: ECX=0xf EDX=0x5, "SEV supported: 11 ASIDs"' },
  },
  rome: {
    ...naples,
    name: 'rome',
    title: 'AMD EPYC 7742 with no SEV-ES range: 509 SEV guests',
    cpu: cpu({
      brand: 'AMD EPYC 7742 64-Core Processor',
      family: 0x17,
      model: 0x31,
      stepping: 0,
      libvirtModel: 'EPYC-Rome',
      microcodeHex: '0x830107c',
      coresPerSocket: 64,
      mhz: 2250,
    }),
    memoryKiB: 527_990_784,
    memoryEncryption: { eax: 0x0001000f, ebx: 0x0000016f, maxAsid: 509, minSevAsid: 1 },
    sevFirmware: { apiMajor: 0, apiMinor: 24, build: 20 },
    sources: {
      ...naples.sources,
      maxAsid: 'public dump of leaf 0x8000001F: eax=0x0001000f ebx=0x0000016f ecx=0x000001fd edx=0x00000001',
      minSevAsid: 'the same dump',
      ebx: 'the same dump',
      sevFirmware: 'linux-firmware amd_sev_fam17h_model3xh, August 2024: 0.24 build 20',
      cpu: 'CPUID signature 0x00830F10 (QEMU EPYC-Rome model)',
    },
  },
  milan: {
    ...naples,
    name: 'milan',
    title: 'AMD EPYC 7763 with an SEV-ES range: 382 SEV guests and 127 SEV-ES or SEV-SNP guests',
    cpu: cpu({
      brand: 'AMD EPYC 7763 64-Core Processor',
      family: 0x19,
      model: 0x01,
      stepping: 1,
      libvirtModel: 'EPYC-Milan',
      microcodeHex: '0xa0011db',
      coresPerSocket: 64,
      mhz: 2450,
    }),
    memoryKiB: 527_990_784,
    memoryEncryption: MILAN_LEAF,
    sevFirmware: { apiMajor: 1, apiMinor: 55, build: 29 },
    kvmParameters: { ...ENABLED, sevEs: 'Y' },
    sources: {
      ...naples.sources,
      maxAsid: 'public dump of leaf 0x8000001F: eax=0x0101fd3f ebx=0x00004173 ecx=0x000001fd edx=0x00000080',
      minSevAsid: 'the same dump',
      ebx: 'the same dump',
      sevFirmware: 'linux-firmware amd_sev_fam19h_model0xh, February 2025: 1.55 build 29',
      cpu: 'CPUID family 0x19 model 0x01; microcode floor of AMD-SB-3019',
    },
  },
  genoa,
  turin: {
    ...genoa,
    name: 'turin',
    title: 'AMD EPYC 9755 with the BIOS default of no SEV-ES range: 1006 SEV guests',
    cpu: cpu({
      brand: 'AMD EPYC 9755 128-Core Processor',
      family: 0x1a,
      model: 0x02,
      stepping: 1,
      libvirtModel: 'EPYC-Turin',
      microcodeHex: '0xb002147',
      coresPerSocket: 128,
      mhz: 2700,
    }),
    sevFirmware: { apiMajor: 1, apiMinor: 55, build: 54 },
    sources: {
      ...genoa.sources,
      sevFirmware: 'linux-firmware amd_sev_fam1ah_model0xh, February 2025: 1.55 build 54',
      cpu: 'CPUID family 0x1A model 0x02',
    },
  },
  'no-sev': {
    ...naples,
    name: 'no-sev',
    title: 'AMD Ryzen 7 3700X, which has no SEV',
    cpu: {
      brand: 'AMD Ryzen 7 3700X 8-Core Processor',
      family: 0x17,
      model: 0x71,
      stepping: 0,
      libvirtModel: 'EPYC-Rome',
      microcodeHex: '0x8701021',
      sockets: 1,
      coresPerSocket: 8,
      threadsPerCore: 2,
      mhz: 3600,
    },
    memoryKiB: 65_827_232,
    memoryEncryption: { eax: 0, ebx: 0, maxAsid: 0, minSevAsid: 0 },
    sevFirmware: undefined,
    kvmParameters: { sev: 'N', sevEs: 'N', sevSnp: undefined },
    obstacle: 'no-cpu-support',
    sources: { ...naples.sources, cpu: 'CPUID family 0x17 model 0x71 (Matisse)' },
  },
  'sev-off-in-bios': {
    ...naples,
    name: 'sev-off-in-bios',
    title: 'AMD EPYC 7551 whose BIOS has SMEE off: CPUID shows SEV, the kernel cannot use it',
    kvmParameters: { ...ENABLED, sev: 'N' },
    obstacle: 'off-in-bios',
    sources: { ...naples.sources, obstacle: 'virtee/sevctl issue 130: "memory encryption not enabled by BIOS"' },
  },
  'sev-off-in-kernel': {
    ...naples,
    name: 'sev-off-in-kernel',
    title: 'AMD EPYC 7551 with kvm_amd.sev=0: the firmware is there, KVM does not use it',
    kvmParameters: { ...ENABLED, sev: 'N' },
    obstacle: 'off-in-kernel',
    sources: { ...naples.sources, obstacle: 'kvm_amd module parameter sev' },
  },
  'stale-capabilities': {
    ...naples,
    name: 'stale-capabilities',
    title: "AMD EPYC 7551 with SEV, but libvirt's cached capabilities are from before SEV was switched on",
    obstacle: 'stale-capabilities',
    sources: {
      ...naples.sources,
      obstacle: 'libvirt knowledge base, launch security: remove /var/cache/libvirt/qemu/capabilities',
    },
  },
} as const satisfies Record<string, Profile>;

export type ProfileName = keyof typeof PROFILES;

/** Every host that the emulator can be. */
export const profiles: Readonly<Record<ProfileName, Profile>> = PROFILES;

export function isProfileName(text: string): text is ProfileName {
  return Object.hasOwn(PROFILES, text);
}
