import { describe, expect, it } from 'vitest';
import { type PreflightReadings, read } from '../readings.ts';
import { absent, goodReadings, rowOf, unknown, withCpu, withLeaf, withParameter } from '../test-readings.ts';

describe('the row of SEV-SNP', () => {
  const snp = (value: string, change: Partial<PreflightReadings> = {}): PreflightReadings => ({
    ...withLeaf({ sevSnp: true }),
    kvmAmd: { ...goodReadings.kvmAmd, sevSnp: read(value) },
    ...change,
  });
  const log = (...lines: string[]) => ({ kernelLog: read(lines) });
  const passthrough = 'AMD-Vi: SNP: IOMMU disabled or configured in passthrough mode, SNP cannot be supported.';
  const failed = 'ccp 0: SEV-SNP: SNP_INIT_EX failed rc -5, error 0x3';

  it.each<[string, PreflightReadings, RegExp, RegExp]>([
    ['off', snp('N'), /cannot start; SEV guests can$/, /on by default: .*BIOS/],
    ['switched off', snp('N', { commandLine: read('kvm_amd.sev_snp=0') }), /: kvm_amd\.sev_snp=0$/, /^Remove that/],
    ['off with iommu=pt', snp('N', { commandLine: read('amd_iommu=on iommu=pt') }), /: iommu=pt$/, /iommu=pt/],
    ['refused for the IOMMU', snp('N', log(passthrough)), /passthrough mode/, /iommu=pt/],
    [
      'refused for the RMP',
      snp('N', log('SEV-SNP: Memory for the RMP table has not been reserved by BIOS')),
      /not been reserved/,
      /RMP/,
    ],
    [
      'on with a firmware that did not start',
      snp('Y', log(failed, 'ccp 0: SEV API:1.55 build:7')),
      /SNP_INIT_EX/,
      /BIOS/,
    ],
  ])('warns where it is %s', (_, readings, because, hint) => {
    expect(rowOf(readings, 'kernel.sev-snp-parameter')).toMatchObject({
      outcome: 'warn',
      because: expect.stringMatching(because),
      hint: expect.stringMatching(hint),
    });
  });

  it('passes where the firmware started after all', () => {
    const readings = snp('Y', log(failed, 'ccp 0: SEV-SNP API:1.55 build:7'));
    expect(rowOf(readings, 'kernel.sev-snp-parameter').outcome).toBe('pass');
  });

  it('does not apply to Rome, whether CPUID can be read or not', () => {
    const rome = withCpu({ model: 49, brand: 'AMD EPYC 7742' });
    const readings = snp('N', { cpu: rome.cpu, encryptionLeaf: unknown });
    expect(rowOf(readings, 'kernel.sev-snp-parameter').outcome).toBe('n/a');
  });
});

it("what modprobe's configuration forbids, and is on all the same, is said to be on", () => {
  const readings = { ...goodReadings, modprobe: read([{ file: 'a.conf', line: 'blacklist ccp' }]) };
  expect(rowOf(readings, 'kernel.modprobe').because).toMatch(/^SEV is on in spite of/);
  expect(rowOf({ ...readings, devSev: absent }, 'kernel.modprobe').because).toMatch(/keeps SEV off$/);
});

it('a parameter that nobody switched off is explained by what KVM says', () => {
  const kernelLog = read(['kvm_amd: SEV disabled (ASIDs 0 - 0)']);
  const readings = { ...withParameter(read('N')), commandLine: read('quiet'), kernelLog };
  expect(rowOf(readings, 'kernel.sev-parameter').because).toBe(
    'nothing switches SEV off, and KVM gave it up: kvm_amd: SEV disabled (ASIDs 0 - 0)',
  );
  const closed = rowOf({ ...readings, modprobe: unknown }, 'kernel.sev-parameter');
  expect(closed.because).toMatch(/^nothing that could be read switches SEV off/);
});
