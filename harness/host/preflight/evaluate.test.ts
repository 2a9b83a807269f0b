import { describe, expect, it } from 'vitest';
import { evaluatePreflight } from './evaluate.ts';
import { NOVA_MINIMUMS, type NovaRelease } from './minimums.ts';
import { type PreflightReadings, read } from './readings.ts';
import type { PreflightOutcome, PreflightRow, WrongWay } from './row.ts';
import {
  absent,
  goodFacts,
  goodReadings,
  unknown,
  withCpu,
  withFacts,
  withLeaf,
  withParameter,
} from './test-readings.ts';

function outcomes(readings: PreflightReadings): Map<string, PreflightOutcome> {
  return new Map(evaluatePreflight(readings).rows.map((row) => [row.id, row.outcome]));
}

/** Rows whose outcome is not that of the good host, without those that a failed parent skipped. */
function changed(readings: PreflightReadings): Record<string, PreflightOutcome> {
  const good = outcomes(goodReadings);
  return Object.fromEntries(
    [...outcomes(readings)].filter(([id, outcome]) => outcome !== good.get(id) && outcome !== 'skip'),
  );
}

function row(readings: PreflightReadings, id: string): PreflightRow {
  const found = evaluatePreflight(readings).rows.find((one) => one.id === id);
  if (found === undefined) throw new Error(`no row ${id}`);
  return found;
}

const noSev = { domainCapabilities: undefined, nodeSevInfo: undefined } as const;
const closedDevice = read({ mode: 0o600, owner: 'root', group: 'root' });
const conditionsFail = { 'sev.conditions': 'fail' } as const;
const countsDiffer = { 'kernel.misc-capacity': 'warn', 'libvirt.guests': 'warn' } as const;
const seenByValidate = { 'libvirt.host-validate': 'warn' } as const;
const withoutSev = { ...conditionsFail, 'libvirt.sev': 'fail', 'firmware.state': 'unknown' } as const;

describe('a host on which everything is right', () => {
  it('is usable, with no row that fails, warns or is unknown', () => {
    const report = evaluatePreflight(goodReadings);
    expect(report.rows.filter(({ outcome }) => outcome !== 'pass' && outcome !== 'n/a')).toEqual([]);
    expect(report).toMatchObject({ verdict: 'usable', diagnoses: [], counts: { fail: 0, warn: 0, unknown: 0 } });
  });

  it('has every row once, after its parent, with a title and a source', () => {
    const { rows } = evaluatePreflight(goodReadings);
    const seen = new Set<string>();
    for (const { id, parent, title, source } of rows) {
      expect(seen.has(id)).toBe(false);
      if (parent !== undefined) expect(seen.has(parent)).toBe(true);
      expect(title.length * source.length).toBeGreaterThan(0);
      seen.add(id);
    }
  });
});

