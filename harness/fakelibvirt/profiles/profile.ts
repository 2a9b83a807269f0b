export type Version = readonly [major: number, minor: number, micro: number];

export interface CpuModel {
  /** As /proc/cpuinfo and the brand-string leaves print it. */
  readonly brand: string;
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** libvirt's name for the host CPU. */
  readonly libvirtModel: string;
  /** Empty where the kernel does not tell it. */
  readonly microcodeHex: string;
  readonly sockets: number;
  readonly coresPerSocket: number;
  readonly threadsPerCore: number;
  readonly mhz: number;
}

/** CPUID 0x8000001F, which decides what KVM and libvirt can offer. */
export interface MemoryEncryptionLeaf {
  readonly eax: number;
  readonly ebx: number;
  /** Highest ASID that an encrypted guest may have. */
  readonly maxAsid: number;
  /** Lowest ASID of a guest without SEV-ES; the ones below are for SEV-ES and SEV-SNP. */
  readonly minSevAsid: number;
}

export interface SevFirmwareVersion {
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly build: number;
}

/** What keeps SEV from working although the CPU has it. */
export type SevObstacle = 'none' | 'no-cpu-support' | 'off-in-bios' | 'off-in-kernel' | 'stale-capabilities';

export interface Profile {
  readonly name: string;
  /** One sentence for `--help` and reports. */
  readonly title: string;
  readonly cpu: CpuModel;
  readonly memoryKiB: number;
  readonly memoryEncryption: MemoryEncryptionLeaf;
  readonly sevFirmware: SevFirmwareVersion | undefined;
  /** The kvm_amd module parameters as they read back; absent means that the file does not exist. */
  readonly kvmParameters: { readonly sev: string; readonly sevEs: string; readonly sevSnp: string | undefined };
  /** With SEV-SNP on, firmware refuses SEV-ES guests; this one is from before the fix of CVE-2025-48514 and takes them. */
  readonly takesEsBesideSnp?: boolean;
  readonly obstacle: SevObstacle;
  readonly kernel: string;
  readonly qemu: Version;
  readonly libvirt: Version;
  readonly ovmf: string;
  readonly osRelease: string;
  /** Where each group of values was found. */
  readonly sources: Readonly<Record<string, string>>;
}

/** Bits of CPUID 0x8000001F EAX (AMD APM volume 3, E.4.17). */
export const ENCRYPTION_FEATURE = { sme: 1 << 0, sev: 1 << 1, sevEs: 1 << 3, sevSnp: 1 << 4 } as const;

/** The certificate chain that AMD gives a processor, by its family and model; the first one for what has no SEV. */
export function sevGeneration({ cpu: { family, model } }: Profile): 'naples' | 'rome' | 'milan' | 'genoa' | 'turin' {
  if (family === 0x1a) return 'turin';
  if (family === 0x19) return model >= 0x10 ? 'genoa' : 'milan';
  return model >= 0x30 ? 'rome' : 'naples';
}

/** CPUID 0x8000001F EBX bits 5:0. */
export function cBitPosition(leaf: MemoryEncryptionLeaf): number {
  return leaf.ebx & 0x3f;
}

/** libvirt's integer for a version. */
export function versionNumber([major, minor, micro]: Version): bigint {
  return BigInt(major * 1_000_000 + minor * 1000 + micro);
}

export function isAtLeast(version: Version, floor: Version): boolean {
  return versionNumber(version) >= versionNumber(floor);
}
