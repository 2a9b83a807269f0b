import type { CpuInfo, FirmwareDescriptor, ModprobeLine } from './readings.ts';

/** The first processor of /proc/cpuinfo; undefined where the vendor is missing (not an x86 file). */
export function parseCpuInfo(text: string): CpuInfo | undefined {
  const fields = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':');
    if (colon < 0) {
      if (fields.size > 0) break;
      continue;
    }
    fields.set(line.slice(0, colon).trim(), line.slice(colon + 1).trim());
  }
  const vendor = fields.get('vendor_id');
  if (vendor === undefined) return undefined;
  const microcode = Number(fields.get('microcode') ?? Number.NaN);
  return {
    vendor,
    family: Number(fields.get('cpu family')),
    model: Number(fields.get('model')),
    stepping: Number(fields.get('stepping')),
    brand: fields.get('model name') ?? '',
    microcode: Number.isNaN(microcode) ? undefined : microcode,
    flags: (fields.get('flags') ?? '').split(/\s+/).filter((flag) => flag !== ''),
  };
}

/** Lines that set or forbid what SEV needs: options and blacklists of kvm_amd, kvm and ccp. `kvm-amd` is the same module. */
export function parseModprobe(file: string, text: string): ModprobeLine[] {
  return text
    .replaceAll('\\\n', ' ')
    .split('\n')
    .map((line) => line.replace(/#.*/, '').trim())
    .filter((line) => /^(options|blacklist|install)\s+(kvm[-_]amd|ccp)\b/.test(line))
    .map((line) => ({ file, line }));
}

/** Flat-keyed file of a cgroup controller: `sev 15`. */
export function parseFlatKeyed(text: string): Record<string, number> {
  const entries = [...text.matchAll(/^(\S+) (\d+)$/gm)].map(([, key, value]) => [key ?? '', Number(value)] as const);
  return Object.fromEntries(entries);
}

const KERNEL_LOG_SUBJECTS =
  /\bccp\b|\bkvm[-_]amd\b|\bSEV\b|\bSEV-(ES|SNP)\b|\bTSME\b|AMD-Vi|Memory Encryption|\bpsp\b|RMP table|\bkvm: (SVM|Nested Paging|disabled|no hardware)/;
/** Kinds of lines that must not push one another out: what decides, what the IOMMU says of each unit and fault, and guests. */
const DECISIVE =
  /\b(?:INIT|INIT_EX|DF_FLUSH|API|BIOS|TSME)\b|get status|timed out|cannot be supported|RMP table|no hardware|SEV(?:-ES|-SNP)? (?:enabled|disabled|unusable|supported)/i;
const KINDS = ['decisive', 'iommu', 'guests'] as const;
const KEPT_OF_EACH = 60;

function kindOf(line: string): (typeof KINDS)[number] {
  if (DECISIVE.test(line)) return 'decisive';
  return /AMD-Vi/.test(line) ? 'iommu' : 'guests';
}

/** The lines that are evidence about SEV, without the colour and time that `dmesg` adds; the last of each kind where they are many. */
export function parseKernelLog(text: string): string[] {
  const lines = text
    .split('\n')
    .filter((line) => KERNEL_LOG_SUBJECTS.test(line))
    .map((line) => line.replace(/^(<\d+>)?\[\s*[\d.]+\]\s*/, '').trim());
  const kinds = lines.map(kindOf);
  const indices = [...lines.keys()];
  const kept = new Set(KINDS.flatMap((kind) => indices.filter((index) => kinds[index] === kind).slice(-KEPT_OF_EACH)));
  return lines.filter((_, index) => kept.has(index));
}

/** A descriptor of /usr/share/qemu/firmware; undefined where it is not one. */
export function parseFirmwareDescriptor(file: string, text: string): FirmwareDescriptor | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { mapping, features } = json as { mapping?: { filename?: unknown; executable?: unknown }; features?: unknown };
  const executable = (mapping?.executable as { filename?: unknown } | undefined)?.filename ?? mapping?.filename;
  return {
    file,
    executable: typeof executable === 'string' ? executable : undefined,
    features: Array.isArray(features) ? features.filter((feature) => typeof feature === 'string') : [],
  };
}

/** Soft limit of locked memory in /proc/PID/limits: bytes, or `unlimited`. */
export function parseMemoryLockLimit(text: string): string | undefined {
  return /^Max locked memory\s+(\S+)/m.exec(text)?.[1];
}

const CAP_SYS_RESOURCE = 24n;

/** Whether /proc/PID/status gives the process CAP_SYS_RESOURCE; undefined where it names no capabilities. */
export function parseMayRaiseLimits(text: string): boolean | undefined {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(text)?.[1];
  return effective === undefined ? undefined : ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

/** `name version` lines of dpkg-query and rpm. */
export function parsePackageLines(text: string): Record<string, string> {
  const lines = text.split('\n').map((line) => line.trim().split(/\s+/));
  return Object.fromEntries(
    lines.filter((words) => words.length === 2).map(([name = '', version = '']) => [name, version]),
  );
}

/** Versions of the wanted packages in /var/lib/dpkg/status. */
export function parseDpkgStatus(text: string, wanted: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const stanza of text.split('\n\n')) {
    const name = /^Package: (\S+)$/m.exec(stanza)?.[1];
    const version = /^Version: (\S+)$/m.exec(stanza)?.[1];
    if (name !== undefined && version !== undefined && wanted.includes(name)) found[name] = version;
  }
  return found;
}

/** `model` of every `<secmodel>` in the capabilities document. */
export function parseSecurityModels(capabilitiesXml: string): string[] {
  return [...capabilitiesXml.matchAll(/<secmodel>\s*<model>([^<]+)<\/model>/g)].map(([, model]) => model ?? '');
}

/** Whether a kernel parameter or a boolean file is on, as nova's `bool_from_string` and the kernel read it. */
export function isOn(text: string): boolean {
  return /^(1|t|true|on|y|yes)$/i.test(text.trim());
}