describe('one thing wrong changes its own row and those that follow from it', () => {
  it.each<[string, PreflightReadings, Record<string, PreflightOutcome>]>([
    ['inside a virtual machine', withCpu({ flags: ['svm', 'sev', 'hypervisor'] }), { 'machine.bare-metal': 'fail' }],
    ['an Intel processor', withCpu({ vendor: 'GenuineIntel' }), { 'cpu.vendor': 'fail' }],
    ['a Hygon processor', withCpu({ vendor: 'HygonGenuine' }), { 'cpu.vendor': 'warn' }],
    ['a client processor', withCpu({ brand: 'AMD Ryzen 9' }), { 'cpu.generation': 'warn' }],
    ['an EPYC that we do not know', withCpu({ family: 0x1b }), { 'cpu.generation': 'unknown' }],
    ['vulnerable Milan microcode', withCpu({ microcode: 0x0a0011d9 }), { 'cpu.microcode': 'warn' }],
    ['fixed Milan microcode', withCpu({ microcode: 0x0a0011db }), {}],
    ['a processor without SEV', withLeaf({ sev: false }), { 'cpu.sev': 'fail' }],
    ['a processor without the leaf', { ...goodReadings, encryptionLeaf: absent }, { 'cpu.sev': 'fail' }],
    ['all keys given to SEV-ES', withLeaf({ minSevAsid: 16 }), { 'cpu.asids': 'fail', ...countsDiffer }],
    ['no keys given to SEV-ES', withLeaf({ minSevAsid: 1 }), { 'cpu.sev-es-asids': 'warn', ...countsDiffer }],
    [
      'a processor without SEV-ES',
      withLeaf({ sevEs: false }),
      { 'cpu.sev-es': 'n/a', 'cpu.sev-es-asids': 'n/a', 'kernel.sev-es-parameter': 'n/a' },
    ],
    ['another C-bit in CPUID', withLeaf({ cbitpos: 51 }), { 'libvirt.c-bit': 'warn' }],
    [
      'memory encryption off in the BIOS',
      withCpu({ flags: ['svm'] }),
      { 'bios.memory-encryption': 'fail', ...seenByValidate },
    ],
    ['TSME', { ...goodReadings, tsme: read('1') }, {}],
    ['no IOMMU', { ...goodReadings, iommuGroups: read(0) }, { 'bios.iommu': 'warn' }],
    ['a kernel before 4.16', { ...goodReadings, kernelVersion: read('4.15.18') }, { 'kernel.version': 'fail' }],
    ['kernel 4.16', { ...goodReadings, kernelVersion: read('4.16.0') }, {}],
    ['mem_encrypt=off', { ...goodReadings, commandLine: read('mem_encrypt=off') }, { 'kernel.command-line': 'warn' }],
    [
      'a blacklisted ccp',
      { ...goodReadings, modprobe: read([{ file: 'a.conf', line: 'blacklist ccp' }]) },
      { 'kernel.modprobe': 'warn' },
    ],
    ['kvm_amd not loaded', { ...goodReadings, kvmAmdLoaded: read(false) }, { 'kernel.kvm-amd': 'fail' }],
    ['the parameter 1 of older kernels', withParameter(read('1')), {}],
    [
      'the parameter N',
      withParameter(read('N')),
      { 'kernel.sev-parameter': 'fail', ...conditionsFail, ...seenByValidate },
    ],
    [
      'the parameter 0',
      withParameter(read('0')),
      { 'kernel.sev-parameter': 'fail', ...conditionsFail, ...seenByValidate },
    ],
    ['no parameter', withParameter(absent), { 'kernel.sev-parameter': 'fail', ...conditionsFail, ...seenByValidate }],
    [
      'SEV-ES off in the kernel',
      { ...goodReadings, kvmAmd: { ...goodReadings.kvmAmd, sevEs: read('N') } },
      { 'kernel.sev-es-parameter': 'warn' },
    ],
    ['a misc cgroup that counts differently', { ...goodReadings, miscCapacity: read({ sev: 15 }) }, countsDiffer],
    ['every key in use', { ...goodReadings, miscCurrent: read({ sev: 11 }) }, { 'kernel.misc-use': 'warn' }],
    ['no /dev/sev', { ...goodReadings, devSev: absent }, { 'firmware.device': 'fail', ...seenByValidate }],
    [
      'firmware with CVE-2019-9836',
      { ...goodReadings, kernelLog: read(['ccp: SEV API:0.17 build:11']) },
      { 'firmware.version': 'warn' },
    ],
    ['a kernel log that wrapped around', { ...goodReadings, kernelLog: read([]) }, { 'firmware.version': 'unknown' }],
    ['a closed /dev/sev that libvirt gets around', { ...goodReadings, devSevStat: closedDevice }, {}],
    ['no SEV from libvirt', withFacts(noSev), withoutSev],
    [
      'an AppArmor profile without the device',
      { ...goodReadings, securityModels: read(['apparmor']), appArmorQemu: read('/dev/kvm rw,') },
      { 'firmware.device-label': 'warn' },
    ],
    ['an old libvirt', withVersions({ libvirt: '4.4.0' }), { 'libvirt.version': 'warn' }],
    ['libvirt 5.1.0', withVersions({ libvirt: '5.1.0' }), { 'libvirt.version': 'warn' }],
    ['an old QEMU', withVersions({ qemu: '2.11.0' }), { 'qemu.version': 'warn' }],
    ['an old OVMF', { ...goodReadings, packages: read({ ovmf: '0~20180205.c0d9813c' }) }, { 'ovmf.version': 'warn' }],
    ['no OVMF package', { ...goodReadings, packages: read({}) }, { 'ovmf.version': 'unknown' }],
    ['no descriptor for SEV', { ...goodReadings, descriptors: read([]) }, { 'ovmf.descriptors': 'warn' }],
    ['a libvirt without counts', withoutCounts(), { 'libvirt.guests': 'n/a' }],
    [
      'no certificates',
      withFacts({ nodeSevInfo: { cbitpos: 47 } }),
      { 'firmware.state': 'unknown', 'libvirt.nodesevinfo': 'warn' },
    ],
    [
      'no limit for all guests together',
      { ...goodReadings, machineSlice: { high: read('max'), max: read('max') } },
      { 'host.machine-slice': 'warn' },
    ],
    ['a limited session daemon', { ...goodReadings, isSession: true }, { 'host.memlock': 'warn' }],
    ['KSM on', { ...goodReadings, ksm: read('1') }, {}],
  ])('%s', (_, readings, expected) => {
    expect(changed(readings)).toEqual(expected);
  });
});

