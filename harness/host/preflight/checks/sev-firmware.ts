import { initFailure } from '../../../diagnosis/init-failure.ts';
import type { PlatformStatus } from '../../secure-processor/device.ts';
import type { FileStat } from '../../shell.ts';
import {
  compareVersions,
  LIBVIRT_WITH_DEV_SEV_TROUBLE,
  SELINUX_POLICY_MINIMUM,
  SEV_FIRMWARE_FLOORS,
  versionNumbers,
} from '../minimums.ts';
import { known, type PreflightReadings, type Reading, read } from '../readings.ts';
import { reprobe } from '../reprobe.ts';
import { type Finding, type PreflightCheck, unread } from '../row.ts';
import { generationOf } from './processor.ts';

const API_LINE = /\bSEV(?:-SNP)? API:\s*(\d+)\.(\d+) build:\s*(\d+)/;
const INIT_FAILED = {
  sev: new RegExp(`${initFailure('SEV')} (0x[0-9a-f]+)`),
  snp: new RegExp(`${initFailure('SEV-SNP')} (0x[0-9a-f]+)`),
};
const INIT_HINTS: Readonly<Record<number, string>> = {
  1: 'Error 0x1 (invalid platform state): look in the kernel log for a failure of SEV-SNP before it, and update the BIOS, whose boot loader must know the SEV firmware.',
  3: 'Error 0x3 (invalid configuration): check SMEE, the IOMMU and UEFI boot in the BIOS.',
  19: 'Error 0x13 (hardware error): set SMEE to Enabled in the BIOS, not to Auto, and update the BIOS.',
};
const GIVEN_UP = /\bsev command 0x[0-9a-f]+ timed out, disabling PSP/;
const SELINUX_TYPE = 'sev_device_t';

export const NO_FIRMWARE_HINT =
  "Run 'modprobe ccp' and read what it says in the kernel log; the BIOS may hide the secure processor (PSP).";

interface FirmwareFailure {
  readonly line: string;
  readonly hint: string;
}

/**
 * What the kernel log says of a firmware that did not start. Only the firmware's own answer takes that back: Linux 6.9 to
 * 6.14 print the line with the API after an INIT that failed, too.
 */
export function firmwareFailure({ kernelLog, platformStatus }: PreflightReadings): FirmwareFailure | undefined {
  if (platformStatus.outcome === 'read' && platformStatus.value.state !== 'UNINIT') return undefined;
  const log = known(kernelLog) ?? [];
  const givenUp = log.findLast((line) => GIVEN_UP.test(line));
  const hint = 'Reboot: until then the kernel does not ask it again. If it comes back, update the BIOS.';
  return givenUp === undefined ? initFailureIn(log, 'sev') : { line: givenUp, hint };
}

/** The last INIT of SEV or of SEV-SNP that failed. */
export function initFailureIn(log: readonly string[], kind: keyof typeof INIT_FAILED): FirmwareFailure | undefined {
  const line = log.findLast((one) => INIT_FAILED[kind].test(one));
  if (line === undefined) return undefined;
  const hint = INIT_HINTS[Number(INIT_FAILED[kind].exec(line)?.[1])];
  return { line, hint: hint ?? 'Update the BIOS; the number is a status of the SEV API.' };
}

function libvirtSaysSev(readings: PreflightReadings): boolean | undefined {
  const libvirt = known(readings.libvirt);
  return libvirt === undefined ? undefined : libvirt.domainCapabilities !== undefined;
}

function octal(mode: number): string {
  return `0${mode.toString(8).padStart(3, '0')}`;
}

function describe({ mode, owner, group, label }: FileStat): string {
  return `${octal(mode)} ${owner}:${group}${label === undefined ? '' : ` ${label}`}`;
}

/** QEMU runs as neither root nor the owner: it gets at the device through its group or as anybody. */
function isOpenToQemu({ mode, group }: FileStat): boolean {
  return (mode & 0o006) === 0o006 || ((mode & 0o060) === 0o060 && ['kvm', 'qemu', 'libvirt-qemu'].includes(group));
}

