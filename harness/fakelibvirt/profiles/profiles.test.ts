import { describe, expect, test } from 'vitest';
import { emulatorProcedures, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { startEmulatedHost } from '../index.ts';
import { TestClient } from '../server/test-client.ts';
import { isProfileName, type ProfileName, profiles } from './index.ts';

async function at<T>(profile: ProfileName, use: (client: TestClient) => Promise<T>): Promise<T> {
  await using host = await startEmulatedHost({ profile });
  await using client = await TestClient.open(host.socketPath);
  return await use(client);
}

const query = { emulatorbin: null, arch: null, machine: 'q35', virttype: 'kvm', flags: 0 };

async function reading(client: TestClient, path: string, offset = 0n, length = 4_000_000) {
  const { errno, content } = await client.call(emulatorProcedures.readFile, { path, offset, length });
  return errno === 0 ? Buffer.from(content) : errno;
}

describe('profiles', () => {
  test('know their names', () => {
    expect(Object.keys(profiles).filter((name) => !isProfileName(name))).toEqual([]);
    expect(isProfileName('toString')).toBe(false);
    for (const [name, profile] of Object.entries(profiles)) {
      expect(profile.name).toBe(name);
      expect(profile.sources).toMatchObject({ maxAsid: expect.any(String), versions: expect.any(String) });
    }
  });

  test.each<[ProfileName, number, number]>([
    ['naples', 15, 0],
    ['naples-es', 11, 4],
    ['rome', 509, 0],
    ['milan', 382, 127],
    ['genoa', 1006, 0],
    ['turin', 1006, 0],
  ])('%s: %i SEV guests and %i SEV-ES guests, the same from every source', async (name, sev, es) => {
    await at(name, async (client) => {
      const { capabilities } = await client.call(remote.connectGetDomainCapabilities, query);
      expect(capabilities).toContain(`<maxGuests>${sev}</maxGuests>\n      <maxESGuests>${es}</maxESGuests>`);
      const { params } = await client.call(remote.nodeGetSevInfo, { nparams: -7, flags: 0 });
      expect(params.find((param) => param.field === 'max-guests')?.value).toBe(sev);
      expect(params.find((param) => param.field === 'max-es-guests')?.value).toBe(es);
      const cpuid = await reading(client, '/dev/cpu/0/cpuid', 0x8000001fn, 16);
      if (typeof cpuid === 'number') throw new Error(`errno ${cpuid}`);
      const [, ebx = 0, ecx = 0, edx = 0] = [0, 4, 8, 12].map((offset) => cpuid.readUInt32LE(offset));
      expect([ecx - edx + 1, edx - 1]).toEqual([sev, es]);
      expect(capabilities).toContain(`<cbitpos>${ebx & 0x3f}</cbitpos>`);
      expect(String(await reading(client, '/sys/fs/cgroup/misc.capacity'))).toBe(
        `sev ${sev}\n${es > 0 ? `sev_es ${es}\n` : ''}`,
      );
    });
  });

  test.each<[ProfileName, { flag: boolean; parameter: string; device: number; log: RegExp }]>([
    [
      'naples',
      { flag: true, parameter: 'Y\n', device: 22, log: /SEV API:0\.17 build:48\nkvm_amd: SEV supported: 15 ASIDs/ },
    ],
    ['no-sev', { flag: false, parameter: 'N\n', device: 2, log: /^$/ }],
    ['sev-off-in-bios', { flag: false, parameter: 'N\n', device: 2, log: /memory encryption not enabled by BIOS/ }],
    ['sev-off-in-kernel', { flag: true, parameter: 'N\n', device: 22, log: /SEV API:0\.17/ }],
    ['stale-capabilities', { flag: true, parameter: 'Y\n', device: 22, log: /SEV supported: 15 ASIDs/ }],
  ])('%s: what the host shell shows', async (name, { flag, parameter, device, log }) => {
    await at(name, async (client) => {
      expect(/^flags.* sev /m.test(`${await reading(client, '/proc/cpuinfo')}`.replaceAll('\n', ' \n'))).toBe(flag);
      expect(String(await reading(client, '/sys/module/kvm_amd/parameters/sev'))).toBe(parameter);
      expect(await reading(client, '/dev/sev')).toBe(device);
      expect(String(await reading(client, '/var/log/dmesg'))).toMatch(log);
    });
  });

  test.each<[ProfileName, string]>([
    ['no-sev', "<sev supported='no'/>"],
    ['stale-capabilities', "<sev supported='no'/>"],
    ['genoa', "<launchSecurity supported='yes'>\n      <enum name='sectype'>\n        <value>sev</value>"],
  ])('%s: what libvirt says of its capabilities', async (name, expected) => {
    await at(name, async (client) => {
      const { capabilities } = await client.call(remote.connectGetDomainCapabilities, query);
      expect(capabilities).toContain(expected);
    });
  });

  test.each<ProfileName>(['no-sev', 'stale-capabilities'])('%s: what libvirt says of SEV', async (name) => {
    await at(name, async (client) => {
      expect(await client.refusal(remote.nodeGetSevInfo, { nparams: 0, flags: 0 })).toEqual({
        code: 84,
        domain: 10,
        message: 'Operation not supported: QEMU does not support SEV guest',
      });
    });
  });
});

describe('files of the host', () => {
  test('are read in pieces; what is not there is ENOENT; a cpuid record has sixteen bytes', async () => {
    await at('naples', async (client) => {
      expect(String(await reading(client, '/sys/fs/cgroup/misc.capacity', 4n, 2))).toBe('15');
      expect(String(await reading(client, '/sys/fs/cgroup/misc.capacity', 999n, 2))).toBe('');
      expect(await reading(client, '/etc/shadow')).toBe(2);
      expect(await reading(client, '/sys/module/kvm_amd/parameters/sev_snp')).toBe(2);
      expect(await reading(client, '/run/libvirt/qemu/nope.pid')).toBe(2);
      expect(await reading(client, '/dev/cpu/0/cpuid', 0n, 15)).toBe(22);
      const brand = Buffer.concat([(await reading(client, '/dev/cpu/0/cpuid', 0x80000002n, 48)) as Buffer]);
      expect(brand.toString().replace(/\0+$/, '')).toBe('AMD EPYC 7551 32-Core Processor');
      expect(await client.call(emulatorProcedures.kill, { pid: 99, signal: 9 })).toEqual({ errno: 3 });
    });
  });

  test('the program of our own is open before OPEN and says what is emulated', async () => {
    await using host = await startEmulatedHost({ profile: 'rome', faults: ['stop-event-lost'] });
    await using client = await TestClient.connect(host.socketPath);
    expect(await client.call(emulatorProcedures.identify, {})).toEqual({
      profile: 'rome',
      version: '1',
      faults: ['stop-event-lost'],
    });
  });
});