describe('an unreadable fact is unknown, never "no"', () => {
  const fields = [
    'cpu',
    'encryptionLeaf',
    'kernelVersion',
    'commandLine',
    'modprobe',
    'kvmAmdLoaded',
    'devSev',
    'devSevStat',
  ];
  const more = [
    'selinuxEnforcing',
    'securityModels',
    'appArmorQemu',
    'kernelLog',
    'tsme',
    'iommuGroups',
    'miscCapacity',
  ];
  const last = ['miscCurrent', 'memoryLock', 'ksm', 'packages', 'descriptors', 'libvirt'];

  it.each([...fields, ...more, ...last])('%s', (field) => {
    const readings = { ...goodReadings, [field]: unknown };
    const wrong = Object.entries(changed(readings)).filter(([, outcome]) => outcome !== 'unknown');
    expect(wrong).toEqual([]);
    expect(evaluatePreflight(readings).verdict).toBe(field === 'libvirt' ? 'unknown' : 'usable');
  });

  it('the kernel parameter: then nobody can say whether the host is usable', () => {
    const report = evaluatePreflight(withParameter(unknown));
    expect(report).toMatchObject({ verdict: 'unknown', diagnoses: [], conditions: { kernelParameter: 'unknown' } });
  });

  it('all of it', () => {
    const { libvirt: _, ...rest } = goodReadings;
    const nothing = Object.fromEntries(Object.keys(rest).map((field) => [field, unknown]));
    const report = evaluatePreflight({
      ...goodReadings,
      ...nothing,
      where: 'none',
      isSession: false,
      kvmAmd: { sev: unknown, sevEs: unknown, sevSnp: unknown },
      machineSlice: { high: unknown, max: unknown },
    });
    expect(report.counts).toMatchObject({ fail: 0, skip: 0 });
    expect(report.verdict).toBe('unknown');
  });
});

describe('the two conditions', () => {
  it.each([
    ['yes', 'yes', 'yes', 'usable'],
    ['yes', 'no', 'no', 'unusable'],
    ['no', 'yes', 'no', 'unusable'],
    ['no', 'no', 'no', 'unusable'],
  ])('domain capabilities %s and kernel parameter %s: SEV %s', (domainCapabilities, kernelParameter, sev, verdict) => {
    const facts = domainCapabilities === 'yes' ? {} : noSev;
    const readings = {
      ...withFacts(facts),
      kvmAmd: { ...goodReadings.kvmAmd, sev: read(kernelParameter === 'yes' ? 'Y' : 'N') },
    };
    const report = evaluatePreflight(readings);
    expect(report.conditions).toEqual({ domainCapabilities, kernelParameter, sev });
    expect(report.verdict).toBe(verdict);
    expect(row(readings, 'sev.conditions').outcome).toBe(sev === 'yes' ? 'pass' : 'fail');
  });

  it.each(['1', 'Y', 'y', 'yes', 'on', 'true', ' 1 '])('takes %j of the kernel parameter for on', (text) => {
    expect(evaluatePreflight(withParameter(read(text))).conditions.kernelParameter).toBe('yes');
  });

  it.each(['0', 'N', 'n', '', 'auto', '2', 'yesterday'])('takes %j of the kernel parameter for off', (text) => {
    expect(evaluatePreflight(withParameter(read(text))).conditions.kernelParameter).toBe('no');
  });
});

describe('the ways to be wrong are named, the root first', () => {
  const off = withParameter(read('N'));
  const initFailed = read(['ccp 0000:22:00.1: SEV: failed to INIT error 0x13, rc -5']);
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
      'kernel parameter, off by default',
      { ...off, commandLine: read('quiet') },
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
    ['firmware that does not start', { ...off, kernelLog: initFailed }, 'sev-firmware', /SMEE to Enabled/],
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
      'QEMU from before SEV',
      withFacts({ ...noSev, versions: { ...goodFacts.versions, qemu: '2.11.1' } }),
      'software-too-old',
      /QEMU to 2\.12\.0/,
    ],
    ['no KVM', withFacts({ ...noSev, virtType: 'qemu' }), 'qemu-without-sev', /kvm_amd/],
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

  it('names no failure of a firmware that started later', () => {
    const log = ['ccp: SEV: failed to INIT error 0x18, rc -5', 'ccp: SEV API:1.55 build:29'];
    const report = evaluatePreflight({ ...off, kernelLog: read(log) });
    expect(report.diagnoses.map(({ way }) => way)).toEqual(['kernel-parameter']);
  });
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

function withVersions(change: Record<string, string>): PreflightReadings {
  return withFacts({ versions: { ...goodFacts.versions, ...change } });
}

function withoutCounts(): PreflightReadings {
  const { pdh = '', certChain = '' } = goodFacts.nodeSevInfo ?? {};
  return withFacts({
    domainCapabilities: { cbitpos: 47, reducedPhysBits: 1 },
    nodeSevInfo: { pdh, certChain, cbitpos: 47 },
  });
}
