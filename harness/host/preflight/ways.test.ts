import { describe, expect, it } from 'vitest';
import { evaluatePreflight } from './evaluate.ts';
import { NOVA_MINIMUMS, type NovaRelease } from './minimums.ts';
import { type PreflightReadings, read } from './readings.ts';
import type { WrongWay } from './row.ts';
import {
  absent,
  closedDevice,
  goodFacts,
  goodReadings,
  noSev,
  unknown,
  withCpu,
  withFacts,
  withLeaf,
  withoutCounts,
  withParameter,
  withStatus,
  withVersions,
} from './test-readings.ts';

describe('the ways to be wrong are named, the root first', () => {
  const off = withParameter(read('N'));
  const nobodyAsked = { ...off, commandLine: read('quiet') };
  const started = (...log: string[]) => ({
    platformStatus: unknown,
    kernelLog: read(log.map((line) => `ccp 0: ${line}`)),
  });
  it.each<[string, PreflightReadings, WrongWay, RegExp]>([
    [
      'a virtual machine on Intel',
      withCpu({ vendor: 'GenuineIntel', flags: ['hypervisor'] }),
      'virtual-machine',
      /machine underneath/,
    ],
    ['BIOS: CPUID has SEV, the kernel hides it', { ...off, cpu: withCpu({ flags: ['svm'] }).cpu }, 'bios', /SMEE/],
    [
      'BIOS: the words of ccp',
      { ...off, kernelLog: read(['ccp 0000:02:00.2: SEV: memory encryption not enabled by BIOS']) },
      'bios',
      /SMEE .* not to Auto/,
    ],
    [
      'BIOS: without CPUID, by the generation',
      { ...off, encryptionLeaf: unknown, cpu: withCpu({ flags: ['svm'] }).cpu },
      'bios',
      /SMEE/,
    ],
    [
      'not BIOS: without CPUID, on a processor that may lack SEV',
      { ...off, encryptionLeaf: unknown, cpu: withCpu({ flags: ['svm'], brand: 'AMD Ryzen 7' }).cpu },
      'no-cpu-support',
      /modprobe cpuid/,
    ],
    [
      'not BIOS: the words of ccp, on a processor that may lack SEV',
      {
        ...off,
        ...started('SEV: memory encryption not enabled by BIOS'),
        encryptionLeaf: unknown,
        cpu: withCpu({ flags: ['svm'], brand: 'AMD Ryzen 7' }).cpu,
      },
      'no-cpu-support',
      /modprobe cpuid/,
    ],
    [
      'not BIOS: without CPUID, on an EPYC 4004',
      {
        ...off,
        encryptionLeaf: unknown,
        cpu: withCpu({ flags: ['svm'], brand: 'AMD EPYC 4564P 16-Core Processor', family: 25, model: 0x61 }).cpu,
      },
      'no-cpu-support',
      /Use a host/,
    ],
    [
      'BIOS: an engineering sample without CPUID',
      {
        ...off,
        encryptionLeaf: unknown,
        cpu: withCpu({ flags: ['svm'], brand: 'AMD Eng Sample: 100-000001245-08', family: 26, model: 2 }).cpu,
      },
      'bios',
      /SMEE/,
    ],
    [
      'every key given to SEV-ES, where libvirt offers no SEV',
      { ...withFacts(noSev), encryptionLeaf: withLeaf({ minSevAsid: 16 }).encryptionLeaf },
      'bios',
      /Lower|lower/,
    ],
    [
      'KVM without nested paging',
      { ...nobodyAsked, kvmAmd: { ...off.kvmAmd, npt: read('N') } },
      'kernel-parameter',
      /kvm_amd\.npt=0/,
    ],
    [
      'KVM without next-RIP save',
      { ...nobodyAsked, kvmAmd: { ...off.kvmAmd, nrips: read('0') } },
      'kernel-parameter',
      /kvm_amd\.nrips=0/,
    ],
    ['KVM that found no SEV firmware', { ...nobodyAsked, devSev: absent }, 'dev-sev-missing', /modprobe ccp/],
    [
      'KVM of Linux 5.4 that was asked and found no SEV firmware',
      { ...withParameter(read('0')), devSev: absent },
      'dev-sev-missing',
      /modprobe ccp/,
    ],
    ['KVM that gave SEV up, and nobody knows why', nobodyAsked, 'kernel-parameter', /kernel log/],
    [
      'kernel parameter, off by default',
      { ...withParameter(read('0')), commandLine: read('quiet') },
      'kernel-parameter',
      /mem_encrypt=on kvm_amd\.sev=1/,
    ],
    [
      'kernel parameter, switched off',
      { ...off, commandLine: read('kvm-amd.sev=0') },
      'kernel-parameter',
      /Remove that/,
    ],
    [
      'kernel parameter, switched off by modprobe',
      { ...off, modprobe: read([{ file: '/etc/modprobe.d/x.conf', line: 'options kvm_amd nested=1 sev=0' }]) },
      'kernel-parameter',
      /Remove that/,
    ],
    [
      'firmware that does not start',
      { ...off, ...started('SEV: failed to INIT error 0x13, rc -5') },
      'sev-firmware',
      /SMEE to Enabled/,
    ],
    [
      'firmware that does not start, in the words of Linux 6.15',
      { ...off, ...started('SEV: INIT_EX failed 0x13, rc -5') },
      'sev-firmware',
      /SMEE to Enabled/,
    ],
    [
      'firmware that does not start, after SEV-SNP and before its API, as of Linux 6.9',
      {
        ...withFacts(noSev),
        ...started(
          'SEV-SNP: failed to INIT rc -5, error 0x3',
          'SEV: failed to INIT error 0x1, rc -5',
          'SEV API:1.55 build:7',
        ),
      },
      'sev-firmware',
      /failure of SEV-SNP before it/,
    ],
    [
      'firmware of which libvirt has a key from before',
      { ...goodReadings, ...started('SEV: failed to INIT error 0x3, rc -5') },
      'sev-firmware',
      /IOMMU/,
    ],
    [
      'firmware that gives no version',
      { ...withFacts(noSev), ...started('SEV: failed to get status. Error: 0x8003') },
      'sev-firmware',
      /Update the BIOS/,
    ],
    [
      'firmware that gives no version, and no device',
      { ...withFacts(noSev), ...started('SEV: failed to get status. Error: 0x8003'), devSev: absent },
      'sev-firmware',
      /Update the BIOS/,
    ],
    [
      'KVM that gave SEV up because SEV-SNP did not start, as of Linux 6.15',
      { ...nobodyAsked, ...started('SEV-SNP: SNP_INIT_EX failed rc -5, error 0x3') },
      'sev-firmware',
      /IOMMU/,
    ],
    [
      'firmware that does not answer',
      { ...withFacts(noSev), ...started('sev command 0x20 timed out, disabling PSP') },
      'sev-firmware',
      /^Reboot/,
    ],
    [
      '/dev/sev missing',
      { ...withFacts(noSev), devSev: absent, devSevStat: absent },
      'dev-sev-missing',
      /modprobe ccp/,
    ],
    [
      '/dev/sev closed to QEMU, with libvirt 4.10',
      { ...withFacts({ ...noSev, versions: { ...goodFacts.versions, libvirt: '4.10.0' } }), devSevStat: closedDevice },
      'dev-sev-permissions',
      /newer than 5\.1\.0.*capabilities\/\*/,
    ],
    [
      '/dev/sev closed to the user of a session daemon',
      { ...withFacts(noSev), devSevStat: closedDevice, isSession: true },
      'dev-sev-permissions',
      /qemu:\/\/\/system/,
    ],
    [
      '/dev/sev with another SELinux label',
      {
        ...withFacts(noSev),
        selinuxEnforcing: read(true),
        devSevStat: read({ mode: 0o660, owner: 'root', group: 'kvm', label: 'system_u:object_r:device_t:s0' }),
      },
      'dev-sev-permissions',
      /restorecon/,
    ],
    [
      'an SELinux policy before 3.14.2-40',
      {
        ...withFacts(noSev),
        selinuxEnforcing: read(true),
        packages: read({ 'selinux-policy': '3.14.2-39.fc29' }),
        devSevStat: read({ mode: 0o660, owner: 'root', group: 'kvm', label: 'system_u:object_r:sev_device_t:s0' }),
      },
      'dev-sev-permissions',
      /Update selinux-policy/,
    ],
    [
      'stale capabilities',
      withFacts(noSev),
      'stale-capabilities',
      /rm -f \/var\/cache\/libvirt\/qemu\/capabilities\/\*/,
    ],
    [
      'stale capabilities although /dev/sev is closed',
      { ...withFacts(noSev), devSevStat: closedDevice },
      'stale-capabilities',
      /libvirtd/,
    ],
    [
      'stale capabilities of virtqemud',
      { ...withFacts(noSev), memoryLock: read({ daemon: 'virtqemud', soft: 'unlimited' }) },
      'stale-capabilities',
      /systemctl stop virtqemud/,
    ],
    [
      'stale capabilities of a daemon that nobody may look at',
      { ...withFacts(noSev), memoryLock: unknown },
      'stale-capabilities',
      /systemctl start libvirtd \(virtqemud/,
    ],
    [
      'stale capabilities of a session',
      { ...withFacts(noSev), isSession: true },
      'stale-capabilities',
      /~\/\.cache\/libvirt\/qemu\/capabilities/,
    ],
    [
      'QEMU from before SEV',
      withFacts({ ...noSev, versions: { ...goodFacts.versions, qemu: '2.11.1' } }),
      'software-too-old',
      /QEMU to 2\.12\.0/,
    ],
    ['no KVM', withFacts({ ...noSev, virtType: 'qemu' }), 'qemu-without-sev', /kvm_amd/],
    [
      'a kernel parameter that cannot be read',
      { ...withFacts(noSev), kvmAmd: withParameter(unknown).kvmAmd },
      'qemu-without-sev',
      /qemu\+ssh/,
    ],
    [
      'files that cannot be read',
      { ...withFacts(noSev), devSev: unknown, devSevStat: unknown },
      'qemu-without-sev',
      /qemu\+ssh/,
    ],
  ])('%s', (_, readings, way, hint) => {
    const report = evaluatePreflight(readings);
    expect(report.verdict).toBe('unusable');
    expect(report.diagnoses[0]?.way).toBe(way);
    expect(report.diagnoses[0]?.hint).toMatch(hint);
  });

  it('names no failure of a firmware that says itself that it has started', () => {
    const log = { kernelLog: read(['ccp 0: SEV: failed to INIT error 0x18, rc -5']) };
    expect(evaluatePreflight({ ...off, ...log }).diagnoses.map(({ way }) => way)).toEqual(['kernel-parameter']);
    expect(evaluatePreflight({ ...withStatus({ state: 'UNINIT' }), ...log }).diagnoses).toMatchObject([
      { way: 'sev-firmware' },
    ]);
  });

  it('takes a failure of SEV-SNP alone for none of SEV', () => {
    const readings = { ...goodReadings, ...started('SEV-SNP: SNP_INIT_EX failed rc -5, error 0x3') };
    expect(evaluatePreflight(readings)).toMatchObject({ verdict: 'usable', diagnoses: [] });
  });
});

it.each([
  ['5.0.0', 'fail', 'dev-sev-permissions'],
  ['5.1.0', 'warn', 'stale-capabilities'],
  ['5.2.0', 'pass', 'stale-capabilities'],
])('a closed /dev/sev under libvirt %s: %s, and the host has %s', (libvirt, outcome, way) => {
  const readings = {
    ...withFacts({ ...noSev, versions: { ...goodFacts.versions, libvirt } }),
    devSevStat: closedDevice,
  };
  const { rows, diagnoses } = evaluatePreflight(readings);
  expect(rows.find(({ id }) => id === 'firmware.device-access')?.outcome).toBe(outcome);
  expect(diagnoses.map((diagnosis) => diagnosis.way)).toEqual([way]);
});

it('owner, mode and label of /dev/sev are shown, whoever confines QEMU', () => {
  const label = 'system_u:object_r:sev_device_t:s0';
  const readings = { ...goodReadings, devSevStat: read({ mode: 0o660, owner: 'root', group: 'kvm', label }) };
  const { rows } = evaluatePreflight(readings);
  expect(rows.find(({ id }) => id === 'firmware.device-access')?.found).toBe(`0660 root:kvm ${label}`);
});

describe('a release of nova', () => {
  const releases = Object.keys(NOVA_MINIMUMS) as NovaRelease[];
  const novaRows = (readings: PreflightReadings, nova: NovaRelease) =>
    Object.fromEntries(
      evaluatePreflight(readings, { nova })
        .rows.filter(({ id }) => id.startsWith('nova.'))
        .map(({ id, outcome }) => [id, outcome]),
    );

  it.each(releases)('%s refuses what is older than its minimum, and takes the minimum', (nova) => {
    const { libvirt, qemu } = NOVA_MINIMUMS[nova];
    const exact = withVersions({ libvirt: libvirt.join('.'), qemu: qemu.join('.') });
    expect(novaRows(exact, nova)).toMatchObject({ 'nova.libvirt': 'pass', 'nova.qemu': 'pass' });
    const older = withVersions({ libvirt: `${libvirt[0] - 1}.10.0`, qemu: `${qemu[0] - 1}.50.0` });
    expect(novaRows(older, nova)).toMatchObject({ 'nova.libvirt': 'fail', 'nova.qemu': 'fail' });
  });

  it('before Zed may not understand Y', () => {
    expect(novaRows(goodReadings, 'train')['nova.kernel-parameter']).toBe('warn');
    expect(novaRows(withParameter(read('1')), 'train')['nova.kernel-parameter']).toBe('pass');
    expect(novaRows(goodReadings, 'zed')['nova.kernel-parameter']).toBe('pass');
  });

  it('from 2025.2 on offers SEV-ES, with QEMU 8.0 and with the parameter on', () => {
    const withQemu = (qemu: string) => novaRows(withVersions({ qemu }), '2025.2')['nova.sev-es'];
    expect([withQemu('7.2.22'), withQemu('8.0.0')]).toEqual(['warn', 'pass']);
    expect(novaRows(goodReadings, '2025.1')['nova.sev-es']).toBe('n/a');
    const off = { ...goodReadings, kvmAmd: { ...goodReadings.kvmAmd, sevEs: read('N') } };
    expect(novaRows(off, '2025.2')['nova.sev-es']).toBe('n/a');
  });

  it('master offers SEV-SNP, and then no SEV-ES', () => {
    const snpOn = (types: readonly string[]) => ({
      ...withFacts({ launchSecurityTypes: types, versions: { libvirt: '10.5.0', qemu: '9.1.0' } }),
      kvmAmd: { ...goodReadings.kvmAmd, sevSnp: read('Y') },
    });
    expect(novaRows(snpOn(['sev', 'sev-snp']), 'master')).toMatchObject({
      'nova.sev-snp': 'pass',
      'nova.sev-es': 'warn',
    });
    expect(novaRows(snpOn(['sev']), 'master')).toMatchObject({ 'nova.sev-snp': 'warn', 'nova.sev-es': 'warn' });
    expect(novaRows(snpOn(['sev', 'sev-snp']), '2026.1')).toMatchObject({
      'nova.sev-snp': 'n/a',
      'nova.sev-es': 'pass',
    });
    expect(novaRows(goodReadings, 'master')['nova.sev-snp']).toBe('n/a');
    const closed = { ...goodReadings, kvmAmd: { ...goodReadings.kvmAmd, sevSnp: unknown } };
    expect(novaRows(closed, 'master')).toMatchObject({ 'nova.sev-snp': 'unknown', 'nova.sev-es': 'unknown' });
  });

  it('master needs the guest counts, and a libvirt that defines its UEFI guests', () => {
    const expected = { 'nova.guest-counts': 'fail', 'nova.firmware': 'fail' };
    expect(novaRows(withoutCounts(), 'master')).toMatchObject(expected);
    expect(novaRows(withVersions({ libvirt: '9.5.0' }), 'master')['nova.firmware']).toBe('unknown');
    expect(novaRows(withVersions({ libvirt: '10.0.0' }), 'master')).toMatchObject({
      'nova.guest-counts': 'pass',
      'nova.firmware': 'pass',
    });
  });
});