function deviceAccess(readings: PreflightReadings): Finding {
  if (readings.devSevStat.outcome !== 'read') return unread(readings.devSevStat);
  const found = describe(readings.devSevStat.value);
  if (isOpenToQemu(readings.devSevStat.value)) return { outcome: 'pass', found };
  const says = libvirtSaysSev(readings);
  if (says === true) return { outcome: 'pass', found, because: 'libvirt opened it when it probed QEMU' };
  const version = versionNumbers(known(readings.libvirt)?.versions.libvirt ?? '');
  const closed = {
    found,
    expected: 'read and write for the user that QEMU runs as',
    way: 'dev-sev-permissions',
    hint: `Install libvirt newer than 5.1.0, or give QEMU the device (a udev rule: KERNEL=="sev", GROUP="kvm", MODE="0660"). ${reprobe(readings)}`,
  } as const;
  if (readings.isSession)
    return {
      outcome: 'fail',
      ...closed,
      because: 'a libvirt session daemon and its QEMU run as an ordinary user, who may not open it',
      hint: `Use qemu:///system, or let the user open the device. ${reprobe(readings)}`,
    };
  if (version === undefined || says === undefined)
    return { outcome: 'unknown', found, because: 'libvirt did not answer' };
  const age = compareVersions(version, LIBVIRT_WITH_DEV_SEV_TROUBLE);
  if (age < 0)
    return {
      outcome: 'fail',
      ...closed,
      because:
        "libvirt before 5.1.0 gets 'Permission denied' on it when it probes QEMU, and then says that there is no SEV",
    };
  const { way: _, ...advice } = closed;
  if (age === 0)
    return {
      outcome: 'warn',
      ...advice,
      because: 'the article names 5.1.0 both as having this trouble and as curing it',
    };
  return { outcome: 'pass', found, because: 'libvirt after 5.1.0 opens it in spite of the mode when it probes QEMU' };
}

const unlabelled = { outcome: 'pass', found: 'neither SELinux nor AppArmor confines QEMU on this host' } as const;

/** libvirt's abstraction for QEMU is the same for all guests, and without the device in it AppArmor refuses it. */
function appArmor({ appArmorQemu }: PreflightReadings): Finding {
  if (appArmorQemu.outcome !== 'read') return unread(appArmorQemu);
  if (/^\s*\/dev\/sev\s/m.test(appArmorQemu.value)) return { outcome: 'pass', found: 'AppArmor allows /dev/sev' };
  return {
    outcome: 'warn',
    found: "no line '/dev/sev rw,' in the abstraction libvirt-qemu",
    because: 'AppArmor may keep the QEMU of a guest from the device, although libvirt could probe it',
    hint: "When a guest cannot open /dev/sev, add '/dev/sev rw,' to /etc/apparmor.d/abstractions/libvirt-qemu.",
  };
}

/** Whether a package version such as `3.14.3-80.el8` is below 3.14.2-40. */
function isOlderPolicy(policy: string): boolean {
  const [version = '', release = ''] = policy.split('-');
  const age = compareVersions(
    versionNumbers(version) ?? SELINUX_POLICY_MINIMUM.version,
    SELINUX_POLICY_MINIMUM.version,
  );
  return age < 0 || (age === 0 && (versionNumbers(release)?.[0] ?? 0) < SELINUX_POLICY_MINIMUM.release);
}

function deviceLabel(readings: PreflightReadings): Finding {
  const { devSevStat, selinuxEnforcing } = readings;
  const models = known(readings.securityModels) ?? [];
  if (selinuxEnforcing.outcome === 'unknown') return unread(selinuxEnforcing);
  if (!known(selinuxEnforcing)) return models.includes('apparmor') ? appArmor(readings) : unlabelled;
  if (devSevStat.outcome !== 'read') return unread(devSevStat);
  const label = devSevStat.value.label ?? 'no label';
  const policy = known(readings.packages)?.['selinux-policy'];
  const found = policy === undefined ? label : `${label}, selinux-policy ${policy}`;
  const isOldPolicy = policy !== undefined && isOlderPolicy(policy);
  if ((label.includes(SELINUX_TYPE) && !isOldPolicy) || libvirtSaysSev(readings) === true)
    return { outcome: 'pass', found };
  return {
    outcome: 'fail',
    way: 'dev-sev-permissions',
    found,
    expected: `${SELINUX_TYPE}, selinux-policy ${SELINUX_POLICY_MINIMUM.version.join('.')}-${SELINUX_POLICY_MINIMUM.release} or newer`,
    because: 'SELinux keeps QEMU (svirt_t) from touching the device',
    hint: `Update selinux-policy and run 'restorecon /dev/sev', or allow svirt_t with audit2allow. ${reprobe(readings)}`,
  };
}

/** API major, API minor and build, as the firmware says them, else as ccp wrote them into the kernel log. */
function firmwareVersion({ platformStatus, kernelLog }: PreflightReadings): Reading<[number, number, number]> {
  if (platformStatus.outcome === 'read') {
    const [major = 0, minor = 0] = platformStatus.value.api.split('.').map(Number);
    return read([major, minor, platformStatus.value.build]);
  }
  if (kernelLog.outcome !== 'read') return kernelLog;
  const match = kernelLog.value.map((line) => API_LINE.exec(line)).findLast((found) => found !== null);
  if (match === undefined || match === null)
    return { outcome: 'unknown', because: 'the kernel log has no line with it: it is lost when the log wraps around' };
  const [, major, minor, build] = match.map(Number) as [number, number, number, number];
  return read([major, minor, build]);
}

