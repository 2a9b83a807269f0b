import { describe, expect, it } from 'vitest';
import type { SnpLaunchDigest } from '../brands.ts';
import type { SnpReport } from '../snp/report.ts';
import { forgeSnp, TCB } from '../testing/snp-platform.ts';
import { type SnpReferenceValues, validateSnpReport } from './snp-report.ts';

const { report } = forgeSnp();
const reference: SnpReferenceValues = {
  measurements: [new Uint8Array(48) as SnpLaunchDigest, report.measurement],
  reportData: report.reportData,
  hostData: report.hostData,
  maximumVmpl: 1,
  minimumGuestSvn: 1,
  minimumTcb: { product: 'milan', tcb: TCB },
};
const bytes = (length: number) => new Uint8Array(length).fill(0xee);

const outcomes = (changed: Partial<SnpReport>, values: SnpReferenceValues = reference) =>
  Object.fromEntries(
    validateSnpReport({ ...report, ...changed }, values).checks.map(({ id, outcome }) => [id, outcome]),
  );
const baseline = outcomes({});

describe('validateSnpReport', () => {
  it('passes every row for a report that is as wanted', () => {
    expect(new Set(Object.values(baseline))).toEqual(new Set(['passed']));
    expect(Object.keys(baseline).length).toBe(8);
  });

  it.each<[what: string, changed: Partial<SnpReport>, row: string]>([
    ['a policy without bit 17', { policy: 0x1_0000n }, 'validate.snp-policy-possible'],
    ['a policy that allows debug access', { policy: 0xb_0000n }, 'validate.snp-debug-off'],
    ['another measurement', { measurement: bytes(48) as SnpLaunchDigest }, 'validate.snp-measurement-known'],
    ['an old nonce', { reportData: bytes(64) }, 'validate.snp-report-data'],
    ['other host data', { hostData: bytes(32) }, 'validate.snp-host-data'],
    ['a lower privilege level', { vmpl: 2 }, 'validate.snp-vmpl'],
    ['a report that the hypervisor asked for', { vmpl: 0xffff_ffff }, 'validate.snp-vmpl'],
    ['an older guest', { guestSvn: 0 }, 'validate.snp-guest-svn'],
    ['an older launch TCB', { launchTcb: Uint8Array.of(2, 9, 0, 0, 0, 0, 9, 255) }, 'validate.snp-tcb-minimum'],
    ['a TCB of another product', { currentTcb: Uint8Array.of(3, 0, 8, 8, 0, 0, 8, 255) }, 'validate.snp-tcb-minimum'],
    ['an older committed TCB', { committedTcb: Uint8Array.of(3, 0, 0, 0, 0, 0, 7, 255) }, 'validate.snp-tcb-minimum'],
  ])('%s turns its own row and no other', (_, changed, row) => {
    expect(outcomes(changed)).toEqual({ ...baseline, [row]: 'failed' });
  });

  it('is not ok when nothing is wanted, even with debug access allowed', () => {
    for (const nothing of [{}, { allowDebug: true }]) {
      const { ok, checks } = validateSnpReport(report, nothing);
      expect([ok, new Set(checks.map(({ outcome }) => outcome))]).toEqual([false, new Set(['skipped'])]);
    }
  });

  it('accepts no measurement from an empty list', () => {
    expect(outcomes({}, { ...reference, measurements: [] })['validate.snp-measurement-known']).toBe('failed');
  });

  it('allows debug access only where the caller says so, and never as a pass', () => {
    const allowed = outcomes({ policy: 0xb_0000n }, { ...reference, allowDebug: true });
    expect(allowed['validate.snp-debug-off']).toBe('skipped');
  });

  it('refuses a minimum that the product cannot have', () => {
    const minimumTcb = { product: 'milan', tcb: { ...TCB, fmc: 1 } } as const;
    expect(() => validateSnpReport(report, { minimumTcb })).toThrow(expect.objectContaining({ code: 'TCB_INVALID' }));
  });
});
