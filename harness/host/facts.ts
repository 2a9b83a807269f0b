import { XMLParser } from 'fast-xml-parser';
import { isRemoteError, type SevInfo } from '../libvirt/index.ts';
import { type EncryptionLeaf, readEncryptionLeaf } from './cpuid.ts';
import type { Host } from './host.ts';
import { type Loaders, sortLoaders } from './loaders.ts';

/** What CPUID Fn8000_001F says of SEV. */
export type SevCpuid = Omit<EncryptionLeaf, 'sme' | 'vmpls'>;

/** `<sev supported='yes'>` of the domain capabilities. Counts are absent before libvirt 8.0.0. */
export interface SevDomainCapabilities {
  readonly cbitpos: number;
  readonly reducedPhysBits: number;
  readonly maxGuests?: number;
  readonly maxEsGuests?: number;
}

/** Slots of each kind that `/sys/fs/cgroup/misc.capacity` grants. */
export interface MiscCapacity {
  readonly sev?: number;
  readonly sevEs?: number;
}

/** Everything that the scenarios decide on, as it was read, with what could not be read. */
export interface SevFacts extends Loaders {
  readonly domainCapabilities: SevDomainCapabilities | undefined;
  /** Types of `<launchSecurity>` that libvirt lists (since 10.5.0). */
  readonly launchSecurityTypes: readonly string[];
  readonly nodeSevInfo: SevInfo | undefined;
  readonly cpuid: SevCpuid | undefined;
  readonly misc: MiscCapacity | undefined;
  /**
   * What the firmware says when it refuses SEV-ES although libvirt promises it, as with the fix of CVE-2025-48514 where
   * SEV-SNP is on. Absent where it takes such guests, or was not asked (`askForEs`).
   */
  readonly esRefusal?: string;
  /** Effective `kvm_amd` parameters: `1` and `Y` are on. */
  readonly kvmParameters: { readonly sev?: boolean; readonly sevEs?: boolean; readonly sevSnp?: boolean };
  readonly versions: Readonly<Record<string, string>>;
  readonly hostname: string;
  /** The emulator binary and machine type that guests get. */
  readonly emulatorPath: string | undefined;
  /** `kvm`, or `qemu` where the host has no usable KVM. */
  readonly virtType: 'kvm' | 'qemu';
  /** Facts that could not be read, with the reason: unknown is not "no". */
  readonly unknown: Readonly<Record<string, string>>;
}

/** Where the misc controller may be mounted: cgroup v2, v1, and v2 beside v1 (kernel/cgroup/misc.c has its files in both). */
export const MISC_CGROUP_ROOTS: readonly string[] = ['/sys/fs/cgroup', '/sys/fs/cgroup/misc', '/sys/fs/cgroup/unified'];

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  isArray: (name) => name === 'value' || name === 'enum',
});

/** Reads the host once. Nothing is changed on it, and no guest is launched. */
export async function readSevFacts(host: Host): Promise<SevFacts> {
  const { connection } = host;
  const unknown: Record<string, string> = {};
  const [hypervisor, library, hostname, capabilitiesXml, nodeSevInfo, cpuid, misc, kvmParameters] = await Promise.all([
    connection.hypervisorVersion(),
    connection.libvirtVersion(),
    connection.hostname(),
    domainCapabilities(host),
    sevInfo(host, unknown),
    readCpuid(host, unknown),
    readMiscCapacity(host, unknown),
    readKvmParameters(host, unknown),
  ]);
  const capabilities = parser.parse(capabilitiesXml.xml) as DomainCapabilitiesXml;
  return {
    domainCapabilities: sevCapabilities(capabilities),
    launchSecurityTypes: launchSecurityTypes(capabilities),
    ...(await sortLoaders(host.shell, loaderPaths(capabilities))),
    nodeSevInfo,
    cpuid,
    misc,
    kvmParameters,
    versions: { libvirt: library, qemu: hypervisor, ...(await kernelVersion(host)) },
    hostname,
    emulatorPath: capabilities.domainCapabilities?.path,
    virtType: capabilitiesXml.virtType,
    unknown,
  };
}

/** The parts of the domain capabilities document that we read. */
interface DomainCapabilitiesXml {
  domainCapabilities?: {
    path?: string;
    os?: { loader?: { value?: unknown[] } };
    features?: {
      launchSecurity?: { enum?: { '@name'?: string; value?: unknown[] }[] };
      sev?: {
        '@supported'?: string;
        cbitpos?: number;
        reducedPhysBits?: number;
        maxGuests?: number;
        maxESGuests?: number;
      };
    };
  };
}

