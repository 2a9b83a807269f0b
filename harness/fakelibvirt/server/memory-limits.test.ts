import { describe, expect, test } from 'vitest';
import { remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { SEV_POLICY } from './test-guests.ts';
import { useLab } from './test-lab.ts';

const lab = useLab('naples');
const RAM_KIB = 64 * 1024;
const CLOSED = /^1\/10 internal error: qemu unexpectedly closed the monitor/;

/** XML of a guest with 64 MiB whose limits are given, SEV or not. */
function limited(name: string, limits: string, { ramKiB = RAM_KIB, security = true } = {}): string {
  return `<domain type='kvm'><name>${name}</name><memory unit='KiB'>${ramKiB}</memory>${limits}<vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features><devices/>
    ${security ? `<launchSecurity type='sev'><policy>${SEV_POLICY}</policy></launchSecurity>` : ''}</domain>`;
}
const hardLimit = (kiB: number) => `<memtune><hard_limit unit='KiB'>${kiB}</hard_limit></memtune>`;
const LOCKED = '<memoryBacking><locked/></memoryBacking>';

const start = (name: string, xml: string) => ({
  name,
  dom: lab.client.call(remote.domainCreateXml, { xmlDesc: xml, flags: 0 }).then(({ dom }) => dom),
});
const refused = (xmlDesc: string) => lab.refusalOf(remote.domainCreateXml, { xmlDesc, flags: 0 });

describe('a SEV guest', () => {
  test('without locked memory and without a hard limit is refused: QEMU inherits the limit of libvirtd', async () => {
    expect(await refused(limited('bare', ''))).toMatch(
      /sev_ram_block_added: failed to register region \(0x[0-9a-f]+\+0x[0-9a-f]+\) error 'Cannot allocate memory'$/,
    );
    expect(await lab.fileText('/var/log/dmesg')).toMatch(/^SEV: \d+ locked pages exceed the lock limit of 16384\.$/m);
    expect(await lab.fileText('/sys/fs/cgroup/misc.current')).toBe('sev 0\n');
  });

  test('with locked memory starts without a limit, and all of its QEMU is locked', async () => {
    const dom = await start('locked', limited('locked', LOCKED)).dom;
    const pid = await lab.pidOf(dom);
    expect(await lab.fileText(`/proc/${pid}/limits`)).toMatch(/^Max locked memory {9}unlimited {12}unlimited /m);
    const status = await lab.fileText(`/proc/${pid}/status`);
    expect(Number(/^VmLck:\s+(\d+) kB$/m.exec(status)?.[1])).toBeGreaterThan(RAM_KIB);
    expect(status).toMatch(/^VmPin:\s+0 kB$/m);
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test('with a hard limit has that limit in /proc, in its cgroup and in libvirt, and its RAM in memory', async () => {
    const limit = RAM_KIB + 262_144;
    const dom = await start('limited', limited('limited', hardLimit(limit))).dom;
    const pid = await lab.pidOf(dom);
    expect(await lab.fileText(`/proc/${pid}/limits`)).toContain(`Max locked memory         ${limit * 1024}`);
    const cgroup = (await lab.fileText(`/proc/${pid}/cgroup`))
      .trim()
      .slice('0::'.length)
      .replace(/\/emulator$/, '');
    expect(cgroup).toMatch(/^\/machine\.slice\/machine-qemu\\x2d\d+\\x2dlimited\.scope\/libvirt$/);
    expect(await lab.fileText(`/sys/fs/cgroup${cgroup}/memory.max`)).toBe(`${limit * 1024}\n`);
    const { params } = await lab.client.call(remote.domainGetMemoryParameters, { dom, nparams: 3, flags: 0 });
    expect(params).toContainEqual({ field: 'hard_limit', type: 'ullong', value: BigInt(limit) });
    const residentKiB = Number(/^VmRSS:\s+(\d+) kB$/m.exec(await lab.fileText(`/proc/${pid}/status`))?.[1]);
    expect(residentKiB).toBeGreaterThan(RAM_KIB);
    expect(residentKiB).toBeLessThan(limit);
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test.each([
    ['half of its RAM', RAM_KIB / 2],
    ['its RAM and nothing for what is pinned besides', RAM_KIB],
  ])('with a hard limit of %s is refused by the kernel', async (_, limit) => {
    expect(await refused(limited('small', hardLimit(limit)))).toMatch(
      /failed to register region .*'Cannot allocate memory'$/,
    );
  });

  test('with a hard limit that only QEMU itself exceeds is killed in its cgroup, and the kernel says so', async () => {
    expect(await refused(limited('tight', hardLimit(RAM_KIB + 16_384)))).toMatch(CLOSED);
    expect(await lab.fileText('/var/log/dmesg')).toMatch(
      /^Memory cgroup out of memory: Killed process \d+ \(qemu-system-x86\) total-vm:\d+kB, /m,
    );
    expect(await lab.fileText('/sys/fs/cgroup/misc.current')).toBe('sev 0\n');
  });

  test('locked under a hard limit below its RAM cannot even map it', async () => {
    expect(await refused(limited('both', hardLimit(RAM_KIB / 2) + LOCKED))).toMatch(
      /cannot set up guest memory 'pc\.ram': Resource temporarily unavailable$/,
    );
  });
});

describe('a guest', () => {
  test.each([true, false])('larger than the host is refused, and those that run go on (SEV: %s)', async (security) => {
    const dom = await start('other', limited('other', LOCKED)).dom;
    const huge = limited('huge', LOCKED, { ramKiB: 300_000_000, security });
    expect(await refused(huge)).toMatch(/cannot set up guest memory 'pc\.ram': Cannot allocate memory$/);
    expect(await lab.stateOf(dom)).toBe('1/1');
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test('without encryption starts whatever it may lock', async () => {
    const dom = await start('plain', limited('plain', '', { security: false })).dom;
    expect(await lab.fileText(`/proc/${await lab.pidOf(dom)}/limits`)).toContain('Max locked memory         67108864');
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test.each([
    ['what it has touched', '', false],
    ['all with an immediate allocation', "<memoryBacking><allocation mode='immediate'/></memoryBacking>", true],
  ])('without encryption has of its RAM in memory %s', async (_, backing, isWhole) => {
    const dom = await start('held', limited('held', backing, { security: false })).dom;
    const status = await lab.fileText(`/proc/${await lab.pidOf(dom)}/status`);
    expect(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) > RAM_KIB).toBe(isWhole);
    const log = await lab.fileText('/var/log/libvirt/qemu/held.log');
    expect(log.includes('"id":"pc.ram","prealloc":true,"size":')).toBe(isWhole);
    await lab.client.call(remote.domainDestroy, { dom });
  });

  test('has its hard limit in KiB in its XML, whatever unit it was given in', async () => {
    const { dom } = await lab.client.call(remote.domainDefineXml, {
      xml: limited('units', "<memtune><hard_limit unit='MiB'>512</hard_limit></memtune>"),
    });
    const { xml } = await lab.client.call(remote.domainGetXmlDesc, { dom, flags: 0 });
    expect(xml).toMatch(/<memtune>\n\s+<hard_limit unit='KiB'>524288<\/hard_limit>\n\s+<\/memtune>/);
  });
});

describe('the log of a QEMU', () => {
  const log = (name: string) => lab.fileText(`/var/log/libvirt/qemu/${name}.log`);

  test('begins with versions and what was asked of memory and encryption, and ends with the reason', async () => {
    const dom = await start('logged', limited('logged', LOCKED)).dom;
    await lab.client.call(remote.domainDestroy, { dom });
    const lines = (await log('logged')).trimEnd().split('\n');
    expect(lines[0]).toMatch(
      /^\d{4}-\d\d-\d\d [\d:.]+\+0000: starting up libvirt version: 9\.0\.0, qemu version: 7\.2\.22, kernel: \S+, hostname: emulated-naples$/,
    );
    expect(lines).toContain('-overcommit mem-lock=on \\');
    expect(lines).toContain(
      `-object '{"qom-type":"sev-guest","id":"lsec0","cbitpos":47,"reduced-phys-bits":1,"policy":3}' \\`,
    );
    expect(lines.at(-1)).toMatch(/^[\d:.+ -]+: shutting down, reason=destroyed$/);
  });

  test('of a start that failed has QEMU’s words between the two', async () => {
    await refused(limited('failed', hardLimit(RAM_KIB)));
    expect(await log('failed')).toMatch(
      /^-msg timestamp=on\n\S+Z qemu-system-x86_64: sev_ram_block_added: .*\n[\d:.+ -]+: shutting down, reason=failed\n$/m,
    );
  });
});
