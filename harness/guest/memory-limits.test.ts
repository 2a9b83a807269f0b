import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { howLimitEnds, impossibleMemoryMiB, readOomRecord, readQemuMemory } from './memory-limits.ts';
import { currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';

const RAM_MIB = 256;
let host: Host;
let launcher: GuestLauncher;
beforeEach(async () => {
  host = await openHost(parseHostName('fake:naples'));
  launcher = new GuestLauncher({
    host,
    facts: await readSevFacts(host),
    settings: { owner: currentOwner('r') },
    signal: new AbortController().signal,
    cleanup: new CleanupStack(),
    nowMs: () => 0,
    note: () => {},
  });
});
afterEach(() => host.close());

async function endWith(hardLimitMiB: number) {
  const before = await readOomRecord(host);
  const launch = await launcher.launch('sev', 'small', { memoryMiB: RAM_MIB, memoryLimit: { hardLimitMiB } });
  return howLimitEnds(host, launch, before);
}

describe('a hard limit', () => {
  it('tells a refusal of the kernel from the end in the cgroup, and both from a guest that runs', async () => {
    expect(await endWith(RAM_MIB)).toMatchObject({
      end: 'refused',
      words: expect.stringContaining('Cannot allocate memory'),
    });
    expect(await endWith(RAM_MIB + 16)).toMatchObject({
      end: 'killed',
      words: expect.stringContaining('Killed process'),
    });
    expect(await endWith(RAM_MIB + 256)).toMatchObject({ end: 'runs' });
  });

  it('is read from the process and from its cgroup', async () => {
    const guest = await launcher.launchOrFail('sev', 'one', { memoryMiB: RAM_MIB, memoryLimit: { hardLimitMiB: 512 } });
    expect(await readQemuMemory(host, guest)).toMatchObject({
      lockedKiB: 0,
      lockLimitKiB: 524_288,
      cgroupLimitKiB: 524_288,
      cgroup: expect.stringMatching(/^\/machine\.slice\//),
    });
  });
});

describe('where users may not read the kernel log', () => {
  const denied = {
    outcome: 'unreadable',
    because: 'dmesg: read kernel buffer failed: Operation not permitted',
  } as const;
  let kills: string[];
  beforeEach(() => {
    const { readFile } = host.shell;
    vi.spyOn(host.shell, 'readFile').mockImplementation(async (file) => {
      if (file === '/var/log/dmesg') return denied;
      const count = file === '/sys/fs/cgroup/machine.slice/memory.events' ? kills.shift() : undefined;
      if (count === undefined) return readFile(file);
      return { outcome: 'read', bytes: Buffer.from(`low 0\nhigh 0\nmax 12\noom 2\noom_kill ${count}\n`) };
    });
  });

  it('the count of the slice of all guests tells of a kill', async () => {
    kills = ['1', '2'];
    expect(await endWith(RAM_MIB + 16)).toMatchObject({ end: 'killed', words: expect.stringMatching(/from 1 to 2$/) });
  });

  it('an end without a reason cannot be told from a kill', async () => {
    for (const counted of [[], ['1', '1']]) {
      kills = counted;
      expect(await endWith(RAM_MIB + 16)).toMatchObject({
        end: 'cannot be told',
        words: expect.stringMatching(/cannot be read \(dmesg: .*Operation not permitted\): run as root/),
      });
    }
  });
});

it('memory of a locked guest has no limit, and a guest that is gone has no memory', async () => {
  const guest = await launcher.launchOrFail('sev', 'locked', { memoryMiB: RAM_MIB });
  expect(await readQemuMemory(host, guest)).toMatchObject({
    lockLimitKiB: Number.POSITIVE_INFINITY,
    cgroupLimitKiB: Number.POSITIVE_INFINITY,
  });
  await guest.stop();
  expect(await readQemuMemory(host, guest)).toEqual({ outOfReach: expect.stringContaining(guest.name) });
});

it('memory that the kernel refuses at once is more than the host has', async () => {
  const { memoryKiB } = await host.connection.nodeInfo();
  expect(await impossibleMemoryMiB(host)).toBeGreaterThan(Number(memoryKiB) / 1024);
});
