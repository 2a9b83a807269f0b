import { microcodeFloor } from '../minimums.ts';
import { type CpuInfo, known, type PreflightReadings } from '../readings.ts';
import { hex, type PreflightCheck, unread } from '../row.ts';

const AMD = 'AuthenticAMD';
const HYGON = 'HygonGenuine';
const SERVER_BRAND = /EPYC|Eng Sample/;
const CPUID_SOURCE = 'CPUID Fn8000_001F in /dev/cpu/0/cpuid; AMD APM volume 3, section E.4.17';

interface Generation {
  readonly name: string;
  readonly sev: boolean;
  readonly sevEs: boolean;
  readonly sevSnp: boolean;
}

const WITHOUT_SEV = { sev: false, sevEs: false, sevSnp: false };
const WITH_ES = { sev: true, sevEs: true, sevSnp: false };
const WITH_SNP = { ...WITH_ES, sevSnp: true };

/** Server processors by family and the first model of each block of sixteen; EPYC 4004 and 4005 are those of socket AM5. */
const GENERATIONS: Readonly<Record<string, Generation>> = {
  '23/0': { name: 'Naples', ...WITH_ES },
  '23/48': { name: 'Rome', ...WITH_ES },
  '25/0': { name: 'Milan', ...WITH_SNP },
  '25/16': { name: 'Genoa', ...WITH_SNP },
  '25/96': { name: 'Raphael', ...WITHOUT_SEV },
  '25/160': { name: 'Bergamo or Siena', ...WITH_SNP },
  '26/0': { name: 'Turin', ...WITH_SNP },
  '26/16': { name: 'Turin Dense', ...WITH_SNP },
  '26/64': { name: 'Granite Ridge', ...WITHOUT_SEV },
};

/** The EPYC generation of a processor, engineering samples included; undefined for every other one. */
export function generationOf(cpu: CpuInfo | undefined): Generation | undefined {
  if (cpu === undefined || !SERVER_BRAND.test(cpu.brand)) return undefined;
  return GENERATIONS[`${cpu.family}/${cpu.model & ~0xf}`];
}

function describe(cpu: CpuInfo): string {
  return `${cpu.brand}, family ${hex(cpu.family)} model ${hex(cpu.model)} stepping ${cpu.stepping}`;
}

/** The leaf decides, else a flag that the kernel shows, else a generation that lacks it; undefined is unknown. */
function feature(readings: PreflightReadings, leaf: 'sev' | 'sevEs' | 'sevSnp', flag: string): boolean | undefined {
  if (readings.encryptionLeaf.outcome === 'read') return readings.encryptionLeaf.value[leaf];
  if (readings.encryptionLeaf.outcome === 'absent') return false;
  const cpu = known(readings.cpu);
  if (cpu?.flags.includes(flag)) return true;
  return generationOf(cpu)?.[leaf] === false ? false : undefined;
}

