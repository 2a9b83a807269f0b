import {
  compareVersions,
  LIBVIRT_WITH_DEV_SEV_TROUBLE,
  ovmfDate,
  SEED_MINIMUM,
  type VersionNumbers,
  versionNumbers,
} from '../minimums.ts';
import { isOn } from '../parse.ts';
import { known, type PreflightReadings } from '../readings.ts';
import { reprobe } from '../reprobe.ts';
import { type Finding, type PreflightCheck, unread } from '../row.ts';
import { firmwareFailure } from './sev-firmware.ts';

const NAMES = { qemu: 'QEMU', libvirt: 'libvirt' } as const;

function isTooOld(text: string | undefined, minimum: VersionNumbers): boolean {
  const version = versionNumbers(text ?? '');
  return version !== undefined && compareVersions(version, minimum) < 0;
}

/** A version below what the seeds ask for. "This functionality-oriented check should preempt … version checking". */
function versionFinding(readings: PreflightReadings, part: 'qemu' | 'libvirt', minimum: VersionNumbers): Finding {
  const libvirt = readings.libvirt;
  if (libvirt.outcome !== 'read') return unread(libvirt);
  const found = libvirt.value.versions[part] ?? '';
  const version = versionNumbers(found);
  if (version === undefined) return { outcome: 'unknown', because: `libvirt gave no version of ${part}` };
  const expected = `at least ${minimum.join('.')}`;
  if (compareVersions(version, minimum) >= 0) return { outcome: 'pass', found, expected };
  const old = { found, expected, hint: `Update ${NAMES[part]}.` };
  const offers = libvirt.value.domainCapabilities !== undefined;
  return {
    outcome: 'warn',
    ...old,
    because: offers ? 'it offers SEV all the same: the distribution may have added it' : 'it is from before SEV',
  };
}

function sevInDomainCapabilities(readings: PreflightReadings): Finding {
  const { libvirt } = readings;
  if (libvirt.outcome !== 'read') return unread(libvirt);
  const sev = libvirt.value.domainCapabilities;
  if (sev !== undefined) return { outcome: 'pass', found: "<sev supported='yes'>" };
  const no = { outcome: 'fail', found: "<sev supported='no'/>", expected: "<sev supported='yes'>" } as const;
  const old = (['libvirt', 'qemu'] as const).find((part) => isTooOld(libvirt.value.versions[part], SEED_MINIMUM[part]));
  if (old !== undefined)
    return {
      ...no,
      way: 'software-too-old',
      because: `${NAMES[old]} ${libvirt.value.versions[old]} is from before SEV`,
      hint: `Update ${NAMES[old]} to ${SEED_MINIMUM[old].join('.')} or later.`,
    };
  if (libvirt.value.virtType !== 'kvm')
    return {
      ...no,
      way: 'qemu-without-sev',
      because: 'libvirt offers no KVM guests on this host, only emulated ones',
      hint: 'Load kvm_amd, let libvirt open /dev/kvm, and let libvirt probe QEMU again.',
    };
  const failure = firmwareFailure(readings);
  if (failure !== undefined)
    return {
      ...no,
      way: 'sev-firmware',
      because: `QEMU gets no answer from the firmware: ${failure.line}`,
      hint: failure.hint,
    };
  const isOnInKernel = isOn(known(readings.kvmAmd.sev) ?? '');
  if (!isOnInKernel || readings.devSev.outcome !== 'read')
    return {
      ...no,
      way: 'qemu-without-sev',
      because: 'QEMU or the host has no SEV, and the files that would tell could not be read',
      hint: 'Run preflight on the host itself, or through qemu+ssh, as a user who may read them.',
    };
  return {
    ...no,
    way: 'stale-capabilities',
    because: 'the kernel has SEV on and /dev/sev is there: libvirt answers from a cache of before',
    hint: `${reprobe(readings)} nova-compute must be restarted too. If it still says no, QEMU was built without SEV or may not open /dev/sev.`,
  };
}

/** What `virt-host-validate qemu` prints for secure guests (tools/virt-host-validate-common.c), from the same files. */
function hostValidateWords({ cpu, kvmAmd, devSev }: PreflightReadings): string | undefined {
  if (cpu.outcome !== 'read') return undefined;
  if (!cpu.value.flags.includes('sev')) return 'WARN (Unknown if this platform has Secure Guest support)';
  if (kvmAmd.sev.outcome === 'unknown' || devSev.outcome === 'unknown') return undefined;
  if (kvmAmd.sev.outcome === 'absent')
    return 'WARN (AMD Secure Encrypted Virtualization not supported by the currently used kernel)';
  if (!/^[1Yy]/.test(kvmAmd.sev.value))
    return 'WARN (AMD Secure Encrypted Virtualization appears to be disabled in kernel. Add kvm_amd.sev=1 to the kernel cmdline arguments)';
  if (devSev.outcome === 'absent')
    return 'WARN (AMD Secure Encrypted Virtualization appears to be disabled in firmware.)';
  return 'PASS';
}

