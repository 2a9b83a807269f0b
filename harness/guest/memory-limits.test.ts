import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { howLimitEnds, impossibleMemoryMiB, kernelLogLines, readQemuMemory } from './memory-limits.ts';
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
  const since = new Set(await kernelLogLines(host));
  const launch = await launcher.launch('sev', 'small', { memoryMiB: RAM_MIB, memoryLimit: { hardLimitMiB } });
  return howLimitEnds(host, launch, since);
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
