import { access, constants, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../libvirt/index.ts';
import { makeTestProgram, type TestProgram } from './test-program.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
if (uri === undefined) throw new Error('SEV_HARNESS_REAL_URI is not set: run npm run test:real');

let program: TestProgram;
beforeAll(async () => {
  program = await makeTestProgram();
});
afterAll(() => program?.[Symbol.asyncDispose]());

interface Moment {
  readonly event: string;
  readonly title?: RegExp;
  readonly afterMs: number;
}

/** Where a run is when it is killed, in the order of a run. */
const MOMENTS: readonly [string, Moment][] = [
  ['when it has its lease and reads the host', { event: 'run-started', afterMs: 100 }],
  ['when its scenario opens the host', { event: 'scenario-started', afterMs: 0 }],
  ['while libvirt makes disks', { event: 'step-started', title: /^make disks/, afterMs: 5 }],
  ['as it asks for the first guest', { event: 'step-started', title: /^start first/, afterMs: 0 }],
  ['while libvirt starts the first guest', { event: 'step-started', title: /^start first/, afterMs: 60 }],
  ['while libvirt starts a guest beside another', { event: 'step-started', title: /^start second/, afterMs: 150 }],
  ['as it kills a guest', { event: 'step-started', title: /^kill first/, afterMs: 0 }],
  [
    'while libvirt starts a guest in place of a killed one',
    { event: 'step-started', title: /^start third/, afterMs: 30 },
  ],
  ['as it stops a guest', { event: 'step-started', title: /^stop second/, afterMs: 0 }],
  ['after its last scenario', { event: 'scenario-finished', afterMs: 0 }],
];

/** Processes whose command line holds a word of ours. */
async function processesWith(words: readonly string[]): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => words.some((word) => line.includes(word))).map((line) => line.replaceAll('\0', ' '));
}

/** Names of files below the daemon's folders that belong to a run; libvirt's log of a guest is its own, and stays. */
async function filesOf(runId: string): Promise<string[]> {
  const folder = path.resolve(process.env.SEV_HARNESS_REAL_SESSION ?? '', '..');
  const names = await readdir(folder, { recursive: true });
  const ofDaemon = names.filter((name) => name.includes(runId) && !/qemu\/log\/[^/]+\.log$/.test(name));
  return [...ofDaemon, ...(await readdir('/var/tmp')).filter((name) => name.includes(runId))];
}

describe('a run that is killed, and then reap', () => {
  let removed = 0;

  it.each(MOMENTS)('%s: no domain, file or process of ours is left', async (_, moment) => {
    const run = program.start(['scenario', '--host', uri, '--report', path.join(program.folder, 'report'), '--json']);
    let runId = '';
    for await (const line of createInterface({ input: run.stdout })) {
      const event = JSON.parse(line) as { type: string; title?: string; run?: { runId: string } };
      runId = event.run?.runId ?? runId;
      if (event.type === moment.event && (moment.title?.test(event.title ?? '') ?? true)) break;
    }
    await new Promise((resolve) => setTimeout(resolve, moment.afterMs));
    expect(run.kill('SIGKILL')).toBe(true);
    expect(await run).toMatchObject({ signal: 'SIGKILL' });

    const reap = await program.start(['reap', '--host', uri, '--json']);
    expect(reap.stderr).toMatch(/\b0 failed on /);
    expect(reap.exitCode).toBe(0);
    const { rows } = JSON.parse(reap.stdout) as { rows: { action: string }[] };
    removed += rows.filter((row) => row.action === 'removed').length;
    await using connection = await connect(uri);
    const left = (await connection.listDomains()).filter((domain) => domain.name.includes(runId));
    expect(left.map((domain) => domain.name)).toEqual([]);
    expect(await processesWith([runId, program.folder])).toEqual([]);
    expect(await filesOf(runId)).toEqual([]);
    expect(await readdir(program.leases)).toEqual([]);
    expect(await readdir(program.temporary)).toEqual([]);
  });

  it('often left something to remove', () => {
    // A lease and a storage pool nearly each time, and guests.
    expect(removed).toBeGreaterThan(15);
  });
});

const KSM = '/sys/kernel/mm/ksm';
const ksmNow = () =>
  Promise.all(
    ['run', 'pages_to_scan', 'sleep_millisecs'].map(async (name) =>
      (await readFile(path.join(KSM, name), 'utf8')).trim(),
    ),
  );
/** Of a kernel with samepage merging, off, which this user may switch on. */
const mayMerge = await access(path.join(KSM, 'run'), constants.W_OK)
  .then(ksmNow)
  .then(
    ([run]) => run === '0',
    () => false,
  );

describe.skipIf(!mayMerge)('kernel samepage merging that a killed run had switched on', () => {
  const start = () => {
    const report = path.join(program.folder, 'report');
    const words = ['scenario', '--host', uri, '--report', report, '--json', '--allow-destructive'];
    return program.start(words, { SEVH_TEST_KSM: '1' });
  };
  const untilOn = async (run: ReturnType<typeof start>) => {
    for await (const line of createInterface({ input: run.stdout })) if (line.includes('"title":"make disks"')) return;
  };

  it('is put back by reap, and by a run that is interrupted itself', async () => {
    const before = await ksmNow();
    const killed = start();
    await untilOn(killed);
    expect((await ksmNow())[0]).toBe('1');
    killed.kill('SIGKILL');
    await killed;
    expect((await ksmNow())[0]).toBe('1');
    const reap = await program.start(['reap', '--host', uri]);
    expect(reap.stderr).toMatch(/^removed +kernel samepage merging .* no longer has the host: put back to run=0, /m);
    expect(await ksmNow()).toEqual(before);
    expect(await readdir(program.leases)).toEqual([]);

    const interrupted = start();
    await untilOn(interrupted);
    interrupted.stdout.resume();
    interrupted.kill('SIGINT');
    await interrupted;
    expect(await ksmNow()).toEqual(before);
    expect(await readdir(program.leases)).toEqual([]);
  });
});

describe('a run that is not killed', () => {
  it('passes and leaves nothing either', async () => {
    const report = path.join(program.folder, 'report');
    const run = await program.start(['scenario', '--host', uri, '--report', report]);
    expect(run.stderr).toContain('plain-guests');
    // This machine has no SEV, and a run says so before it begins.
    expect(run.stderr).toMatch(/^ +preflight: unusable for SEV: .*\n +preflight found: /m);
    expect(run.exitCode).toBe(0);
    const { runId } = JSON.parse(await readFile(path.join(report, 'run.json'), 'utf8'));
    expect(await processesWith([`sevh-${runId}`, program.folder])).toEqual([]);
    expect(await readdir(program.leases)).toEqual([]);
    expect(await readdir(program.temporary)).toEqual([]);
  });
});
