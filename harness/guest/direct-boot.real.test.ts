import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts, type SevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { bootAndWatch, type MeasurableBoot, measurableLaunch, swapBlob, withOwnInitrd } from './direct-boot.ts';
import { createRunId, currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
const OTHER_INITRD = new TextEncoder().encode('no initrd at all');

/** Without SEV nothing measures what these guests boot: what is shown is that a stock QEMU lets an initrd be swapped. */
describe.skipIf(uri === undefined)('direct boot on a real host', { timeout: 400_000 }, () => {
  let host: Host;
  let facts: SevFacts;
  const cleanup = new CleanupStack();
  const image = { kernel: process.env.SEV_HARNESS_KERNEL, folder: process.env.SEV_HARNESS_IMAGES };
  const owner = currentOwner(createRunId(Date.now(), 'b00701'));

  beforeAll(async () => {
    host = await openHost({ kind: 'libvirt', text: uri ?? '' });
    facts = await readSevFacts(host);
  });
  afterEach(async () => {
    expect(await cleanup.run()).toEqual([]);
  });
  afterAll(() => host.close());

  it('ends with the initrd that its file holds when the guest runs, not with that of its start; kernel and command line cannot be swapped', async () => {
    const signal = new AbortController().signal;
    const context = { host, facts, settings: { owner, image }, cleanup, signal, nowMs: () => Date.now() };
    const launch = await measurableLaunch(context, { canaryHex: 'c0ffee00' });
    if ('because' in launch) throw new Error(launch.because);
    const launcher = new GuestLauncher(context);
    const start = (role: string, boot: MeasurableBoot) =>
      launcher.launchOrFail('plain', role, { ...launch, boot, memoryMiB: 192, isPaused: true });

    const right = await start('right', launch.boot);
    expect(await bootAndWatch(context, right)).toMatchObject({ hasBooted: true, hasCanary: true });
    await right.stop();

    const own = await withOwnInitrd(context, launch.boot);
    const swapped = await start('swapped', own);
    const swap = { content: OTHER_INITRD, initrd: own.initrd };
    for (const blob of ['kernel', 'cmdline'] as const)
      expect(await swapBlob(host, swapped, blob, swap)).toEqual({ outOfReach: expect.stringMatching(/^a stock QEMU/) });
    expect(await swapBlob(host, swapped, 'initrd', swap)).toBeUndefined();
    const outcome = await bootAndWatch(context, swapped);
    expect(outcome.hasBooted).toBe(false);
    expect(outcome.console).toMatch(/Initramfs unpacking failed|Unable to mount root fs|No working init found/);
    await swapped.stop();
  });
});
