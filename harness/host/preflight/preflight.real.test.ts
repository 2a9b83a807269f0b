import { describe, expect, it } from 'vitest';
import { openHost } from '../host.ts';
import { parseHostName } from '../name.ts';
import { preflight } from './index.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;

describe.skipIf(uri === undefined)('preflight of a real libvirtd on a host without SEV', () => {
  it('is red with the right reason, and sees what libvirt itself says', async () => {
    await using host = await openHost(parseHostName(uri ?? ''));
    const report = await preflight(host, { nova: 'zed' });
    const row = (id: string) => report.rows.find((one) => one.id === id);
    expect(report.verdict).toBe('unusable');
    expect(report.conditions).toEqual({ domainCapabilities: 'no', kernelParameter: 'no', sev: 'no' });
    expect(['virtual-machine', 'not-amd', 'no-cpu-support', 'bios']).toContain(report.diagnoses[0]?.way);
    expect(row('libvirt.version')).toMatchObject({ outcome: 'pass', found: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    expect(row('qemu.version')?.outcome).toBe('pass');
    expect(row('ovmf.descriptors')).toMatchObject({ outcome: 'pass', found: expect.stringContaining('amd-sev') });
    expect(row('nova.libvirt')?.outcome).toBe('pass');
    expect(row('libvirt.host-validate')).toMatchObject({
      outcome: 'warn',
      found: 'WARN (Unknown if this platform has Secure Guest support)',
    });
  });
});
