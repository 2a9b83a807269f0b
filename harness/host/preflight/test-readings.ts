import type { SevFacts } from '../facts.ts';
import type { PlatformStatus } from '../secure-processor/device.ts';
import { evaluatePreflight } from './evaluate.ts';
import { type PreflightReadings, type Reading, read } from './readings.ts';
import type { PreflightRow } from './row.ts';

/** libvirt 9.0 and QEMU 7.2 on a Naples host on which everything is as it should be. */
export const goodFacts: SevFacts = {
  domainCapabilities: { cbitpos: 47, reducedPhysBits: 1, maxGuests: 11, maxEsGuests: 4 },
  launchSecurityTypes: [],
  loaders: ['/usr/share/OVMF/OVMF_CODE_4M.fd'],
  refusedLoaders: {},
  nodeSevInfo: { pdh: 'cGRo', certChain: 'Y2hhaW4=', cbitpos: 47, reducedPhysBits: 1, maxGuests: 11, maxEsGuests: 4 },
  cpuid: undefined,
  misc: undefined,
  kvmParameters: { sev: true },
  versions: { libvirt: '9.0.0', qemu: '7.2.22', kernel: '6.1.0-56-amd64' },
  hostname: 'lab7',
  emulatorPath: '/usr/bin/qemu-system-x86_64',
  virtType: 'kvm',
  unknown: {},
};

export const absent: Reading<never> = { outcome: 'absent', because: 'it does not exist' };
export const unknown: Reading<never> = { outcome: 'unknown', because: 'permission denied' };

const goodCpu = {
  vendor: 'AuthenticAMD',
  family: 0x17,
  model: 1,
  stepping: 2,
  brand: 'AMD EPYC 7551 32-Core Processor',
  microcode: 0x08001250,
  flags: ['svm', 'sme', 'sev', 'sev_es'],
};

const goodLeaf = {
  sme: true,
  sev: true,
  sevEs: true,
  sevSnp: false,
  vmpls: 0,
  cbitpos: 47,
  reducedPhysBits: 5,
  maxAsid: 15,
  minSevAsid: 5,
};

const goodStatus: PlatformStatus = {
  api: '0.17',
  build: 48,
  state: 'INIT',
  isEsEnabled: true,
  isExternallyOwned: false,
  guestCount: 0,
};

/** Every row of these passes or does not apply. */
export const goodReadings: PreflightReadings = {
  where: 'local',
  isSession: false,
  cpu: read(goodCpu),
  encryptionLeaf: read(goodLeaf),
  kernelVersion: read('6.1.0-56-amd64'),
  commandLine: read('ro quiet mem_encrypt=on kvm_amd.sev=1'),
  modprobe: read([]),
  unreadFiles: { modprobe: [], descriptors: [] },
  kvmAmdLoaded: read(true),
  kvmAmd: { sev: read('Y'), sevEs: read('Y'), sevSnp: absent, npt: read('Y'), nrips: read('1') },
  devSev: read(true),
  devSevStat: read({ mode: 0o660, owner: 'root', group: 'kvm' }),
  platformStatus: read(goodStatus),
  selinuxEnforcing: absent,
  securityModels: read(['none', 'dac']),
  appArmorQemu: absent,
  kernelLog: read(['ccp 0000:02:00.2: SEV API:0.17 build:48', 'kvm_amd: SEV supported: 11 ASIDs']),
  tsme: read('0'),
  iommuGroups: read(64),
  miscCapacity: read({ sev: 11, sev_es: 4 }),
  miscCurrent: read({ sev: 0, sev_es: 0 }),
  machineSlice: { high: read('max'), max: read('68719476736') },
  memoryLock: read({ daemon: 'libvirtd', soft: '67108864' }),
  ksm: read('0'),
  packages: read({ ovmf: '2022.11-6+deb12u2' }),
  descriptors: read([{ file: '60.json', executable: '/usr/share/OVMF/OVMF_CODE_4M.fd', features: ['amd-sev'] }]),
  libvirt: read(goodFacts),
};

/** The good host with another processor. */
export function withCpu(change: Partial<typeof goodCpu>): PreflightReadings {
  return { ...goodReadings, cpu: read({ ...goodCpu, ...change }) };
}

/** The good host with another CPUID leaf. */
export function withLeaf(change: Partial<typeof goodLeaf>): PreflightReadings {
  return { ...goodReadings, encryptionLeaf: read({ ...goodLeaf, ...change }) };
}

/** The good host about which libvirt says something else. */
export function withFacts(change: Partial<SevFacts>): PreflightReadings {
  return { ...goodReadings, libvirt: read({ ...goodFacts, ...change }) };
}

/** The good host whose firmware answers something else. */
export function withStatus(change: Partial<PlatformStatus>): PreflightReadings {
  return { ...goodReadings, platformStatus: read({ ...goodStatus, ...change }) };
}

/** The good host whose kernel has another value of `kvm_amd.sev`. */
export function withParameter(sev: Reading<string>): PreflightReadings {
  return { ...goodReadings, kvmAmd: { ...goodReadings.kvmAmd, sev } };
}

/** The good host with other versions of libvirt or QEMU. */
export function withVersions(change: Record<string, string>): PreflightReadings {
  return withFacts({ versions: { ...goodFacts.versions, ...change } });
}

/** The good host with a libvirt from before 8.0.0, which advertises no numbers of guests. */
export function withoutCounts(): PreflightReadings {
  const { pdh = '', certChain = '' } = goodFacts.nodeSevInfo ?? {};
  return withFacts({
    domainCapabilities: { cbitpos: 47, reducedPhysBits: 1 },
    nodeSevInfo: { pdh, certChain, cbitpos: 47 },
  });
}

/** What libvirt says of a host without SEV. */
export const noSev = { domainCapabilities: undefined, nodeSevInfo: undefined } as const;

export const closedDevice: Reading<{ mode: number; owner: string; group: string }> = read({
  mode: 0o600,
  owner: 'root',
  group: 'root',
});

/** One row of the verdict on these readings. */
export function rowOf(readings: PreflightReadings, id: string): PreflightRow {
  const found = evaluatePreflight(readings).rows.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no row ${id}`);
  return found;
}
