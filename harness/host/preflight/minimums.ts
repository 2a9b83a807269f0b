export type VersionNumbers = readonly [number, number, number];

/** What both seeds ask for; the article recommends more than 5.1.0 of libvirt. */
export const SEED_MINIMUM = {
  kernel: [4, 16, 0],
  qemu: [2, 12, 0],
  libvirt: [4, 5, 0],
  /** Date of commit 75b7aa9528bd. */
  ovmf: '2018-07-06',
} as const;

/** libvirt up to this version could not open a /dev/sev of mode 0600 when it probed QEMU. */
export const LIBVIRT_WITH_DEV_SEV_TROUBLE: VersionNumbers = [5, 1, 0];
/** libvirt advertises the number of guests from here on (nova reads it since 2024.1). */
export const LIBVIRT_WITH_GUEST_COUNTS: VersionNumbers = [8, 0, 0];
/** The SELinux policy of Fedora and RHEL lets QEMU open /dev/sev from here on (the article's "Limitations"). */
export const SELINUX_POLICY_MINIMUM = { version: [3, 14, 2], release: 40 } as const;

interface NovaMinimum {
  readonly libvirt: VersionNumbers;
  readonly qemu: VersionNumbers;
  /** Reads only the literal `1` of the kernel parameter, not `Y` (bug 1975686, fixed in Zed). */
  readonly readsOnlyOne: boolean;
  /** Takes the number of slots from libvirt and from nowhere else. */
  readonly needsGuestCounts: boolean;
  /** Writes `<os firmware='efi'>` beside `<loader secure='no'/>`, which libvirt 9.0.0 refuses to define. */
  readonly autoselectsFirmware: boolean;
  readonly offersSevEs: boolean;
  readonly offersSevSnp: boolean;
}

const OLD = {
  readsOnlyOne: true,
  needsGuestCounts: false,
  autoselectsFirmware: false,
  offersSevEs: false,
  offersSevSnp: false,
};
const MIDDLE = { ...OLD, readsOnlyOne: false };
const WITH_ES = { ...MIDDLE, offersSevEs: true };
const NEW = { ...WITH_ES, autoselectsFirmware: true };

/** MIN_QEMU_SEV_ES_VERSION of nova/virt/libvirt/host.py. */
export const NOVA_SEV_ES_QEMU: VersionNumbers = [8, 0, 0];

/** MIN_LIBVIRT_VERSION and MIN_QEMU_VERSION of nova/virt/libvirt/driver.py. */
export const NOVA_MINIMUMS = {
  train: { ...OLD, libvirt: [3, 0, 0], qemu: [2, 8, 0] },
  ussuri: { ...OLD, libvirt: [4, 0, 0], qemu: [2, 11, 0] },
  victoria: { ...OLD, libvirt: [5, 0, 0], qemu: [4, 0, 0] },
  zed: { ...MIDDLE, libvirt: [6, 0, 0], qemu: [4, 2, 0] },
  '2024.1': { ...MIDDLE, libvirt: [7, 0, 0], qemu: [5, 2, 0] },
  '2025.1': { ...MIDDLE, libvirt: [8, 0, 0], qemu: [6, 2, 0] },
  '2025.2': { ...WITH_ES, libvirt: [8, 0, 0], qemu: [6, 2, 0] },
  '2026.1': { ...NEW, libvirt: [8, 0, 0], qemu: [6, 2, 0] },
  master: { ...NEW, needsGuestCounts: true, offersSevSnp: true, libvirt: [8, 0, 0], qemu: [6, 2, 0] },
} as const satisfies Record<string, NovaMinimum>;

export type NovaRelease = keyof typeof NOVA_MINIMUMS;

export function isNovaRelease(text: string): text is NovaRelease {
  return Object.hasOwn(NOVA_MINIMUMS, text);
}

/** The first up to three numbers of a version: `6.1.0-56-amd64` is 6.1.0; undefined for a text without any. */
export function versionNumbers(text: string): VersionNumbers | undefined {
  const match = /(\d+)(?:\.(\d+))?(?:\.(\d+))?/.exec(text);
  return match === null ? undefined : [Number(match[1]), Number(match[2] ?? 0), Number(match[3] ?? 0)];
}

/** Negative, zero or positive as `a` is older than, the same as or newer than `b`. */
export function compareVersions(a: VersionNumbers, b: VersionNumbers): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** A program of the host that is older than the version that it must have. */
export interface OldProgram {
  readonly name: string;
  readonly found: string;
  readonly first: string;
}

/** The first of these programs that is too old; what is unknown is not old. */
export function findTooOld(
  versions: Readonly<Record<string, string>>,
  firstVersions: Readonly<Record<string, string>>,
): OldProgram | undefined {
  return Object.entries(firstVersions)
    .map(([name, first]) => ({ name, found: versions[name] ?? '', first }))
    .find(({ found, first }) => isOlder(found, first));
}

function isOlder(version: string, first: string): boolean {
  const [have, need] = [versionNumbers(version), versionNumbers(first)];
  return have !== undefined && need !== undefined && compareVersions(have, need) < 0;
}

/**
 * Date of the edk2 release that an OVMF package carries, as `YYYY-MM` or `YYYY-MM-DD`. Distributions write `2022.11-6`
 * (Debian), `20231122-6` (Fedora), `202402-150600.1` (SUSE); others are undefined.
 */
export function ovmfDate(version: string): string | undefined {
  const dotted = /^(?:\d+:)?(?:0~)?(20\d\d)\.(\d\d)(?!\d)/.exec(version);
  const plain = /^(?:\d+:)?(?:0~)?(20\d\d)(\d\d)(\d\d)?(?!\d)/.exec(version);
  const [, year, month, day] = dotted ?? plain ?? [];
  return year === undefined ? undefined : [year, month, day].filter((part) => part !== undefined).join('-');
}

/** Lowest microcode with the fix of CVE-2024-56161 (AMD-SB-3019); lines differ in all but the last two hex digits. */
const MICROCODE_FLOORS: readonly { readonly line: string; readonly floor: number }[] = [
  { line: 'Milan', floor: 0x0a0011db },
  { line: 'Milan-X', floor: 0x0a001244 },
  { line: 'Genoa', floor: 0x0a101154 },
  { line: 'Genoa-X', floor: 0x0a10124f },
  { line: 'Bergamo or Siena', floor: 0x0aa00219 },
];

/** The floor that counts for this microcode; undefined for a line without one. */
export function microcodeFloor(microcode: number): { readonly line: string; readonly floor: number } | undefined {
  return MICROCODE_FLOORS.find(({ floor }) => floor >>> 8 === microcode >>> 8);
}

interface SevFirmwareFloor {
  readonly api: readonly [number, number];
  readonly build: number;
  readonly defect: string;
}

/** Lowest SEV firmware without a defect that is public, by generation. */
export const SEV_FIRMWARE_FLOORS: Readonly<Record<string, SevFirmwareFloor>> = {
  Naples: { api: [0, 17], build: 22, defect: 'CVE-2019-9836 (invalid curve: the platform key can be found)' },
  Milan: { api: [1, 55], build: 22, defect: 'CVE-2024-21944 (BadRAM)' },
  Genoa: { api: [1, 55], build: 38, defect: 'CVE-2024-21944 (BadRAM)' },
};
