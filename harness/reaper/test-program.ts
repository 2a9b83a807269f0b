import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';

const root = path.resolve(import.meta.dirname, '../..');

/**
 * Guests without encryption, which any host with QEMU can run: with disks beside them. Two start, one is killed, one more starts, both are stopped.
 * With `SEVH_TEST_HOLD=1` it waits before the end, until it is interrupted or its third guest is gone; with
 * `SEVH_TEST_KERNEL` its guests boot that file; with `SEVH_TEST_KSM=1` it first switches kernel samepage merging on.
 */
const PLAIN_GUESTS = `
import { borrowKsm, DiskImages, GuestLauncher, hurryKsm, scenario } from '../harness/test.js';
scenario(
  {
    id: 'plain-guests', title: 'Guests without encryption come and go', source: ['test'], needs: [],
    maturity: 'experimental', checks: { comes: { title: 'guests start' }, goes: { title: 'guests end' } },
  },
  async (context) => {
    const { host, step, check, signal } = context;
    const launcher = new GuestLauncher(context);
    const { SEVH_TEST_KERNEL: kernel, SEVH_TEST_HOLD: hold, SEVH_TEST_KSM: ksm } = process.env;
    if (ksm === '1') {
      const found = await borrowKsm(context);
      if ('outOfReach' in found) throw new Error(found.outOfReach);
      await step('merge pages', () => hurryKsm(host, found));
    }
    const boot = kernel === undefined ? {} : { boot: { kernel, cmdline: '' } };
    const start = (role, isPaused) =>
      step('start ' + role, () => launcher.launchOrFail('plain', role, { memoryMiB: 64, isPaused, ...boot }));
    const disks = await step('make disks', () => DiskImages.open(context));
    await disks.create('disk');
    const first = await start('first', false);
    // Paused, because a guest without KVM keeps a processor busy.
    const second = await start('second', true);
    check('comes', { expected: ['running', 'paused'], actual: [await first.currentState(), await second.currentState()] });
    await step('kill first', () => first.kill());
    const third = await start('third', true);
    if (hold === '1')
      await step('hold', async () => {
        for (;;) {
          signal.throwIfAborted();
          if ((await third.currentState()) === 'gone') throw new Error('the third guest is gone');
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      });
    await step('stop second', () => second.stop());
    await step('stop third', () => third.stop());
    check('goes', { expected: ['gone', 'gone', 'gone'], actual: await Promise.all([first, second, third].map((guest) => guest.currentState())) });
  },
);
`;

/** The compiled program with `plain-guests` as its only scenario, in a folder that goes with it. */
export interface TestProgram extends AsyncDisposable {
  readonly folder: string;
  /** Where its runs put what they do not name themselves; empty when they cleaned up. */
  readonly temporary: string;
  /** Leases of its runs, apart from those of everybody else on this machine. */
  readonly leases: string;
  start(words: readonly string[], env?: Record<string, string>): ReturnType<typeof startProgram>;
}

export async function makeTestProgram(): Promise<TestProgram> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sevh-program-'));
  const place = (name: string) => path.join(folder, name);
  await cp(path.join(root, 'dist'), place('dist'), {
    recursive: true,
    filter: (source) => !/\.(d\.ts|map|tsbuildinfo)$|dist\/scenarios\/./.test(source),
  });
  await cp(path.join(root, 'package.json'), place('package.json'));
  await symlink(path.join(root, 'node_modules'), place('node_modules'));
  await writeFile(place('dist/scenarios/plain-guests.scenario.js'), PLAIN_GUESTS);
  await mkdir(place('temporary'));
  return {
    folder,
    temporary: place('temporary'),
    leases: place('leases'),
    start: (words, env = {}) =>
      startProgram([place('dist/harness/cli/main.js'), ...words], {
        TMPDIR: place('temporary'),
        SEV_HARNESS_LEASES: place('leases'),
        SEV_HARNESS_REBUILT: '1',
        NO_COLOR: '1',
        ...env,
      }),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

function startProgram(words: readonly string[], env: Record<string, string>) {
  return execa(process.execPath, words, { reject: false, stdin: 'ignore', env });
}
