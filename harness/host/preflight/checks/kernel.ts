import { initFailure } from '../../../diagnosis/init-failure.ts';
import { compareVersions, SEED_MINIMUM, versionNumbers } from '../minimums.ts';
import { isOn } from '../parse.ts';
import { known, type PreflightReadings, type Reading } from '../readings.ts';
import { type Finding, type PreflightCheck, unread } from '../row.ts';
import { generationOf } from './processor.ts';
import { firmwareFailure, initFailureIn, NO_FIRMWARE_HINT } from './sev-firmware.ts';

const PARAMETER_SOURCE = (name: string) => `/sys/module/kvm_amd/parameters/${name}`;
const SWITCH_ON_HINT =
  "Put 'mem_encrypt=on kvm_amd.sev=1' on the kernel command line, or 'options kvm_amd sev=1' in /etc/modprobe.d/sev.conf, and reboot.";

/** Words of the command line and of modprobe that set this parameter, e.g. `kvm_amd.sev=1`. */
function settings(readings: PreflightReadings, name: string): string[] {
  const onCommandLine = (known(readings.commandLine) ?? '')
    .split(/\s+/)
    .filter((word) => new RegExp(`^kvm[-_]amd\\.${name}=`).test(word));
  const inModprobe = (known(readings.modprobe) ?? [])
    .filter(({ line }) => /^options\s+kvm[-_]amd\s/.test(line) && new RegExp(`\\s${name}=`).test(line))
    .map(({ file, line }) => `${line} (${file})`);
  return [...onCommandLine, ...inModprobe];
}

function saysOff(setting: string, name: string): boolean {
  return new RegExp(`\\b${name}=(0|n|N|off)\\b`).test(setting);
}

function sevIsOff(readings: PreflightReadings, found: string): Finding {
  const off = { outcome: 'fail', found, expected: '1 or Y' } as const;
  const setTo = settings(readings, 'sev');
  const switchedOff = setTo.find((setting) => saysOff(setting, 'sev'));
  if (switchedOff !== undefined)
    return {
      ...off,
      way: 'kernel-parameter',
      because: `it is switched off by ${switchedOff}`,
      hint: `Remove that. ${SWITCH_ON_HINT}`,
    };
  const failure = firmwareFailure(readings);
  if (failure !== undefined)
    return {
      ...off,
      way: 'sev-firmware',
      because: `KVM gave up SEV because its firmware did not start: ${failure.line}`,
      hint: failure.hint,
    };
  // The parameter has been a bool, read back as a letter, since it is on by default (Linux 5.13).
  if (setTo.length > 0 || /^n$/i.test(found)) return { ...off, ...givenUp(readings, setTo) };
  return {
    ...off,
    way: 'kernel-parameter',
    because: hasWholeConfiguration(readings)
      ? 'neither the command line nor the modprobe configuration switches it on, and in this kernel it is off by default'
      : 'the kernel uses no SEV',
    hint: SWITCH_ON_HINT,
  };
}

/** Why KVM has SEV off that nobody switched off (arch/x86/kvm/svm/sev.c, sev_hardware_setup). */
function givenUp(readings: PreflightReadings, setTo: readonly string[]): Finding {
  const silent = hasWholeConfiguration(readings) ? 'nothing' : 'nothing that could be read';
  const asked = setTo.length === 0 ? `${silent} switches SEV off` : `${setTo.join(' and ')} asks for SEV`;
  const missing = (['npt', 'nrips'] as const).find((name) => !isOn(known(readings.kvmAmd[name]) ?? '1'));
  if (missing !== undefined)
    return {
      outcome: 'fail',
      way: 'kernel-parameter',
      because: `${asked}, and KVM gave it up: its parameter ${missing} is off, without which it has no SEV`,
      hint: `Take kvm_amd.${missing}=0 from the kernel command line or /etc/modprobe.d, and reboot.`,
    };
  // Since Linux 6.15 SEV does not start where SEV-SNP did not.
  const snp = initFailureIn(known(readings.kernelLog) ?? [], 'snp');
  if (snp !== undefined)
    return {
      outcome: 'fail',
      way: 'sev-firmware',
      because: `${asked}, and KVM gave it up: ${snp.line}`,
      hint: snp.hint,
    };
  if (readings.devSev.outcome === 'absent')
    return {
      outcome: 'fail',
      way: 'dev-sev-missing',
      because: `${asked}, and KVM gave it up: the ccp driver found no SEV firmware (${readings.devSev.because})`,
      hint: NO_FIRMWARE_HINT,
    };
  return {
    outcome: 'fail',
    way: 'kernel-parameter',
    because: `${asked}, and KVM gave it up: ${kvmWords(readings) ?? 'the kernel log has no word of kvm_amd'}`,
    hint: "Look for what kvm_amd and ccp say in the kernel log ('modprobe -r kvm_amd; modprobe kvm_amd' makes it say it again), and for ASIDs in the BIOS.",
  };
}

