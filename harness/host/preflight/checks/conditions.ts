import { compareVersions, LIBVIRT_WITH_GUEST_COUNTS, NOVA_MINIMUMS, versionNumbers } from '../minimums.ts';
import { isOn } from '../parse.ts';
import { known, type PreflightReadings } from '../readings.ts';
import { type Finding, type PreflightCheck, type PreflightOptions, unread } from '../row.ts';

export type Answer = 'yes' | 'no' | 'unknown';

/** Both conditions of the nova specification: "both checks are required, since the presence of the first does not imply the second". */
export interface TruthTable {
  readonly domainCapabilities: Answer;
  readonly kernelParameter: Answer;
  /** Yes when both are yes, no when one is no. */
  readonly sev: Answer;
}

export function truthTableOf({ libvirt, kvmAmd }: PreflightReadings): TruthTable {
  const domainCapabilities =
    libvirt.outcome !== 'read' ? 'unknown' : libvirt.value.domainCapabilities === undefined ? 'no' : 'yes';
  const kernelParameter = kvmAmd.sev.outcome === 'unknown' ? 'unknown' : isOn(known(kvmAmd.sev) ?? '') ? 'yes' : 'no';
  const both = [domainCapabilities, kernelParameter];
  const sev = both.includes('no') ? 'no' : both.includes('unknown') ? 'unknown' : 'yes';
  return { domainCapabilities, kernelParameter, sev };
}

function conditions(readings: PreflightReadings): Finding {
  const { domainCapabilities, kernelParameter, sev } = truthTableOf(readings);
  const found = `domain capabilities ${domainCapabilities}, kernel parameter ${kernelParameter}`;
  const expected = 'domain capabilities yes, kernel parameter yes';
  if (sev === 'yes') return { outcome: 'pass', found, expected };
  if (sev === 'unknown')
    return {
      outcome: 'unknown',
      found,
      expected,
      because:
        kernelParameter === 'unknown'
          ? (unread(readings.kvmAmd.sev).because ?? '')
          : (unread(readings.libvirt).because ?? ''),
    };
  const because =
    kernelParameter === 'yes'
      ? 'the kernel has SEV on, and libvirt does not offer it'
      : domainCapabilities === 'yes'
        ? 'libvirt offers SEV, and the kernel has it off: libvirt answers from a cache of before'
        : 'SEV is not usable on this host';
  return { outcome: 'fail', found, expected, because };
}

/** A requirement of the chosen nova release; not applicable when none is chosen. */
function novaVersion(part: 'qemu' | 'libvirt') {
  return ({ libvirt }: PreflightReadings, { nova }: PreflightOptions): Finding => {
    if (nova === undefined) return noRelease;
    if (libvirt.outcome !== 'read') return unread(libvirt);
    const found = libvirt.value.versions[part] ?? '';
    const version = versionNumbers(found);
    if (version === undefined) return { outcome: 'unknown', because: `libvirt gave no version of ${part}` };
    const minimum = NOVA_MINIMUMS[nova][part];
    const expected = `at least ${minimum.join('.')}`;
    if (compareVersions(version, minimum) >= 0) return { outcome: 'pass', found, expected };
    return {
      outcome: 'fail',
      way: 'nova-requirement',
      found,
      expected,
      because: `nova ${nova} does not start with an older ${part === 'qemu' ? 'QEMU' : 'libvirt'}`,
      hint: `Update ${part === 'qemu' ? 'QEMU' : 'libvirt'}, or choose an older nova release.`,
    };
  };
}

const noRelease = { outcome: 'n/a', because: 'no nova release chosen (--nova)' } as const;

function novaParameter({ kvmAmd }: PreflightReadings, { nova }: PreflightOptions): Finding {
  if (nova === undefined) return noRelease;
  if (kvmAmd.sev.outcome === 'absent') return { outcome: 'n/a', because: 'the kernel has no such parameter' };
  if (kvmAmd.sev.outcome !== 'read') return unread(kvmAmd.sev);
  const found = kvmAmd.sev.value;
  if (!NOVA_MINIMUMS[nova].readsOnlyOne || found === '1' || !isOn(found)) return { outcome: 'pass', found };
  return {
    outcome: 'warn',
    found,
    expected: '1',
    because: `nova ${nova} understands only '1' unless it has the fix of bug 1975686, and then reports no SEV`,
    hint: 'Update nova to Zed or later, or to a stable release with the fix.',
  };
}

