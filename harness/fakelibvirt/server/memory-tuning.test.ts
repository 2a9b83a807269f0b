import { describe, expect, test } from 'vitest';
import { type NonnullDomain, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import type { TypedParam } from '../../libvirt/protocol/typed-params.ts';
import { SEV_POLICY } from './test-guests.ts';
import { useLab } from './test-lab.ts';

// Refusals, and what is told and printed afterwards, were recorded from libvirt 9.0.0 (a system daemon with cgroups).
const lab = useLab('naples');
const LIVE = 1;
const CONFIG = 2;
const UNLIMITED = 9007199254740991n;
const INACTIVE_XML = 2;

const kiB = (field: string, value: bigint | number): TypedParam => ({ field, type: 'ullong', value: BigInt(value) });
const given = (limits: Readonly<Record<string, bigint | number>>) =>
  Object.entries(limits).map(([field, value]) => kiB(field, value));
const set = (dom: NonnullDomain, limits: Readonly<Record<string, bigint | number>>, flags = 0) =>
  lab.client.call(remote.domainSetMemoryParameters, { dom, params: given(limits), flags });
const refused = (dom: NonnullDomain, params: readonly TypedParam[], flags = 0) =>
  lab.refusalOf(remote.domainSetMemoryParameters, { dom, params, flags });

async function told(dom: NonnullDomain, flags = 0): Promise<bigint[]> {
  const { params } = await lab.client.call(remote.domainGetMemoryParameters, { dom, nparams: 3, flags });
  expect(params.map(({ field }) => field)).toEqual(['hard_limit', 'soft_limit', 'swap_hard_limit']);
  return params.map(({ value }) => BigInt(value as bigint));
}

async function printed(dom: NonnullDomain, flags = 0): Promise<string[]> {
  const { xml } = await lab.client.call(remote.domainGetXmlDesc, { dom, flags });
  return [...xml.matchAll(/<(\w+_limit) unit='KiB'>(\d+)</g)].map(([, name, value]) => `${name} ${value}`);
}

async function memoryFile(dom: NonnullDomain, file: string): Promise<string> {
  const cgroup = (await lab.fileText(`/proc/${await lab.pidOf(dom)}/cgroup`)).trim().replace(/^0::|\/emulator$/g, '');
  return (await lab.fileText(`/sys/fs/cgroup${cgroup}/memory.${file}`)).trim();
}

describe('a guest that is off', () => {
  test('keeps its limits for the next start, in libvirt’s order, until they are taken away', async () => {
    const dom = await lab.defined();
    await set(dom, { soft_limit: 200_000, hard_limit: 400_000 });
    expect(await told(dom, CONFIG)).toEqual([400_000n, 200_000n, UNLIMITED]);
    expect(await printed(dom)).toEqual(['hard_limit 400000', 'soft_limit 200000']);
    await set(dom, { hard_limit: UNLIMITED }, CONFIG);
    expect(await printed(dom)).toEqual(['soft_limit 200000']);
    await set(dom, { soft_limit: UNLIMITED });
    const { xml } = await lab.client.call(remote.domainGetXmlDesc, { dom, flags: 0 });
    expect(xml).not.toContain('memtune');
    expect(await told(dom)).toEqual([UNLIMITED, UNLIMITED, UNLIMITED]);
  });

  test('takes any hard limit up to the one with swap, 0 included', async () => {
    const dom = await lab.defined();
    const params = given({ hard_limit: 300_000, swap_hard_limit: 200_000 });
    const tooMuch =
      '8/20 invalid argument: memory hard_limit tunable value must be lower than or equal to swap_hard_limit';
    expect(await refused(dom, params)).toBe(tooMuch);
    await set(dom, { hard_limit: 300_000 });
    expect(await refused(dom, given({ swap_hard_limit: 299_999 }))).toBe(tooMuch);
    await set(dom, { swap_hard_limit: 300_000 });
    expect(await refused(dom, given({ hard_limit: 300_001 }))).toBe(tooMuch);
    await set(dom, { hard_limit: 0 });
    expect(await printed(dom)).toEqual(['hard_limit 0', 'swap_hard_limit 300000']);
  });

  test.each<[string, TypedParam[], number, string]>([
    ['nothing', [], 0, '8/20 params in virDomainSetMemoryParameters must not be NULL'],
    ['unknown flags', [kiB('zzz', 1)], 64, '8/10 unsupported flags (0x40) in function qemuDomainSetMemoryParameters'],
    [
      'a flag for strings',
      [kiB('hard_limit', 1)],
      4,
      '8/10 unsupported flags (0x4) in function qemuDomainSetMemoryParameters',
    ],
    [
      'the guest that runs',
      [kiB('hard_limit', 1)],
      LIVE,
      '55/20 Requested operation is not valid: domain is not running',
    ],
    [
      'both guests',
      [kiB('hard_limit', 1)],
      LIVE | CONFIG,
      '55/20 Requested operation is not valid: domain is not running',
    ],
    [
      'an unknown limit',
      [kiB('hard_limit', 1), kiB('zzz', 1)],
      0,
      "74/0 argument unsupported: parameter 'zzz' not supported",
    ],
    [
      'min_guarantee',
      [kiB('min_guarantee', 1)],
      0,
      "74/0 argument unsupported: parameter 'min_guarantee' not supported",
    ],
    [
      'a number of another type',
      [{ field: 'hard_limit', type: 'int', value: 5 }],
      0,
      "8/0 invalid argument: invalid type 'int' for parameter 'hard_limit', expected 'ullong'",
    ],
    [
      'one limit twice',
      [kiB('hard_limit', 1), kiB('hard_limit', 2)],
      0,
      "8/0 invalid argument: parameter 'hard_limit' occurs multiple times",
    ],
    [
      'several mistakes, of which the first by name counts',
      [kiB('zzz', 1), { field: 'hard_limit', type: 'int', value: 5 }, kiB('aaa', 3)],
      0,
      "74/0 argument unsupported: parameter 'aaa' not supported",
    ],
  ])('refuses %s', async (_, params, flags, expected) => {
    const dom = await lab.defined();
    expect(await refused(dom, params, flags)).toBe(expected);
    expect(await told(dom)).toEqual([UNLIMITED, UNLIMITED, UNLIMITED]);
  });
});

describe('a guest that runs', () => {
  test('has its new limits at once in its cgroup, and the next start has the old ones', async () => {
    const dom = await lab.running();
    await set(dom, { hard_limit: 900_000, soft_limit: 800_000 });
    expect(await told(dom)).toEqual([900_000n, 800_000n, UNLIMITED]);
    expect(await told(dom, CONFIG)).toEqual([UNLIMITED, UNLIMITED, UNLIMITED]);
    expect(await printed(dom)).toEqual(['hard_limit 900000', 'soft_limit 800000']);
    expect(await printed(dom, INACTIVE_XML)).toEqual([]);
    expect(await memoryFile(dom, 'max')).toBe(String(900_000 * 1024));
    expect(await memoryFile(dom, 'high')).toBe(String(800_000 * 1024));
    // RLIMIT_MEMLOCK is what it was when QEMU started.
    expect(await lab.fileText(`/proc/${await lab.pidOf(dom)}/limits`)).toContain('Max locked memory         67108864');
    await set(dom, { hard_limit: UNLIMITED, soft_limit: UNLIMITED }, LIVE);
    expect([await memoryFile(dom, 'max'), await memoryFile(dom, 'high')]).toEqual(['max', 'max']);
  });

  test('has them in both places when both are asked for', async () => {
    const dom = await lab.running();
    await set(dom, { hard_limit: 900_000 }, LIVE | CONFIG);
    expect([await told(dom, LIVE), await told(dom, CONFIG)].map(([hard]) => hard)).toEqual([900_000n, 900_000n]);
    const both = { dom, nparams: 3, flags: LIVE | CONFIG };
    expect(await lab.refusalOf(remote.domainGetMemoryParameters, both)).toBe(
      "8/20 Flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are mutually exclusive",
    );
  });

  test('is what a limit for the next start is compared with', async () => {
    const dom = await lab.running();
    await set(dom, { hard_limit: 900_000, swap_hard_limit: 950_000 });
    expect(await refused(dom, given({ hard_limit: 960_000 }), CONFIG)).toContain(
      'lower than or equal to swap_hard_limit',
    );
    expect(await told(dom, CONFIG)).toEqual([UNLIMITED, UNLIMITED, UNLIMITED]);
  });

  // Not recorded: the machine of the recordings has the older cgroups, which refuse such a limit with EBUSY.
  test('is killed by a limit below what it uses, and the kernel says so', async () => {
    const dom = await lab.running({ policy: SEV_POLICY });
    const pid = await lab.pidOf(dom);
    await set(dom, { hard_limit: 1000 });
    expect(await lab.stateOf(dom)).toBe('5/3');
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 5/5 ${dom.id}`]);
    expect(await lab.fileText('/var/log/dmesg')).toContain(`Memory cgroup out of memory: Killed process ${pid} `);
  });

  test('that is transient has no next start whose limits could be set', async () => {
    const dom = await lab.running();
    await lab.client.call(remote.domainUndefineFlags, { dom, flags: 0 });
    expect(await refused(dom, given({ hard_limit: 1 }), CONFIG)).toBe(
      '55/20 Requested operation is not valid: transient domains do not have any persistent config',
    );
    await lab.client.call(remote.domainDestroy, { dom });
  });
});

describe('a definition with limits', () => {
  const define = (limits: string) => ({
    xml: `<domain type='kvm'><name>limits</name><memory unit='MiB'>128</memory><memtune>${limits}</memtune><vcpu>1</vcpu>
      <os><type arch='x86_64' machine='q35'>hvm</type></os></domain>`,
  });

  test.each<[string, string, string[]]>([
    [
      'in another order is printed in libvirt’s',
      '<swap_hard_limit>400000</swap_hard_limit><soft_limit>100000</soft_limit><hard_limit>300000</hard_limit>',
      ['hard_limit 300000', 'soft_limit 100000', 'swap_hard_limit 400000'],
    ],
    [
      'one of which is none loses that one',
      "<soft_limit unit='KiB'>9007199254740991</soft_limit><hard_limit>300000</hard_limit>",
      ['hard_limit 300000'],
    ],
    ['that are none has none', "<soft_limit unit='KiB'>9007199254740991</soft_limit>", []],
    [
      'that contradict each other is taken',
      '<swap_hard_limit>2</swap_hard_limit><hard_limit>3</hard_limit>',
      ['hard_limit 3', 'swap_hard_limit 2'],
    ],
    ['one of them twice has the first', '<hard_limit>5</hard_limit><hard_limit>6</hard_limit>', ['hard_limit 5']],
  ])('%s', async (_, limits, expected) => {
    const { dom } = await lab.client.call(remote.domainDefineXml, define(limits));
    expect(await printed(dom)).toEqual(expected);
    await lab.client.call(remote.domainUndefine, { dom });
  });

  test.each([
    [
      "<soft_limit unit='KiB'>9007199254740992</soft_limit>",
      '82/0 numerical overflow: value too large: 9007199254740992KiB',
    ],
    [
      '<soft_limit>-1</soft_limit>',
      "27/5 XML error: Invalid value '-1' for element or attribute './memtune/soft_limit[1]'",
    ],
    [
      '<min_guarantee>5</min_guarantee>',
      "67/10 unsupported configuration: Parameter 'min_guarantee' not supported by QEMU.",
    ],
  ])('%s is refused', async (limits, expected) => {
    expect(await lab.refusalOf(remote.domainDefineXml, define(limits))).toBe(expected);
  });
});
