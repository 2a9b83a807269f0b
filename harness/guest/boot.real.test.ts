import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts, type SevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { agentLaunch, type ImageContext } from './boot.ts';
import { GuestConsole } from './console/follow.ts';
import { createRunId, currentOwner } from './ownership.ts';
import { GuestLauncher, type LaunchContext } from './running.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
const BOOT = { timeoutMs: 120_000 };
const CANARY = 'c0ffee00112233445566778899aabbcc';
const MEMORY_MIB = 192;
/** The workloads of memory need 128 MiB for themselves. */
const WORKING_MIB = 320;
const PAGE_BYTES = 4096;

describe.skipIf(uri === undefined)('guests of ours on a real host', { timeout: 300_000 }, () => {
  let host: Host;
  let facts: SevFacts;
  let context: LaunchContext & ImageContext;
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

  const launcher = () => new GuestLauncher(context);

  it('boot through OVMF: tell what they are, hold their canary where they say, do what is asked, and end as they are told', async () => {
    expect(facts.virtType).toBe('qemu');
    const q35 = await launcher().launchOrFail('plain', 'q35', {
      ...(await agentLaunch(context, { canaryHex: CANARY })),
      memoryMiB: WORKING_MIB,
      isPaused: true,
    });
    const defined = await launcher().defineGuest('plain', 'i440fx', {
      ...(await agentLaunch(context, { workloads: ['disk-read'], rounds: 2 })),
      memoryMiB: MEMORY_MIB,
      machine: 'pc',
      firmware: 'auto',
    });
    const i440fx = await defined.startPaused();
    await using one = await GuestConsole.follow(q35);
    await using two = await GuestConsole.follow(i440fx);
    const [runningQ35, runningI440fx] = [await q35.resume(), await i440fx.resume()];

    await one.waitFor('idle', BOOT);
    const modules = expect.arrayContaining(['virtio_pci', 'virtio_console', 'virtio_rng', 'msr', 'button']);
    expect(one.all('ready')).toEqual([expect.objectContaining({ efi: true, modules })]);
    expect(one.all('cpu')).toEqual([expect.objectContaining({ vendor: 'AuthenticAMD', sevStatus: '0x0' })]);
    expect(one.all('encryption')).toEqual([{ event: 'encryption', line: null }]);
    expect(one.all('secrets')).toEqual([expect.objectContaining({ count: 0, from: null })]);
    expect(one.all('canary')).toEqual([expect.objectContaining({ privateBytes: 2 * 1024 * 1024, sharedBytes: 0 })]);
    const runs = one.all('canary-pages').flatMap((pages) => pages.runs);
    expect(runs.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(2 * 1024 * 1024);
    for (const { at, bytes } of runs) {
      const lastPage = await q35.domain.memoryPeek(at + bytes - PAGE_BYTES, PAGE_BYTES);
      expect(Buffer.from(lastPage).equals(Buffer.alloc(PAGE_BYTES, CANARY, 'hex'))).toBe(true);
    }
    const asked = await one.ask('workload memory-latency 2', ['workload', 'workload-failed'], BOOT);
    expect(asked).toMatchObject({ event: 'workload', name: 'memory-latency', unit: 'ns' });

    await two.waitFor('idle', BOOT);
    const disk = expect.objectContaining({
      name: 'disk-read',
      unit: 'MiB/s',
      samples: [expect.any(Number), expect.any(Number)],
    });
    expect(two.all('workload')).toEqual([disk]);
    for (const workload of ['memory-bandwidth', 'memory-latency'])
      expect(await two.ask(`workload ${workload} 1`, ['workload', 'workload-failed'], BOOT)).toMatchObject({
        event: 'workload-failed',
        because: expect.stringContaining('too little memory available'),
      });
    expect(two.all('ready')).toEqual([expect.objectContaining({ efi: true })]);
    expect([...one.all('problem'), ...two.all('problem')]).toEqual([]);

    await runningI440fx.powerOff(BOOT);
    expect(two.all('power-off')).toEqual([{ event: 'power-off', because: 'power button' }]);
    await defined.undefine();
    expect(await runningQ35.kill()).toBeUndefined();
    await expect(one.waitFor('power-off', BOOT)).rejects.toMatchObject({ code: 'GUEST_CONSOLE_ENDED' });
    for (const guest of [q35, i440fx]) expect(await guest.currentState()).toBe('gone');
    expect(await ownFilesLeft()).toEqual([]);
  });

  it('with variables of their own, whose kernel is none, fail with what their firmware says, and their variables go with them', async () => {
    const defined = await launcher().defineGuest('plain', 'no-kernel', {
      boot: { kernel: '/usr/share/OVMF/OVMF_VARS_4M.fd', cmdline: '' },
      memoryMiB: MEMORY_MIB,
      firmware: 'nvram',
    });
    const paused = await defined.startPaused();
    expect((await ownFilesLeft()).filter((file) => /_VARS.*\.fd$/.test(file))).toHaveLength(1);
    await using console = await GuestConsole.follow(paused);
    await paused.resume();
    await expect(console.waitFor('ready', BOOT)).rejects.toMatchObject({
      code: 'GUEST_BOOT_FAILED',
      message: expect.stringMatching(
        /did not boot\. The guest firmware could not load what it was to boot\. Its console says: BdsDxe: failed to load/,
      ),
    });
    await paused.stop();
    await defined.undefine();
    expect(await ownFilesLeft()).toEqual([]);
  });

  /** Files that libvirt and QEMU keep under the names of our guests: NVRAM, pid files, monitors; logs stay. */
  async function ownFilesLeft(): Promise<string[]> {
    const folder = path.dirname(path.dirname(path.dirname(new URL(uri ?? '').searchParams.get('socket') ?? '')));
    const files = await readdir(folder, { recursive: true });
    return files.filter((file) => file.includes(settings.owner.runId) && !file.endsWith('.log'));
  }
});