function novaGuestCounts({ libvirt }: PreflightReadings, { nova }: PreflightOptions): Finding {
  if (nova === undefined) return noRelease;
  if (libvirt.outcome !== 'read') return unread(libvirt);
  const sev = libvirt.value.domainCapabilities;
  if (sev === undefined || !NOVA_MINIMUMS[nova].needsGuestCounts)
    return { outcome: 'n/a', because: sev === undefined ? 'libvirt offers no SEV' : `nova ${nova} does without` };
  const found = `maxGuests ${sev.maxGuests ?? 'missing'}, maxESGuests ${sev.maxEsGuests ?? 'missing'}`;
  if (sev.maxGuests !== undefined && sev.maxEsGuests !== undefined) return { outcome: 'pass', found };
  return {
    outcome: 'fail',
    way: 'nova-requirement',
    found,
    expected: 'both numbers',
    because: `nova ${nova} takes its slots from nowhere else and fails to report an inventory`,
    hint: `Update libvirt to ${LIBVIRT_WITH_GUEST_COUNTS.join('.')} or later.`,
  };
}

/** Where between 9.0.0 and 10.0.0 libvirt changed is not known: 9.0.0 refuses, 10.0.0 is what nova's own jobs run. */
function novaFirmware({ libvirt }: PreflightReadings, { nova }: PreflightOptions): Finding {
  if (nova === undefined) return noRelease;
  if (!NOVA_MINIMUMS[nova].autoselectsFirmware)
    return { outcome: 'n/a', because: `nova ${nova} names the firmware file itself` };
  const version = versionNumbers(known(libvirt)?.versions.libvirt ?? '');
  if (version === undefined) return unread(libvirt);
  const found = `libvirt ${version.join('.')}`;
  if (compareVersions(version, [10, 0, 0]) >= 0) return { outcome: 'pass', found };
  const because =
    "libvirt 9.0.0 refuses: loader attribute 'secure' cannot be specified when firmware autoselection is enabled";
  const hint = 'Update libvirt to 10.0.0 or later.';
  if (compareVersions(version, [9, 0, 0]) > 0) return { outcome: 'unknown', found, because, hint };
  return { outcome: 'fail', way: 'nova-requirement', found, expected: 'libvirt 10.0.0 or later', because, hint };
}

export const conditionChecks: readonly PreflightCheck[] = [
  {
    id: 'sev.conditions',
    title: 'Both conditions for SEV',
    source: 'nova specification, "Proposed change": domain capabilities and kernel parameter, both required',
    evaluate: conditions,
  },
  {
    id: 'nova.libvirt',
    title: 'libvirt is new enough for the nova release',
    source: 'MIN_LIBVIRT_VERSION of nova/virt/libvirt/driver.py',
    evaluate: novaVersion('libvirt'),
  },
  {
    id: 'nova.qemu',
    title: 'QEMU is new enough for the nova release',
    source: 'MIN_QEMU_VERSION of nova/virt/libvirt/driver.py',
    evaluate: novaVersion('qemu'),
  },
  {
    id: 'nova.kernel-parameter',
    title: 'nova understands the kernel parameter',
    source: 'kernel_supports_amd_sev of nova/virt/libvirt/host.py; bug 1975686',
    evaluate: novaParameter,
  },
  {
    id: 'nova.guest-counts',
    title: 'nova gets its number of slots',
    source: 'maxGuests and maxESGuests of the domain capabilities; nova/virt/libvirt/driver.py',
    evaluate: novaGuestCounts,
  },
  {
    id: 'nova.firmware',
    title: "libvirt defines nova's UEFI guests",
    source: "<os firmware='efi'> with <loader secure='no'/>, since nova 2026.1",
    evaluate: novaFirmware,
  },
];
