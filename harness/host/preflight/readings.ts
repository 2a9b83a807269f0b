import type { EncryptionLeaf } from '../cpuid.ts';
import type { SevFacts } from '../facts.ts';
import type { PlatformStatus } from '../secure-processor/device.ts';
import type { FileReading, FileStat, HostShell } from '../shell.ts';

/** One fact of a host. `unknown` means that nobody could look; it never means "no". */
export type Reading<T> =
  | { readonly outcome: 'read'; readonly value: T }
  | { readonly outcome: 'absent'; readonly because: string }
  | { readonly outcome: 'unknown'; readonly because: string };

export interface CpuInfo {
  /** `AuthenticAMD` and the like. */
  readonly vendor: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  readonly brand: string;
  readonly microcode: number | undefined;
  readonly flags: readonly string[];
}

/** One line of the modprobe configuration that concerns SEV. */
export interface ModprobeLine {
  readonly file: string;
  readonly line: string;
}

/** A QEMU firmware descriptor (docs/interop/firmware.json of QEMU). */
export interface FirmwareDescriptor {
  readonly file: string;
  readonly executable: string | undefined;
  readonly features: readonly string[];
}

/** Limit on locked memory of the libvirt daemon that answers on the host, in bytes or `unlimited`. */
export interface MemoryLockLimit {
  readonly daemon: string;
  readonly soft: string;
  /** Whether the daemon has CAP_SYS_RESOURCE, without which it raises no guest's limit; undefined where nobody may look. */
  readonly mayRaise?: boolean;
}

/** Everything that preflight decides on: plain data, so that every row can be tested from a table. */
export interface PreflightReadings {
  readonly where: HostShell['where'];
  /** A libvirt daemon of one user (`/session`), not of the system. */
  readonly isSession: boolean;
  readonly cpu: Reading<CpuInfo>;
  readonly encryptionLeaf: Reading<EncryptionLeaf>;
  readonly kernelVersion: Reading<string>;
  readonly commandLine: Reading<string>;
  readonly modprobe: Reading<readonly ModprobeLine[]>;
  /** Files in the folders of `modprobe` and `descriptors` that could not be read, with the reason. */
  readonly unreadFiles: { readonly modprobe: readonly string[]; readonly descriptors: readonly string[] };
  readonly kvmAmdLoaded: Reading<boolean>;
  /** As the files read back, trimmed: `1`, `Y`, `N` … */
  readonly kvmAmd: {
    readonly sev: Reading<string>;
    readonly sevEs: Reading<string>;
    readonly sevSnp: Reading<string>;
    readonly npt: Reading<string>;
    readonly nrips: Reading<string>;
  };
  readonly devSev: Reading<true>;
  readonly devSevStat: Reading<FileStat>;
  /** The firmware's own answer to PLATFORM_STATUS, which changes nothing. */
  readonly platformStatus: Reading<PlatformStatus>;
  readonly selinuxEnforcing: Reading<boolean>;
  /** Security models that libvirt confines guests with: `selinux`, `apparmor`, `dac`, `none`. */
  readonly securityModels: Reading<readonly string[]>;
  /** AppArmor's abstraction libvirt-qemu with what the host adds to it. */
  readonly appArmorQemu: Reading<string>;
  /** Lines of the kernel log about the AMD Secure Processor, SEV, SME and the IOMMU. */
  readonly kernelLog: Reading<readonly string[]>;
  /** `tsme_status` of the ccp driver. */
  readonly tsme: Reading<string>;
  readonly iommuGroups: Reading<number>;
  readonly miscCapacity: Reading<Readonly<Record<string, number>>>;
  readonly miscCurrent: Reading<Readonly<Record<string, number>>>;
  readonly machineSlice: { readonly high: Reading<string>; readonly max: Reading<string> };
  readonly memoryLock: Reading<MemoryLockLimit>;
  readonly ksm: Reading<string>;
  /** Versions of installed packages by name. */
  readonly packages: Reading<Readonly<Record<string, string>>>;
  readonly descriptors: Reading<readonly FirmwareDescriptor[]>;
  /** What libvirt says of the host. */
  readonly libvirt: Reading<SevFacts>;
}

export function known<T>(reading: Reading<T>): T | undefined {
  return reading.outcome === 'read' ? reading.value : undefined;
}

export function read<T>(value: T): Reading<T> {
  return { outcome: 'read', value };
}

/** The trimmed text of a file. */
export function textOf(reading: FileReading | undefined, path: string): Reading<string> {
  if (reading === undefined) return { outcome: 'unknown', because: `${path} was not answered` };
  if (reading.outcome === 'absent') return { outcome: 'absent', because: `${path} does not exist` };
  if (reading.outcome === 'unreadable') return { outcome: 'unknown', because: `${path}: ${reading.because}` };
  return read(Buffer.from(reading.bytes).toString().trim());
}

/** The first that was read of files that stand for one another; one that nobody may read hides those that are absent. */
export function firstThere(readings: readonly [Reading<string>, ...Reading<string>[]]): Reading<string> {
  const [first] = readings;
  const found =
    readings.find(({ outcome }) => outcome === 'read') ?? readings.find(({ outcome }) => outcome === 'unknown');
  return found ?? first;
}