function hasWholeConfiguration({ commandLine, modprobe, unreadFiles }: PreflightReadings): boolean {
  return commandLine.outcome === 'read' && modprobe.outcome === 'read' && unreadFiles.modprobe.length === 0;
}

function kvmWords(readings: PreflightReadings): string | undefined {
  return known(readings.kernelLog)?.find((line) => /\bSEV (enabled|disabled|unusable|supported)/.test(line));
}

/** Rows of the parameters that only newer kinds of guests need. */
function optionalParameter(reading: Reading<string>, kind: string, name: string): Finding {
  if (reading.outcome === 'unknown') return unread(reading);
  if (reading.outcome === 'absent')
    return { outcome: 'n/a', because: `this kernel's kvm_amd has no ${name}: it knows no ${kind}` };
  if (isOn(reading.value)) return { outcome: 'pass', found: reading.value };
  return {
    outcome: 'warn',
    found: reading.value,
    expected: '1 or Y',
    because: `${kind} guests cannot start; SEV guests can`,
    hint: `Put 'kvm_amd.${name}=1' on the kernel command line, give SEV-ES its ASIDs in the BIOS, and reboot.`,
  };
}

/** A row of a parameter whose processor feature is missing: not applicable. */
function withoutFeature(readings: PreflightReadings, leaf: 'sevEs' | 'sevSnp', kind: string): Finding | undefined {
  const has = known(readings.encryptionLeaf)?.[leaf] ?? generationOf(known(readings.cpu))?.[leaf];
  return has === false ? { outcome: 'n/a', because: `the processor has no ${kind}` } : undefined;
}

const SNP_REFUSED = new RegExp(
  `${initFailure('SEV-SNP')} |SNP cannot be supported|RMP table (?:has not been reserved|does not cover)`,
);
const SNP_STARTED = /\bSEV-SNP API:/;

/** Why SEV-SNP is off, or on and of no use: Linux 6.11 to 6.14 leave the parameter on when its firmware does not start. */
function snpParameter(readings: PreflightReadings): Finding {
  const finding =
    withoutFeature(readings, 'sevSnp', 'SEV-SNP') ?? optionalParameter(readings.kvmAmd.sevSnp, 'SEV-SNP', 'sev_snp');
  const log = known(readings.kernelLog) ?? [];
  const refused = log
    .slice(log.findLastIndex((line) => SNP_STARTED.test(line)) + 1)
    .findLast((line) => SNP_REFUSED.test(line));
  if (finding.outcome !== 'warn' && (finding.outcome !== 'pass' || refused === undefined)) return finding;
  const off = settings(readings, 'sev_snp').find((setting) => saysOff(setting, 'sev_snp'));
  const iommu = /(?:^|\s)(?:iommu=(?:pt|off)|amd_iommu=off)(?=\s|$)/
    .exec(known(readings.commandLine) ?? '')?.[0]
    .trim();
  const cause = off ?? refused ?? iommu;
  return {
    ...finding,
    outcome: 'warn',
    expected: 'SEV-SNP on, and started',
    because: `SEV-SNP guests cannot start; SEV guests can${cause === undefined ? '' : `: ${cause}`}`,
    hint:
      off === undefined
        ? 'It is on by default: switch SEV-SNP and the RMP for all memory on in the BIOS, give SEV-ES its ASIDs there, boot without iommu=pt and amd_iommu=off, and update the SEV firmware.'
        : 'Remove that, and reboot.',
  };
}

