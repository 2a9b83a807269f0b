import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts, type SevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { agentLaunch } from './boot.ts';
import { GuestConsole } from './console/follow.ts';
import { createRunId, currentOwner } from './ownership.ts';
import { GuestLauncher, type LaunchContext } from './running.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
const BOOT = { timeoutMs: 60_000 };
const CANARY = 'c0ffee00112233445566778899aabbcc';
const MEMORY_MIB = 192;

describe.skipIf(uri === undefined)('guests of ours on a real host', { timeout: 180_000 }, () => {
  let host: Host;
  let facts: SevFacts;
  let context: LaunchContext;
  const cleanup = new CleanupStack();
  const image = { kernel: process.env.SEV_HARNESS_KERNEL, folder: process.env.SEV_HARNESS_IMAGES };
  const settings = { owner: currentOwner(createRunId(Date.now(), 'b00700')), image };

  beforeAll(async () => {
    host = await openHost({ kind: 'libvirt', text: uri ?? '' });
    facts = await readSevFacts(host);
    context = { host, facts, settings, cleanup, signal: new AbortController().signal, nowMs: () => Date.now() };
  });
  afterEach(async () => {
    expect(await cleanup.run()).toEqual([]);
  });
  afterAll(() => host.close());

  async function boot(role: string, request: Parameters<typeof agentLaunch>[1]) {
    const launch = { ...(await agentLaunch({ host, settings }, request)), memoryMiB: MEMORY_MIB, isPaused: true };
    const guest = await new GuestLauncher(context).launchOrFail('plain', role, launch);
    const console = await GuestConsole.follow(guest);
    await guest.domain.resume();
    return { guest, console };
  }

  it('boot through OVMF, tell what they are, and hold their canary where they say', async () => {
    const [one, two] = await Promise.all([
      boot('canary', { canaryHex: CANARY }),
      boot('worker', { workloads: ['disk-read'], rounds: 2, powersOff: true }),
    ]);
    expect(facts.virtType).toBe('qemu');
    await one.console.waitFor('idle', BOOT);
    expect(one.console.all('ready')).toEqual([
      expect.objectContaining({ efi: true, modules: expect.arrayContaining(['virtio_pci', 'virtio_console', 'msr']) }),
    ]);
    expect(one.console.all('cpu')).toEqual([expect.objectContaining({ vendor: 'AuthenticAMD', sevStatus: '0x0' })]);
    expect(one.console.all('encryption')).toEqual([expect.objectContaining({ line: null })]);
    expect(one.console.all('problem')).toEqual([]);
    expect(one.console.all('canary')).toEqual([
      expect.objectContaining({ privateBytes: 2 * 1024 * 1024, sharedBytes: 0 }),
    ]);
    for (const run of one.console.all('canary-pages').flatMap(({ runs }) => runs)) {
      const page = await one.guest.domain.memoryPeek(run.at, 4096);
      expect(Buffer.from(page).toString('hex', 0, 32)).toBe(CANARY.repeat(2));
    }
    await two.console.waitFor('power-off', BOOT);
    expect(two.console.all('workload')).toEqual([expect.objectContaining({ name: 'disk-read', unit: 'MiB/s' })]);
    expect(await one.guest.kill()).toBeUndefined();
    await two.guest.stop();
    for (const { guest } of [one, two]) expect(await guest.currentState()).toBe('gone');
  });
});