function describeStatus({ state, guestCount, isEsEnabled, isExternallyOwned }: PlatformStatus): string {
  const owner = isExternallyOwned ? 'an external owner' : 'self-owned';
  return `${state}, ${guestCount} guests, ${owner}, SEV-ES ${isEsEnabled ? 'on' : 'off'}`;
}

/** The firmware's own word first, then the kernel's: a key that libvirt has may be from before. */
function firmwareState(readings: PreflightReadings): Finding {
  const { platformStatus, libvirt } = readings;
  const failure = firmwareFailure(readings);
  if (failure !== undefined)
    return {
      outcome: 'fail',
      way: 'sev-firmware',
      found: failure.line,
      expected: 'INIT or WORKING',
      because: 'the kernel started the firmware, and it refused',
      hint: failure.hint,
    };
  if (platformStatus.outcome === 'read') {
    const found = describeStatus(platformStatus.value);
    if (platformStatus.value.state !== 'UNINIT') return { outcome: 'pass', found };
    return { outcome: 'unknown', found, because: 'the kernel starts it when a guest first needs it' };
  }
  if (known(libvirt)?.nodeSevInfo?.pdh !== undefined)
    return {
      outcome: 'pass',
      found: 'libvirt has its Diffie-Hellman key',
      because: 'it had started when libvirt probed QEMU: the key may be cached',
    };
  const because = `${platformStatus.because}; libvirt has no platform key, and the kernel log has no failure`;
  return { outcome: 'unknown', because };
}

export const sevFirmwareChecks: readonly PreflightCheck[] = [
  {
    id: 'firmware.device',
    parent: 'kernel.sev-parameter',
    title: '/dev/sev exists',
    source: '/dev/sev, made by the ccp driver',
    evaluate: (readings) => {
      if (readings.devSev.outcome === 'read') return { outcome: 'pass', found: 'there' };
      if (readings.devSev.outcome === 'unknown') return unread(readings.devSev);
      const missing = { outcome: 'fail', found: readings.devSev.because, expected: 'a character device' } as const;
      const failure = firmwareFailure(readings);
      if (failure !== undefined)
        return {
          ...missing,
          way: 'sev-firmware',
          because: `the SEV firmware did not start: ${failure.line}`,
          hint: failure.hint,
        };
      return {
        ...missing,
        way: 'dev-sev-missing',
        because: 'the ccp driver did not find the SEV firmware',
        hint: NO_FIRMWARE_HINT,
      };
    },
  },
  {
    id: 'firmware.version',
    parent: 'firmware.device',
    title: 'API and build of the SEV firmware',
    source: "PLATFORM_STATUS of /dev/sev, else the kernel log of ccp: 'SEV API:… build:…'",
    evaluate: (readings) => {
      const version = firmwareVersion(readings);
      if (version.outcome !== 'read') return unread(version);
      const [major, minor, build] = version.value;
      const found = `${major}.${minor} build ${build}`;
      const floor = SEV_FIRMWARE_FLOORS[generationOf(known(readings.cpu))?.name ?? ''];
      if (floor === undefined) return { outcome: 'pass', found };
      const expected = `at least ${floor.api.join('.')} build ${floor.build}`;
      const isFixed = compareVersions(version.value, [...floor.api, floor.build]) >= 0;
      if (isFixed) return { outcome: 'pass', found, expected };
      return {
        outcome: 'warn',
        found,
        expected,
        because: `older firmware has ${floor.defect}`,
        hint: 'Update the BIOS or /lib/firmware/amd; make new platform keys afterwards.',
      };
    },
  },
  {
    id: 'firmware.state',
    parent: 'firmware.device',
    title: 'State of the SEV firmware',
    source: 'PLATFORM_STATUS of /dev/sev, else the kernel log of ccp and the platform key of nodesevinfo',
    evaluate: firmwareState,
  },
  {
    id: 'firmware.device-access',
    parent: 'firmware.device',
    title: 'QEMU may open /dev/sev',
    source: 'owner and mode of /dev/sev; the article, "Checking SEV support in the virt stack", item 2',
    evaluate: deviceAccess,
  },
  {
    id: 'firmware.device-label',
    parent: 'firmware.device-access',
    title: 'SELinux or AppArmor lets QEMU at /dev/sev',
    source: 'SELinux label of /dev/sev; the article, "Limitations"',
    evaluate: deviceLabel,
  },
];