export const kernelChecks: readonly PreflightCheck[] = [
  {
    id: 'kernel.version',
    title: 'Kernel version',
    source: '/proc/version; nova specification, "Other deployer impact": kernel >= 4.16',
    evaluate: ({ kernelVersion }) => {
      const version = versionNumbers(known(kernelVersion) ?? '');
      if (kernelVersion.outcome !== 'read' || version === undefined) return unread(kernelVersion);
      const finding = { found: kernelVersion.value, expected: `at least ${SEED_MINIMUM.kernel.slice(0, 2).join('.')}` };
      if (compareVersions(version, SEED_MINIMUM.kernel) >= 0) return { outcome: 'pass', ...finding };
      return {
        outcome: 'fail',
        way: 'software-too-old',
        ...finding,
        because: 'KVM has SEV since Linux 4.16',
        hint: 'Update the kernel.',
      };
    },
  },
  {
    id: 'kernel.command-line',
    title: 'SEV on the kernel command line',
    source: '/proc/cmdline; the article: mem_encrypt=on kvm_amd.sev=1',
    evaluate: ({ commandLine }) => {
      if (commandLine.outcome !== 'read') return unread(commandLine);
      const words = commandLine.value
        .split(/\s+/)
        .filter((word) => /^(mem_encrypt|kvm[-_]amd\.|amd_iommu|iommu)/.test(word));
      const finding = { found: words.join(' ') || 'nothing about SEV' };
      const off = words.find((word) => /^mem_encrypt=off$|\.sev=(0|n|N)$/.test(word));
      if (off === undefined) return { outcome: 'pass', ...finding, because: 'only the effective parameter decides' };
      return {
        outcome: 'warn',
        ...finding,
        because: `${off} is against what the article asks for`,
        hint: `Remove ${off}.`,
      };
    },
  },
  {
    id: 'kernel.modprobe',
    title: 'SEV in the modprobe configuration',
    source: '/etc/modprobe.d, /usr/lib/modprobe.d, /run/modprobe.d; the article: options kvm_amd sev=1',
    evaluate: ({ modprobe, unreadFiles, kvmAmd, devSev }) => {
      if (modprobe.outcome !== 'read') return unread(modprobe);
      const lines = modprobe.value.map(({ file, line }) => `${line} (${file})`);
      const forbidden = modprobe.value.find(({ line }) => /^(blacklist|install)\s|\ssev=(0|n|N)\b/.test(line));
      const finding = { found: lines.join('; ') || 'nothing about kvm_amd or ccp' };
      if (forbidden !== undefined) {
        const { line, file } = forbidden;
        const isOnNow = isOn(known(kvmAmd.sev) ?? '') && devSev.outcome === 'read';
        const because = isOnNow ? `SEV is on in spite of '${line}', now` : `'${line}' keeps SEV off`;
        return { outcome: 'warn', ...finding, because, hint: `Remove it from ${file}.` };
      }
      if (unreadFiles.modprobe.length > 0)
        return { outcome: 'unknown', ...finding, because: unreadFiles.modprobe.join('; ') };
      return { outcome: 'pass', ...finding, because: 'only the effective parameter decides' };
    },
  },
  {
    id: 'kernel.kvm-amd',
    parent: 'bios.memory-encryption',
    title: 'Module kvm_amd is loaded',
    source: '/sys/module/kvm_amd/parameters',
    evaluate: ({ kvmAmdLoaded }) => {
      if (kvmAmdLoaded.outcome !== 'read') return unread(kvmAmdLoaded);
      if (kvmAmdLoaded.value) return { outcome: 'pass', found: 'loaded' };
      return {
        outcome: 'fail',
        way: 'kernel-module',
        found: 'not loaded',
        expected: 'loaded',
        because: 'without kvm_amd there is no KVM on this host',
        hint: "Enable SVM in the BIOS and run 'modprobe kvm_amd'; the kernel log says why it does not load.",
      };
    },
  },
  {
    id: 'kernel.sev-parameter',
    parent: 'kernel.kvm-amd',
    title: 'SEV is on in the kernel',
    source: `${PARAMETER_SOURCE('sev')}; nova specification, condition 2, and the article (1; newer kernels say Y)`,
    evaluate: (readings) => {
      const { sev } = readings.kvmAmd;
      if (sev.outcome === 'unknown') return unread(sev);
      if (sev.outcome === 'read')
        return isOn(sev.value) ? { outcome: 'pass', found: sev.value } : sevIsOff(readings, sev.value || 'empty');
      return {
        outcome: 'fail',
        way: 'kernel-parameter',
        found: sev.because,
        expected: '1 or Y',
        because: 'this kernel is older than 4.16 or was built without CONFIG_KVM_AMD_SEV',
        hint: 'Boot a kernel with CONFIG_KVM_AMD_SEV=y.',
      };
    },
  },
  {
    id: 'kernel.sev-es-parameter',
    parent: 'kernel.sev-parameter',
    title: 'SEV-ES is on in the kernel',
    source: PARAMETER_SOURCE('sev_es'),
    evaluate: (readings) =>
      withoutFeature(readings, 'sevEs', 'SEV-ES') ?? optionalParameter(readings.kvmAmd.sevEs, 'SEV-ES', 'sev_es'),
  },
  {
    id: 'kernel.sev-snp-parameter',
    parent: 'kernel.sev-parameter',
    title: 'SEV-SNP is on in the kernel',
    source: PARAMETER_SOURCE('sev_snp'),
    evaluate: snpParameter,
  },
  {
    id: 'kernel.misc-capacity',
    parent: 'kernel.sev-parameter',
    title: 'Keys that the misc cgroup grants',
    source: 'misc.capacity of cgroup v2 or v1; Linux, Documentation/admin-guide/cgroup-v2.rst, "Misc"',
    evaluate: ({ miscCapacity, encryptionLeaf }) => {
      if (miscCapacity.outcome === 'absent')
        return { outcome: 'n/a', because: 'no misc controller: Linux has it since 5.13' };
      if (miscCapacity.outcome !== 'read') return unread(miscCapacity);
      const { sev, sev_es: sevEs } = miscCapacity.value;
      const found = `sev ${sev ?? 'not listed'}, sev_es ${sevEs ?? 'not listed'}`;
      const leaf = known(encryptionLeaf);
      if (leaf === undefined) return { outcome: 'pass', found };
      const expected = leaf.maxAsid - leaf.minSevAsid + 1;
      if ((sev ?? 0) === expected) return { outcome: 'pass', found, expected: `sev ${expected}` };
      return {
        outcome: 'warn',
        found,
        expected: `sev ${expected}`,
        because: 'CPUID and the kernel count differently',
        hint: 'The scenario slot-limit finds out who is right.',
      };
    },
  },
  {
    id: 'kernel.misc-use',
    parent: 'kernel.misc-capacity',
    title: 'Keys in use',
    source: 'misc.current of the root of the misc cgroup, else the sum of those below it',
    evaluate: ({ miscCapacity, miscCurrent }) => {
      if (miscCurrent.outcome !== 'read') return unread(miscCurrent);
      const used = miscCurrent.value.sev ?? 0;
      const capacity = known(miscCapacity)?.sev;
      const found = `sev ${used}, sev_es ${miscCurrent.value.sev_es ?? 0}`;
      if (capacity === undefined || used < capacity) return { outcome: 'pass', found };
      return {
        outcome: 'warn',
        found,
        expected: `fewer than ${capacity}`,
        because: 'every key is taken: no SEV guest can start until one stops',
        hint: 'Stop a SEV guest; `npm run reap` removes those that crashed runs of the harness left.',
      };
    },
  },
];
