import {
  compareVersions,
  LIBVIRT_WITH_GUEST_COUNTS,
  NOVA_MINIMUMS,
  NOVA_SEV_ES_QEMU,
  versionNumbers,
} from '../minimums.ts';
import { isOn } from '../parse.ts';
import { known, type PreflightReadings, type Reading } from '../readings.ts';
import { type Finding, type PreflightCheck, type PreflightOptions, unread } from '../row.ts';

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

/** What nova asks of a parameter before it looks any further; undefined when it is on. */
function parameterOff(reading: Reading<string>, kind: string): Finding | undefined {
  if (reading.outcome === 'unknown') return unread(reading);
  return isOn(known(reading) ?? '') ? undefined : { outcome: 'n/a', because: `the kernel has ${kind} off` };
}

function novaSevEs({ kvmAmd, libvirt }: PreflightReadings, { nova }: PreflightOptions): Finding {
  if (nova === undefined) return noRelease;
  const { offersSevEs, offersSevSnp } = NOVA_MINIMUMS[nova];
  if (!offersSevEs) return { outcome: 'n/a', because: `nova ${nova} knows no SEV-ES` };
  const off = parameterOff(kvmAmd.sevEs, 'SEV-ES');
  if (off !== undefined) return off;
  if (offersSevSnp && kvmAmd.sevSnp.outcome === 'unknown') return unread(kvmAmd.sevSnp);
  if (offersSevSnp && isOn(known(kvmAmd.sevSnp) ?? ''))
    return {
      outcome: 'warn',
      found: 'SEV-ES and SEV-SNP are both on in the kernel',
      because: `nova ${nova} ignores SEV-ES where SEV-SNP is on, even if it cannot offer SEV-SNP`,
      hint: 'For SEV-ES guests switch SEV-SNP off in the BIOS, or with kvm_amd.sev_snp=0.',
    };
  if (libvirt.outcome !== 'read') return unread(libvirt);
  const found = libvirt.value.versions.qemu ?? '';
  const version = versionNumbers(found);
  if (version === undefined) return { outcome: 'unknown', because: 'libvirt gave no version of QEMU' };
  const expected = `QEMU ${NOVA_SEV_ES_QEMU.join('.')} or later`;
  if (compareVersions(version, NOVA_SEV_ES_QEMU) >= 0) return { outcome: 'pass', found: `QEMU ${found}`, expected };
  return {
    outcome: 'warn',
    found: `QEMU ${found}`,
    expected,
    because: `nova ${nova} does not offer SEV-ES with an older QEMU, though the nova specification of SEV-ES says 6.0`,
    hint: 'Update QEMU.',
  };
}

function novaSevSnp({ kvmAmd, libvirt }: PreflightReadings, { nova }: PreflightOptions): Finding {
  if (nova === undefined) return noRelease;
  if (!NOVA_MINIMUMS[nova].offersSevSnp) return { outcome: 'n/a', because: `nova ${nova} knows no SEV-SNP` };
  const off = parameterOff(kvmAmd.sevSnp, 'SEV-SNP');
  if (off !== undefined) return off;
  if (libvirt.outcome !== 'read') return unread(libvirt);
  const found = libvirt.value.launchSecurityTypes.join(', ') || 'no kinds of launch security';
  if (libvirt.value.launchSecurityTypes.includes('sev-snp')) return { outcome: 'pass', found };
  return {
    outcome: 'warn',
    found,
    expected: 'sev-snp among the kinds of launch security',
    because: 'the kernel has SEV-SNP on, and libvirt or QEMU does not offer it',
    hint: 'SEV-SNP needs libvirt 10.5.0, QEMU 9.1.0 and Linux 6.11; let libvirt probe QEMU again after an update.',
  };
}

export const novaChecks: readonly PreflightCheck[] = [
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
  {
    id: 'nova.sev-es',
    title: 'nova offers SEV-ES on this host',
    source: 'supports_amd_sev_es of nova/virt/libvirt/host.py; bug 2157891',
    evaluate: novaSevEs,
  },
  {
    id: 'nova.sev-snp',
    title: 'nova offers SEV-SNP on this host',
    source: 'supports_amd_sev_snp of nova/virt/libvirt/host.py; nova specification of SEV-SNP',
    evaluate: novaSevSnp,
  },
];
