import { describe, expect, it } from 'vitest';
import { evaluatePreflight } from './evaluate.ts';
import { type PreflightReadings, read } from './readings.ts';
import type { PreflightOutcome, PreflightRow } from './row.ts';
import {
  absent,
  closedDevice,
  goodReadings,
  noSev,
  rowOf,
  unknown,
  withCpu,
  withFacts,
  withLeaf,
  withoutCounts,
  withParameter,
  withStatus,
  withVersions,
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

/** "a reason and a fix hint on each failure"; a warning asks for something too. */
function expectReasons({ id, outcome, found, because, hint, way }: PreflightRow): void {
  if (outcome === 'fail')
    expect({ id, found, because, hint }).toEqual({ id, found: words, because: words, hint: words });
  if (outcome === 'fail' && id !== 'sev.conditions') expect({ id, way }).toEqual({ id, way: words });
  if (outcome === 'warn' && !HAS_NO_CURE.includes(id))
    expect({ id, because, hint }).toEqual({ id, because: words, hint: words });
  if (outcome === 'unknown' || outcome === 'n/a' || outcome === 'skip')
    expect({ id, because }).toEqual({ id, because: words });
}

const words = expect.stringMatching(/\S/);
/** Another processor, or another program's opinion. */
const HAS_NO_CURE = ['cpu.vendor', 'cpu.generation', 'libvirt.host-validate'];

const conditionsFail = { 'sev.conditions': 'fail' } as const;
const countsDiffer = { 'kernel.misc-capacity': 'warn', 'libvirt.guests': 'warn' } as const;
const seenByValidate = { 'libvirt.host-validate': 'warn' } as const;
const withoutSev = { ...conditionsFail, 'libvirt.sev': 'fail' } as const;

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

describe('the ids of the rows', () => {
  it('are stable: other programs read them', () => {
    expect(evaluatePreflight(goodReadings).rows.map(({ id }) => id)).toMatchInlineSnapshot(`
      [
        "machine.bare-metal",
        "cpu.vendor",
        "cpu.generation",
        "cpu.microcode",
        "cpu.sev",
        "cpu.c-bit",
        "cpu.asids",
        "cpu.sev-es",
        "cpu.sev-es-asids",
        "cpu.sev-snp",
        "cpu.vmpl",
        "bios.memory-encryption",
        "kernel.kvm-amd",
        "kernel.sev-parameter",
        "kernel.sev-es-parameter",
        "kernel.sev-snp-parameter",
        "kernel.misc-capacity",
        "kernel.misc-use",
        "firmware.device",
        "firmware.version",
        "firmware.state",
        "firmware.device-access",
        "firmware.device-label",
        "libvirt.sev",
        "libvirt.c-bit",
        "libvirt.guests",
        "libvirt.nodesevinfo",
        "libvirt.launch-security",
        "bios.tsme",
        "bios.iommu",
        "kernel.version",
        "kernel.command-line",
        "kernel.modprobe",
        "libvirt.version",
        "qemu.version",
        "ovmf.version",
        "ovmf.descriptors",
        "libvirt.host-validate",
        "host.memlock",
        "host.machine-slice",
        "host.ksm",
        "sev.conditions",
        "nova.libvirt",
        "nova.qemu",
        "nova.kernel-parameter",
        "nova.guest-counts",
        "nova.firmware",
        "nova.sev-es",
        "nova.sev-snp",
      ]
    `);
  });
});

describe('one thing wrong changes its own row and those that follow from it', () => {
  it.each<[string, PreflightReadings, Record<string, PreflightOutcome>]>([
    ['inside a virtual machine', withCpu({ flags: ['svm', 'sev', 'hypervisor'] }), { 'machine.bare-metal': 'fail' }],
    ['an Intel processor', withCpu({ vendor: 'GenuineIntel' }), { 'cpu.vendor': 'fail' }],
    ['a Hygon processor', withCpu({ vendor: 'HygonGenuine' }), { 'cpu.vendor': 'warn' }],
    ['a client processor', withCpu({ brand: 'AMD Ryzen 9' }), { 'cpu.generation': 'warn' }],
    [
      'an EPYC for socket AM5',
      withCpu({ brand: 'AMD EPYC 4564P', family: 25, model: 0x61 }),
      { 'cpu.generation': 'warn' },
    ],
    ['an engineering sample', withCpu({ brand: 'AMD Eng Sample: 100-0', family: 26, model: 2 }), {}],
    ['an EPYC that we do not know', withCpu({ family: 0x1b }), { 'cpu.generation': 'unknown' }],
    ['vulnerable Milan microcode', withCpu({ microcode: 0x0a0011d9 }), { 'cpu.microcode': 'warn' }],
    ['fixed Milan microcode', withCpu({ microcode: 0x0a0011db }), {}],
    ['a processor without SEV', withLeaf({ sev: false }), { 'cpu.sev': 'fail' }],
    ['a processor without the leaf', { ...goodReadings, encryptionLeaf: absent }, { 'cpu.sev': 'fail' }],
    ['all keys given to SEV-ES', withLeaf({ minSevAsid: 16 }), { 'cpu.asids': 'warn', ...countsDiffer }],
    [
      'all keys given to SEV-ES, as everybody counts them then',
      {
        ...withLeaf({ minSevAsid: 16 }),
        miscCapacity: read({ sev_es: 15 }),
        libvirt: withFacts({
          domainCapabilities: { cbitpos: 47, reducedPhysBits: 1, maxGuests: 0, maxEsGuests: 15 },
          nodeSevInfo: { pdh: 'cGRo', certChain: 'Y2hhaW4=' },
        }).libvirt,
      },
      { 'cpu.asids': 'warn' },
    ],
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
    ['firmware with CVE-2019-9836', withStatus({ build: 11 }), { 'firmware.version': 'warn' }],
    [
      'the same, when only the kernel log tells',
      { ...goodReadings, platformStatus: unknown, kernelLog: read(['ccp: SEV API:0.17 build:11']) },
      { 'firmware.version': 'warn' },
    ],
    ['a kernel log that wrapped around', { ...goodReadings, kernelLog: read([]) }, {}],
    [
      'the same, when nobody may ask the firmware',
      { ...goodReadings, platformStatus: unknown, kernelLog: read([]) },
      { 'firmware.version': 'unknown' },
    ],
    ['a firmware that has guests', withStatus({ state: 'WORKING', guestCount: 3 }), {}],
    ['a firmware that waits for its first guest', withStatus({ state: 'UNINIT' }), { 'firmware.state': 'unknown' }],
    [
      'a firmware that did not start, while libvirt still has its key',
      { ...withStatus({ state: 'UNINIT' }), kernelLog: read(['ccp 0000:02:00.2: SEV: failed to INIT error 0x3']) },
      { 'firmware.state': 'fail' },
    ],
    ['a firmware that nobody may ask', { ...goodReadings, platformStatus: unknown }, {}],
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
    ['no certificates', withFacts({ nodeSevInfo: { cbitpos: 47 } }), { 'libvirt.nodesevinfo': 'warn' }],
    [
      'no certificates, and a firmware that nobody may ask',
      { ...withFacts({ nodeSevInfo: { cbitpos: 47 } }), platformStatus: unknown },
      { 'firmware.state': 'unknown', 'libvirt.nodesevinfo': 'warn' },
    ],
    [
      'no limit for all guests together',
      { ...goodReadings, machineSlice: { high: read('max'), max: read('max') } },
      { 'host.machine-slice': 'warn' },
    ],
    ['a limited session daemon', { ...goodReadings, isSession: true }, { 'host.memlock': 'warn' }],
    [
      'a daemon in a container that may not raise limits',
      { ...goodReadings, memoryLock: read({ daemon: 'libvirtd', soft: '8388608', mayRaise: false }) },
      { 'host.memlock': 'warn' },
    ],
    [
      'a session daemon that may raise limits',
      { ...goodReadings, isSession: true, memoryLock: read({ daemon: 'libvirtd', soft: '8388608', mayRaise: true }) },
      {},
    ],
    ['KSM on', { ...goodReadings, ksm: read('1') }, {}],
    [
      'a modprobe file that nobody may read',
      { ...goodReadings, unreadFiles: { modprobe: ['/etc/modprobe.d/sev.conf: denied'], descriptors: [] } },
      { 'kernel.modprobe': 'unknown' },
    ],
    [
      'a descriptor that nobody may read, beside one with SEV',
      { ...goodReadings, unreadFiles: { modprobe: [], descriptors: ['/etc/qemu/firmware/1.json: denied'] } },
      {},
    ],
    [
      'a descriptor that nobody may read, and none with SEV',
      {
        ...goodReadings,
        descriptors: read([]),
        unreadFiles: { modprobe: [], descriptors: ['/etc/qemu/firmware/1.json: denied'] },
      },
      { 'ovmf.descriptors': 'unknown' },
    ],
    [
      'a descriptor for SEV-SNP alone',
      { ...goodReadings, descriptors: read([{ file: '1.json', executable: undefined, features: ['amd-sev-snp'] }]) },
      { 'ovmf.descriptors': 'warn' },
    ],
    [
      'a limit for all guests that nobody may read',
      { ...goodReadings, machineSlice: { high: unknown, max: read('max') } },
      { 'host.machine-slice': 'unknown' },
    ],
  ])('%s', (_, readings, expected) => {
    expect(changed(readings)).toEqual(expected);
    for (const one of evaluatePreflight(readings).rows) expectReasons(one);
  });
});

describe('an unreadable fact is unknown, never "no"', () => {
  const fields = Object.entries(goodReadings).flatMap(([name, value]) =>
    typeof value === 'object' && 'outcome' in value ? [name] : [],
  );

  it.each(fields)('%s', (field) => {
    const readings = { ...goodReadings, [field]: unknown };
    const wrong = Object.entries(changed(readings)).filter(([, outcome]) => outcome !== 'unknown');
    expect(wrong).toEqual([]);
    expect(evaluatePreflight(readings).verdict).toBe(field === 'libvirt' ? 'unknown' : 'usable');
    for (const one of evaluatePreflight(readings).rows) expectReasons(one);
  });

  it.each(['sevEs', 'sevSnp'])('the parameter %s', (name) => {
    const readings = { ...goodReadings, kvmAmd: { ...goodReadings.kvmAmd, [name]: unknown } };
    const wrong = Object.values(changed(readings)).filter((outcome) => outcome !== 'unknown');
    expect([wrong, evaluatePreflight(readings).verdict]).toEqual([[], 'usable']);
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
      kvmAmd: { sev: unknown, sevEs: unknown, sevSnp: unknown, npt: unknown, nrips: unknown },
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
    expect(rowOf(readings, 'sev.conditions').outcome).toBe(sev === 'yes' ? 'pass' : 'fail');
    expectReasons(rowOf(readings, 'sev.conditions'));
  });

  it.each(['1', 'Y', 'y', 'yes', 'on', 'true', ' 1 '])('takes %j of the kernel parameter for on', (text) => {
    expect(evaluatePreflight(withParameter(read(text))).conditions.kernelParameter).toBe('yes');
  });

  it.each(['0', 'N', 'n', '', 'auto', '2', 'yesterday'])('takes %j of the kernel parameter for off', (text) => {
    expect(evaluatePreflight(withParameter(read(text))).conditions.kernelParameter).toBe('no');
  });
});

it.each([
  ['none', {}, 'libvirt offers no UEFI image'],
  ['only what our guests do not take', { '/ovmf/OVMF_CODE_4M.qcow2': 'qcow2' }, 'an explicit <loader> still works'],
])('a host without a descriptor for SEV is told what its images are good for: %s', (_, refusedLoaders, because) => {
  const readings = { ...withFacts({ loaders: [], refusedLoaders }), descriptors: read([]) };
  expect(rowOf(readings, 'ovmf.descriptors').because).toContain(because);
});