export const processorChecks: readonly PreflightCheck[] = [
  {
    id: 'machine.bare-metal',
    title: 'The host is not a virtual machine',
    source: '/proc/cpuinfo, flag hypervisor (CPUID Fn0000_0001 ECX bit 31)',
    evaluate: ({ cpu }) => {
      if (cpu.outcome !== 'read') return unread(cpu);
      if (!cpu.value.flags.includes('hypervisor')) return { outcome: 'pass', found: 'no hypervisor flag' };
      return {
        outcome: 'fail',
        way: 'virtual-machine',
        found: 'the hypervisor flag is set',
        expected: 'no hypervisor flag',
        because: 'this host is itself a guest, and KVM gives its guests no SEV to hand on',
        hint: 'Point --host at the machine underneath, or use an emulated host (--host fake:naples).',
      };
    },
  },
  {
    id: 'cpu.vendor',
    title: 'Processor from AMD',
    source: '/proc/cpuinfo, vendor_id',
    evaluate: ({ cpu }) => {
      if (cpu.outcome !== 'read') return unread(cpu);
      const { vendor, brand } = cpu.value;
      if (vendor === AMD) return { outcome: 'pass', found: `${vendor} (${brand})` };
      if (vendor === HYGON)
        return { outcome: 'warn', found: vendor, because: 'Hygon CSV has the interface of SEV and not its firmware' };
      return {
        outcome: 'fail',
        way: 'not-amd',
        found: `${vendor} (${brand})`,
        expected: AMD,
        because: 'SEV is a feature of AMD EPYC processors',
        hint: 'Use a host with an EPYC processor, or an emulated one (--host fake:naples).',
      };
    },
  },
  {
    id: 'cpu.generation',
    parent: 'cpu.vendor',
    title: 'EPYC generation',
    source: '/proc/cpuinfo, cpu family, model and model name',
    evaluate: ({ cpu }) => {
      if (cpu.outcome !== 'read') return unread(cpu);
      const generation = generationOf(cpu.value);
      const found = describe(cpu.value);
      if (generation?.sev === false)
        return { outcome: 'warn', found: `${generation.name}: ${found}`, because: 'EPYC for socket AM5 has no SEV' };
      if (generation !== undefined) return { outcome: 'pass', found: `${generation.name}: ${found}` };
      if (SERVER_BRAND.test(cpu.value.brand))
        return { outcome: 'unknown', because: `${found}: no generation that we know` };
      return { outcome: 'warn', found, expected: 'an EPYC processor', because: 'AMD sells SEV with EPYC' };
    },
  },
  {
    id: 'cpu.microcode',
    parent: 'cpu.vendor',
    title: 'Microcode',
    source: '/proc/cpuinfo, microcode; AMD-SB-3019',
    evaluate: ({ cpu }) => {
      const microcode = known(cpu)?.microcode;
      if (microcode === undefined) return unread(cpu.outcome === 'read' ? unnamedMicrocode : cpu);
      const found = `0x${microcode.toString(16).padStart(8, '0')}`;
      const line = microcodeFloor(microcode);
      if (line === undefined) return { outcome: 'pass', found };
      const expected = `at least ${hex(line.floor)} on ${line.line}`;
      if (microcode >= line.floor) return { outcome: 'pass', found, expected };
      return {
        outcome: 'warn',
        found,
        expected,
        because: 'older microcode lets an attacker load microcode of their own (CVE-2024-56161)',
        hint: 'Update the BIOS or the amd64-microcode package.',
      };
    },
  },
  {
    id: 'cpu.sev',
    parent: 'cpu.vendor',
    title: 'The processor has SEV',
    source: CPUID_SOURCE,
    evaluate: (readings) => {
      const has = feature(readings, 'sev', 'sev');
      if (has === undefined) return unread(readings.encryptionLeaf);
      if (has) return { outcome: 'pass', found: 'SEV' };
      return {
        outcome: 'fail',
        way: 'no-cpu-support',
        found:
          readings.encryptionLeaf.outcome === 'read'
            ? 'EAX bit 1 is 0'
            : readings.encryptionLeaf.outcome === 'absent'
              ? readings.encryptionLeaf.because
              : `a processor of generation ${generationOf(known(readings.cpu))?.name}`,
        expected: 'EAX bit 1 is 1',
        because: 'this processor has no Secure Encrypted Virtualization',
        hint: 'Use a host with an EPYC processor, or an emulated one (--host fake:naples).',
      };
    },
  },
  {
    id: 'cpu.c-bit',
    parent: 'cpu.sev',
    title: 'Position of the C-bit',
    source: `${CPUID_SOURCE}, EBX bits 5:0 and 11:6`,
    evaluate: ({ encryptionLeaf }) => {
      if (encryptionLeaf.outcome !== 'read') return unread(encryptionLeaf);
      const { cbitpos, reducedPhysBits } = encryptionLeaf.value;
      return {
        outcome: 'pass',
        found: `bit ${cbitpos}; ${reducedPhysBits} physical address bits fewer with encryption on`,
      };
    },
  },
  {
    id: 'cpu.asids',
    parent: 'cpu.sev',
    title: 'Encryption keys for SEV guests',
    source: `${CPUID_SOURCE}, ECX and EDX`,
    evaluate: ({ encryptionLeaf, libvirt }) => {
      if (encryptionLeaf.outcome !== 'read') return unread(encryptionLeaf);
      const { maxAsid, minSevAsid } = encryptionLeaf.value;
      const guests = Math.max(0, maxAsid - minSevAsid + 1);
      const found = `${guests} (ASIDs ${minSevAsid} to ${maxAsid})`;
      if (guests > 0) return { outcome: 'pass', found };
      const all = {
        found,
        expected: 'at least 1',
        because: `the BIOS gives every one of the ${maxAsid} keys to SEV-ES and SEV-SNP`,
        hint: 'For guests with plain SEV lower "SEV-ES ASID Space Limit" in the BIOS.',
      };
      return known(libvirt)?.domainCapabilities !== undefined && minSevAsid > 1
        ? { outcome: 'warn', ...all }
        : { outcome: 'fail', way: 'bios', ...all };
    },
  },
  {
    id: 'cpu.sev-es',
    parent: 'cpu.sev',
    title: 'The processor has SEV-ES',
    source: `${CPUID_SOURCE}, EAX bit 3`,
    evaluate: (readings) => {
      const has = feature(readings, 'sevEs', 'sev_es');
      if (has === undefined) return unread(readings.encryptionLeaf);
      return has ? { outcome: 'pass', found: 'SEV-ES' } : { outcome: 'n/a', because: 'this processor has no SEV-ES' };
    },
  },
  {
    id: 'cpu.sev-es-asids',
    parent: 'cpu.sev-es',
    title: 'Encryption keys for SEV-ES and SEV-SNP guests',
    source: `${CPUID_SOURCE}, EDX`,
    evaluate: ({ encryptionLeaf }) => {
      if (encryptionLeaf.outcome !== 'read') return unread(encryptionLeaf);
      const { minSevAsid } = encryptionLeaf.value;
      if (minSevAsid > 1) return { outcome: 'pass', found: `${minSevAsid - 1} (ASIDs 1 to ${minSevAsid - 1})` };
      return {
        outcome: 'warn',
        found: '0',
        because: 'the BIOS keeps no ASIDs for SEV-ES, so SEV-ES and SEV-SNP guests cannot start',
        hint: 'Raise "SEV-ES ASID Space Limit" in the BIOS; each ASID given to SEV-ES is one SEV guest fewer.',
      };
    },
  },
  {
    id: 'cpu.sev-snp',
    parent: 'cpu.sev',
    title: 'The processor has SEV-SNP',
    source: `${CPUID_SOURCE}, EAX bit 4`,
    evaluate: (readings) => {
      const has = feature(readings, 'sevSnp', 'sev_snp');
      const generation = generationOf(known(readings.cpu));
      if (has) return { outcome: 'pass', found: 'SEV-SNP' };
      if (generation?.sevSnp === false) return { outcome: 'n/a', because: `${generation.name} has no SEV-SNP` };
      if (has === undefined) return unread(readings.encryptionLeaf);
      return { outcome: 'n/a', because: 'this processor has no SEV-SNP, or the BIOS hides it' };
    },
  },
  {
    id: 'cpu.vmpl',
    parent: 'cpu.sev-snp',
    title: 'Virtual machine privilege levels',
    source: `${CPUID_SOURCE}, EBX bits 15:12`,
    evaluate: ({ encryptionLeaf }) =>
      encryptionLeaf.outcome === 'read'
        ? { outcome: 'pass', found: String(encryptionLeaf.value.vmpls) }
        : unread(encryptionLeaf),
  },
];

const unnamedMicrocode = { outcome: 'unknown', because: '/proc/cpuinfo names no microcode' } as const;
