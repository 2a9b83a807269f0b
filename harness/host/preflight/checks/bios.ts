import { type CpuInfo, known, type PreflightReadings } from '../readings.ts';
import { type Finding, type PreflightCheck, unread } from '../row.ts';
import { generationOf } from './processor.ts';

/** drivers/crypto/ccp/sev-dev.c prints it of every processor without the flag sev, also of one that never had SEV. */
const NOT_ENABLED_BY_BIOS = /memory encryption not enabled by BIOS/;

const BIOS_HINT =
  'Set SMEE (Secure Memory Encryption Enable) to Enabled in the BIOS, not to Auto, and SVM to Enabled; then reboot.';

function flagMissing(cpu: CpuInfo, readings: PreflightReadings): Finding {
  const found = 'no sev among the flags of /proc/cpuinfo';
  const leafSaysSev = known(readings.encryptionLeaf)?.sev === true;
  if (!leafSaysSev && !generationOf(cpu)?.sev)
    return {
      outcome: 'fail',
      way: 'no-cpu-support',
      found,
      expected: 'the flag sev',
      because: `${cpu.brand} is no EPYC processor that we know, and CPUID could not be read`,
      hint: "'modprobe cpuid' lets the next run tell a processor without SEV from a BIOS with SEV off; ccp prints 'not enabled by BIOS' for both.",
    };
  return {
    outcome: 'fail',
    way: 'bios',
    found,
    expected: 'the flag sev',
    because: leafSaysSev
      ? 'the processor has SEV and the kernel hides it: memory encryption is off in the BIOS'
      : 'every processor of this generation has SEV, so memory encryption is off in the BIOS',
    hint: BIOS_HINT,
  };
}

export const biosChecks: readonly PreflightCheck[] = [
  {
    id: 'bios.memory-encryption',
    parent: 'cpu.sev',
    title: 'The BIOS has memory encryption on',
    source: '/proc/cpuinfo flags (the article, "Enabling SEV on the host") and the kernel log of ccp',
    evaluate: (readings) => {
      const complaint = known(readings.kernelLog)?.find((line) => NOT_ENABLED_BY_BIOS.test(line));
      const hasSev = known(readings.encryptionLeaf)?.sev ?? generationOf(known(readings.cpu))?.sev;
      if (complaint !== undefined && hasSev)
        return {
          outcome: 'fail',
          way: 'bios',
          found: complaint,
          expected: 'SEV enabled by the BIOS',
          because: 'the kernel found memory encryption off in SYSCFG and gave up SEV',
          hint: BIOS_HINT,
        };
      if (readings.cpu.outcome !== 'read') return unread(readings.cpu);
      const flags = readings.cpu.value.flags.filter((flag) => /^(sme|sev|sev_es|sev_snp)$/.test(flag));
      if (!flags.includes('sev')) return flagMissing(readings.cpu.value, readings);
      return { outcome: 'pass', found: `flags ${flags.join(' ')}` };
    },
  },
  {
    id: 'bios.tsme',
    parent: 'cpu.vendor',
    title: 'Transparent memory encryption (TSME)',
    source: 'tsme_status of the ccp driver, or its line in the kernel log',
    evaluate: ({ tsme, kernelLog }) => {
      const logged = known(kernelLog)?.find((line) => /\bTSME\b/.test(line));
      if (tsme.outcome !== 'read' && logged === undefined) return unread(tsme);
      const isActive = tsme.outcome === 'read' ? tsme.value === '1' : true;
      if (!isActive) return { outcome: 'pass', found: 'off' };
      return {
        outcome: 'pass',
        found: logged ?? 'on',
        because: 'TSME encrypts all memory with one key: reading DRAM from outside shows ciphertext also without SEV',
      };
    },
  },
  {
    id: 'bios.iommu',
    parent: 'cpu.vendor',
    title: 'IOMMU',
    source: '/sys/kernel/iommu_groups, as virt-host-validate reads it',
    evaluate: ({ iommuGroups }) => {
      if (iommuGroups.outcome === 'unknown') return unread(iommuGroups);
      const count = known(iommuGroups) ?? 0;
      if (count > 0) return { outcome: 'pass', found: `${count} groups` };
      return {
        outcome: 'warn',
        found: 'no groups',
        because: 'SEV and SEV-ES do without it, SEV-SNP does not',
        hint: 'Enable the IOMMU in the BIOS; do not boot with iommu=pt when SEV-SNP is wanted.',
      };
    },
  },
];