/** Whether every source that gives a number gives the same one. */
function agreement(numbers: Readonly<Record<string, number | undefined>>): { found: string; agree: boolean } {
  const given = Object.entries(numbers).filter(([, value]) => value !== undefined);
  return {
    found: given.map(([source, value]) => `${source} ${value}`).join(', '),
    agree: new Set(given.map(([, value]) => value)).size <= 1,
  };
}

export const virtualizationChecks: readonly PreflightCheck[] = [
  {
    id: 'libvirt.version',
    title: 'libvirt version',
    source: 'virConnectGetLibVersion; the article: libvirt >= 4.5.0, > 5.1.0 recommended',
    evaluate: (readings) => {
      const finding = versionFinding(readings, 'libvirt', SEED_MINIMUM.libvirt);
      const version = versionNumbers(finding.found ?? '');
      if (finding.outcome !== 'pass' || version === undefined) return finding;
      if (compareVersions(version, LIBVIRT_WITH_DEV_SEV_TROUBLE) > 0) return finding;
      return {
        ...finding,
        outcome: 'warn',
        because: 'newer than 5.1.0 is recommended: it cures trouble with /dev/sev',
        hint: 'Update libvirt.',
      };
    },
  },
  {
    id: 'qemu.version',
    title: 'QEMU version',
    source: 'virConnectGetVersion; the article and the nova specification: QEMU >= 2.12',
    evaluate: (readings) => versionFinding(readings, 'qemu', SEED_MINIMUM.qemu),
  },
  {
    id: 'ovmf.version',
    title: 'OVMF version',
    source: `the package database; nova specification: ovmf >= commit 75b7aa9528bd of ${SEED_MINIMUM.ovmf}`,
    evaluate: ({ packages }) => {
      if (packages.outcome !== 'read') return unread(packages);
      const entry = Object.entries(packages.value).find(([name]) => name.includes('ovmf'));
      if (entry === undefined)
        return { outcome: 'unknown', because: 'no package ovmf, edk2-ovmf or qemu-ovmf-x86_64 is installed' };
      const found = entry.join(' ');
      const date = ovmfDate(entry[1]);
      if (date === undefined) return { outcome: 'unknown', found, because: 'the version names no date' };
      if (date >= SEED_MINIMUM.ovmf) return { outcome: 'pass', found };
      const hint = 'Update the OVMF package.';
      return {
        outcome: 'warn',
        found,
        expected: `of ${SEED_MINIMUM.ovmf} or later`,
        because: 'SEV was added then',
        hint,
      };
    },
  },
  {
    id: 'ovmf.descriptors',
    title: 'Guest firmware for SEV',
    source: '/usr/share/qemu/firmware/*.json, feature amd-sev (QEMU docs/interop/firmware.json)',
    evaluate: ({ descriptors, libvirt, unreadFiles }) => {
      if (descriptors.outcome !== 'read') return unread(descriptors);
      const kinds = ['amd-sev', 'amd-sev-es', 'amd-sev-snp'];
      const offers = descriptors.value.flatMap(({ file, executable, features }) => {
        const has = kinds.filter((kind) => features.includes(kind));
        return has.length === 0 ? [] : [`${executable ?? file} (${has.join(' ')})`];
      });
      if (descriptors.value.some(({ features }) => features.includes('amd-sev')))
        return { outcome: 'pass', found: offers.join(', ') };
      if (unreadFiles.descriptors.length > 0)
        return { outcome: 'unknown', because: unreadFiles.descriptors.join('; ') };
      const { loaders = [], refusedLoaders = {} } = known(libvirt) ?? {};
      return {
        outcome: 'warn',
        found: offers.join(', ') || `${descriptors.value.length} descriptors, none with amd-sev`,
        because:
          loaders.length > 0 || Object.keys(refusedLoaders).length > 0
            ? 'firmware cannot be chosen by libvirt itself; an explicit <loader> still works'
            : 'a SEV guest boots with UEFI only, and libvirt offers no UEFI image',
        hint: 'Install the OVMF package (Debian: ovmf).',
      };
    },
  },
  {
    id: 'libvirt.sev',
    parent: 'firmware.device-label',
    title: 'libvirt and QEMU offer SEV',
    source: 'virConnectGetDomainCapabilities; nova specification, condition 1, and the article',
    evaluate: sevInDomainCapabilities,
  },
  {
    id: 'libvirt.c-bit',
    parent: 'libvirt.sev',
    title: 'libvirt and the processor name the same C-bit',
    source: 'cbitpos of the domain capabilities, nodesevinfo and CPUID',
    evaluate: (readings) => {
      const { libvirt, encryptionLeaf } = readings;
      if (libvirt.outcome !== 'read') return unread(libvirt);
      const { found, agree } = agreement({
        domcapabilities: libvirt.value.domainCapabilities?.cbitpos,
        nodesevinfo: libvirt.value.nodeSevInfo?.cbitpos,
        CPUID: known(encryptionLeaf)?.cbitpos,
      });
      if (agree) return { outcome: 'pass', found };
      return {
        outcome: 'warn',
        found,
        because: 'a guest with the wrong C-bit does not start',
        hint: reprobe(readings),
      };
    },
  },
  {
    id: 'libvirt.guests',
    parent: 'libvirt.sev',
    title: 'Number of SEV guests that libvirt promises',
    source: 'maxGuests of the domain capabilities and nodesevinfo; CPUID and misc.capacity',
    evaluate: ({ libvirt, encryptionLeaf, miscCapacity }) => {
      if (libvirt.outcome !== 'read') return unread(libvirt);
      const { domainCapabilities, nodeSevInfo } = libvirt.value;
      if (domainCapabilities?.maxGuests === undefined && nodeSevInfo?.maxGuests === undefined)
        return { outcome: 'n/a', because: 'libvirt says it since 8.0.0' };
      const leaf = known(encryptionLeaf);
      const { found, agree } = agreement({
        domcapabilities: domainCapabilities?.maxGuests,
        nodesevinfo: nodeSevInfo?.maxGuests,
        CPUID: leaf === undefined ? undefined : leaf.maxAsid - leaf.minSevAsid + 1,
        'misc.capacity': known(miscCapacity)?.sev,
      });
      if (agree) return { outcome: 'pass', found };
      const because = 'the sources disagree: nova counts its slots by what libvirt says';
      return { outcome: 'warn', found, because, hint: 'The scenario slot-limit finds out who is right.' };
    },
  },
  {
    id: 'libvirt.nodesevinfo',
    parent: 'libvirt.sev',
    title: 'nodesevinfo gives platform key and certificates',
    source: 'virNodeGetSEVInfo',
    evaluate: (readings) => {
      const { libvirt } = readings;
      if (libvirt.outcome !== 'read') return unread(libvirt);
      const { nodeSevInfo, unknown } = libvirt.value;
      if (nodeSevInfo?.pdh !== undefined && nodeSevInfo.certChain !== undefined)
        return { outcome: 'pass', found: 'pdh and cert-chain' };
      if (nodeSevInfo === undefined)
        return {
          outcome: 'warn',
          because: unknown.nodeSevInfo ?? 'libvirt did not answer',
          expected: 'pdh and cert-chain',
          hint: reprobe(readings),
        };
      return {
        outcome: 'warn',
        found: Object.keys(nodeSevInfo).join(', '),
        expected: 'pdh and cert-chain',
        because: 'guests start, and their owners cannot make a session for this host',
        hint: reprobe(readings),
      };
    },
  },
  {
    id: 'libvirt.launch-security',
    parent: 'libvirt.sev',
    title: 'Kinds of launch security',
    source: '<launchSecurity> of the domain capabilities (libvirt 10.5.0)',
    evaluate: ({ libvirt }) => {
      if (libvirt.outcome !== 'read') return unread(libvirt);
      const types = libvirt.value.launchSecurityTypes;
      if (types.length > 0) return { outcome: 'pass', found: types.join(', ') };
      return { outcome: 'n/a', because: 'this libvirt lists no kinds; <sev> alone means sev and sev-es' };
    },
  },
  {
    id: 'libvirt.host-validate',
    title: 'What virt-host-validate says of secure guests',
    source: 'computed from /proc/cpuinfo, kvm_amd/parameters/sev and /dev/sev, as virt-host-validate does',
    evaluate: (readings) => {
      const words = hostValidateWords(readings);
      if (words === undefined) return { outcome: 'unknown', because: 'one of its three files could not be read' };
      const isFalseAlarm = words === 'PASS' && /^[Yy]/.test(known(readings.kvmAmd.sev) ?? '');
      return {
        outcome: words === 'PASS' ? 'pass' : 'warn',
        found: words,
        ...(isFalseAlarm ? { because: "older versions understand only '1' and warn here without need" } : {}),
      };
    },
  },
];
