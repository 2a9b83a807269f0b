import { ENCRYPTION_FEATURE, type Profile } from '../profiles/profile.ts';

const BASE_FLAGS =
  'fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx mmxext ' +
  'fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl nonstop_tsc cpuid extd_apicid svm npt nrip_save avic topoext ssbd ibpb';

/** /proc/cpuinfo with one block for each logical CPU. */
export function formatCpuinfo(profile: Profile): string {
  const { cpu } = profile;
  const count = cpu.sockets * cpu.coresPerSocket * cpu.threadsPerCore;
  const flags = [BASE_FLAGS, ...encryptionFlags(profile)].join(' ');
  const block = (processor: number) =>
    [
      `processor\t: ${processor}`,
      'vendor_id\t: AuthenticAMD',
      `cpu family\t: ${cpu.family}`,
      `model\t\t: ${cpu.model}`,
      `model name\t: ${cpu.brand}`,
      `stepping\t: ${cpu.stepping}`,
      ...(cpu.microcodeHex === '' ? [] : [`microcode\t: ${cpu.microcodeHex}`]),
      `cpu MHz\t\t: ${cpu.mhz}.000`,
      `physical id\t: ${Math.floor(processor / cpu.coresPerSocket) % cpu.sockets}`,
      `core id\t\t: ${processor % cpu.coresPerSocket}`,
      `cpu cores\t: ${cpu.coresPerSocket}`,
      `flags\t\t: ${flags}`,
      '',
      '',
    ].join('\n');
  return Array.from({ length: count }, (_, processor) => block(processor)).join('');
}

/** The kernel clears the flags again when the BIOS left memory encryption off (`early_detect_mem_encrypt`). */
function encryptionFlags({ memoryEncryption: { eax }, obstacle }: Profile): string[] {
  if (obstacle === 'off-in-bios') return [];
  const names = [
    ['sme', ENCRYPTION_FEATURE.sme],
    ['sev', ENCRYPTION_FEATURE.sev],
    ['sev_es', ENCRYPTION_FEATURE.sevEs],
    ['sev_snp', ENCRYPTION_FEATURE.sevSnp],
  ] as const;
  return names.filter(([, bit]) => (eax & bit) !== 0).map(([name]) => name);
}