async function domainCapabilities(host: Host): Promise<{ xml: string; virtType: 'kvm' | 'qemu' }> {
  const ask = async (virtType: 'kvm' | 'qemu') => {
    const query = { arch: 'x86_64', machine: 'q35', virtType };
    return { xml: await host.connection.domainCapabilitiesXml(query), virtType };
  };
  if (await lacksVirtualization(host)) return ask('qemu');
  try {
    return await ask('kvm');
  } catch {
    // A machine without KVM refuses the kvm question; its guests run under TCG.
    return ask('qemu');
  }
}

/**
 * True when the processor shows neither SVM nor VMX. There may be a /dev/kvm all the same, of a hypervisor that runs guests
 * in software: libvirt offers it, and a stock kernel does not boot on it in minutes. Flags that cannot be read say nothing.
 */
async function lacksVirtualization(host: Host): Promise<boolean> {
  const { text } = await readText(host, '/proc/cpuinfo');
  const flags = /^flags\s*:(.*)$/m.exec(text ?? '')?.[1];
  return flags !== undefined && !/\b(?:svm|vmx)\b/.test(flags);
}

function sevCapabilities(xml: DomainCapabilitiesXml): SevDomainCapabilities | undefined {
  const sev = xml.domainCapabilities?.features?.sev;
  if (sev?.['@supported'] !== 'yes') return undefined;
  return {
    cbitpos: Number(sev.cbitpos),
    reducedPhysBits: Number(sev.reducedPhysBits),
    ...(sev.maxGuests === undefined ? {} : { maxGuests: Number(sev.maxGuests) }),
    ...(sev.maxESGuests === undefined ? {} : { maxEsGuests: Number(sev.maxESGuests) }),
  };
}

function loaderPaths(xml: DomainCapabilitiesXml): string[] {
  return (xml.domainCapabilities?.os?.loader?.value ?? []).map(String);
}

function launchSecurityTypes(xml: DomainCapabilitiesXml): string[] {
  const sectype = xml.domainCapabilities?.features?.launchSecurity?.enum?.find((entry) => entry['@name'] === 'sectype');
  return (sectype?.value ?? []).map(String);
}

async function sevInfo(host: Host, unknown: Record<string, string>): Promise<SevInfo | undefined> {
  try {
    return await host.connection.sevInfo();
  } catch (error) {
    // libvirt that refuses this one question still answers the others.
    if (!isRemoteError(error)) throw error;
    unknown.nodeSevInfo = error.message;
    return undefined;
  }
}

async function readCpuid(host: Host, unknown: Record<string, string>): Promise<SevCpuid | undefined> {
  const leaf = await readEncryptionLeaf(host.shell);
  if (leaf.outcome === 'read') return leaf.value;
  unknown.cpuid = leaf.because;
  return undefined;
}

async function readText(host: Host, path: string): Promise<{ text?: string; because: string }> {
  const reading = await host.shell.readFile(path);
  if (reading.outcome === 'read') return { text: Buffer.from(reading.bytes).toString('utf8'), because: '' };
  return { because: reading.outcome === 'absent' ? `${path} is absent` : reading.because };
}

async function readMiscCapacity(host: Host, unknown: Record<string, string>): Promise<MiscCapacity | undefined> {
  const paths = MISC_CGROUP_ROOTS.map((root) => `${root}/misc.capacity`);
  const readings = await host.shell.readFiles(paths);
  const found = readings.find((reading) => reading.outcome === 'read');
  if (found?.outcome !== 'read') {
    const closed = readings.find((reading) => reading.outcome === 'unreadable');
    unknown.misc = closed?.outcome === 'unreadable' ? closed.because : `there is none of ${paths.join(', ')}`;
    return undefined;
  }
  const text = Buffer.from(found.bytes).toString('utf8');
  const value = (key: string) => new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1];
  const [sev, sevEs] = [value('sev'), value('sev_es')];
  return {
    ...(sev === undefined ? {} : { sev: Number(sev) }),
    ...(sevEs === undefined ? {} : { sevEs: Number(sevEs) }),
  };
}

async function readKvmParameters(host: Host, unknown: Record<string, string>): Promise<SevFacts['kvmParameters']> {
  const parameter = async (name: string) => {
    const { text, because } = await readText(host, `/sys/module/kvm_amd/parameters/${name}`);
    if (text === undefined) unknown[`kvm_amd.${name}`] = because;
    return text === undefined ? undefined : /^[1Yy]/.test(text);
  };
  const [sev, sevEs, sevSnp] = await Promise.all(['sev', 'sev_es', 'sev_snp'].map(parameter));
  return {
    ...(sev === undefined ? {} : { sev }),
    ...(sevEs === undefined ? {} : { sevEs }),
    ...(sevSnp === undefined ? {} : { sevSnp }),
  };
}

async function kernelVersion(host: Host): Promise<{ kernel?: string }> {
  const { text } = await readText(host, '/proc/version');
  const version = /^Linux version (\S+)/.exec(text ?? '')?.[1];
  return version === undefined ? {} : { kernel: version };
}
