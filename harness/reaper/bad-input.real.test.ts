import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorText } from '../../core/errors.ts';
import { makeLibvirtdSession } from '../contract/session-libvirtd.ts';
import { currentOwner } from '../guest/ownership.ts';
import { guestXml } from '../guest/spec.ts';
import { readSevFacts } from '../host/facts.ts';
import { openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { refusalOf } from '../host/refusal.ts';
import { connect, isRemoteError } from '../libvirt/index.ts';
import { makeMemoryCgroup } from './memory-cgroup.ts';
import { makeTestProgram, type TestProgram } from './test-program.ts';

const uri = process.env.SEV_HARNESS_REAL_URI;
const runtime = process.env.SEV_HARNESS_REAL_SESSION;
if (uri === undefined || runtime === undefined)
  throw new Error('SEV_HARNESS_REAL_URI is not set: run npm run test:real');

let program: TestProgram;
let folder: string;
beforeAll(async () => {
  program = await makeTestProgram();
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-bad-'));
  await execa('chmod', ['755', folder]);
});
afterAll(async () => {
  await program?.[Symbol.asyncDispose]();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

async function ourDomains(daemon: string): Promise<string[]> {
  await using connection = await connect(daemon);
  return (await connection.listDomains()).map((domain) => domain.name).filter((name) => name.startsWith('sevh-'));
}

/** Starts a run and returns when its guests run and it waits. */
async function startAndHold(daemon: string, report: string, env: Record<string, string> = {}) {
  const words = ['scenario', '--host', daemon, '--report', report, '--json'];
  const run = program.start(words, { SEVH_TEST_HOLD: '1', ...env });
  for await (const line of createInterface({ input: run.stdout })) if (line.includes('"title":"hold"')) break;
  run.stdout.resume();
  // In an object, because a promise of a process would wait for its end.
  return { run };
}

async function reportOf(name: string) {
  return JSON.parse(await readFile(path.join(name, 'run.json'), 'utf8'));
}

describe('a file that is not as it should be', () => {
  it('ends the run with 2, the file, the reason and what to do; nothing is left', async () => {
    const report = path.join(folder, 'no-kernel');
    const run = await program.start(['scenario', '--host', uri, '--report', report], {
      SEVH_TEST_KERNEL: '/nonexistent/vmlinuz',
    });
    expect(run.exitCode).toBe(2);
    expect(run.stderr).toContain("could not open kernel file '/nonexistent/vmlinuz': No such file or directory");
    expect(run.stderr).toContain('The host has no file /nonexistent/vmlinuz');
    expect((await reportOf(report)).leftBehind).toEqual([]);
    expect(await ourDomains(uri)).toEqual([]);
    expect(await readdir(program.leases)).toEqual([]);
  });

  it('is named, with the cause, whatever file it is', async () => {
    const [secret, noise] = [path.join(folder, 'secret'), path.join(folder, 'noise')];
    await writeFile(secret, 'x', { mode: 0o600 });
    await writeFile(noise, 'not a kernel', { mode: 0o644 });
    await using host = await openHost(parseHostName(uri));
    const facts = await readSevFacts(host);
    const plain = guestXml({ name: 'sevh-bad-file', kind: 'plain', memoryMiB: 64 }, facts, currentOwner('bad'));
    const withKernel = (file: string) => plain.replace('<os>', `<os><kernel>${file}</kernel>`);
    const withDisk = (file: string) =>
      plain.replace(
        '<devices>',
        `<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${file}'/><target dev='sda' bus='sata'/></disk>`,
      );
    const withLoader = (file: string) => plain.replace(/(<loader [^>]*>)[^<]*/, `$1${file}`);
    const cases: [string, RegExp][] = [
      [withKernel(secret), /QEMU may not open .*\/secret,/],
      [withKernel(noise), /no Linux kernel/],
      [withDisk('/nonexistent/disk.img'), /no file \/nonexistent\/disk\.img,/],
      [withDisk(secret), /QEMU may not open .*\/secret,/],
      [withLoader('/nonexistent/OVMF.fd'), /no file \/nonexistent\/OVMF\.fd,/],
      [withLoader(noise), /firmware has 512 bytes/],
    ];
    for (const [xml, words] of cases) {
      const error: unknown = await host.connection.createDomain(xml).catch((reason: unknown) => reason);
      if (!isRemoteError(error)) throw error;
      const refusal = refusalOf(error);
      expect(refusal.words).toMatch(words);
      expect(refusal).toMatchObject({ cause: 'guest-file', fix: expect.any(String) });
    }
    expect(await ourDomains(uri)).toEqual([]);
  });
});

/** Less than QEMU needs to run any guest. */
const LITTLE_MEMORY_BYTES = 12 * 1024 * 1024;
const whyNoOom = await makeMemoryCgroup(LITTLE_MEMORY_BYTES).then(
  async (cgroup) => {
    await cgroup[Symbol.asyncDispose]();
    return undefined;
  },
  (error: unknown) => errorText(error),
);
if (whyNoOom !== undefined) console.warn(`! nothing can run out of memory here, SIGKILL stands in for it: ${whyNoOom}`);

describe('a guest that is killed while a run uses it', () => {
  /** Returns the name of the third guest, its pid, and what the run wrote in the end. */
  async function runWhile(name: string, kill: (guest: string, pid: number) => Promise<void>) {
    const report = path.join(folder, name);
    // The log of a session daemon is found where its user keeps a cache; here the user is another than ours.
    const { run } = await startAndHold(uri ?? '', report, { XDG_CACHE_HOME: path.resolve(runtime ?? '', '../cache') });
    const third = (await ourDomains(uri ?? '')).find((one) => one.includes('third')) ?? '';
    const pid = Number(await readFile(path.join(runtime ?? '', `libvirt/qemu/run/${third}.pid`), 'utf8'));
    await kill(third, pid);
    expect((await run).exitCode).toBeGreaterThan(0);
    expect(await ourDomains(uri ?? '')).toEqual([]);
    expect(await readdir(program.leases)).toEqual([]);
    return { third, pid, written: await readFile(path.join(report, 'run.jsonl'), 'utf8') };
  }
  const ENDED = (guest: string) => new RegExp(`guest ${guest} ended, and nobody asked it to.*reason=crashed.*dmesg`);

  it.skipIf(whyNoOom !== undefined)('by the OOM killer is explained by its very words about this QEMU', async () => {
    await using cgroup = await makeMemoryCgroup(LITTLE_MEMORY_BYTES);
    const { third, pid, written } = await runWhile('out-of-memory', async (guest, qemu) => {
      await cgroup.take(qemu);
      await using connection = await connect(uri ?? '');
      await (await connection.lookupByName(guest)).resume();
    });
    expect(await cgroup.kills()).toBe(1);
    expect(written).toMatch(ENDED(third));
    expect(written).toMatch(
      new RegExp(`dmesg says '[^']*\\b${pid}\\b[^']*': The kernel killed QEMU for lack of memory`),
    );
  });

  it('by somebody is explained by libvirt’s log, and not by what the OOM killer did to others', async () => {
    const { third, written } = await runWhile('killed', async (_, pid) => {
      process.kill(pid, 'SIGKILL');
    });
    expect(written).toMatch(ENDED(third));
    expect(written).not.toContain('for lack of memory: the pinned');
  });
});

describe('a report folder on a disk that is full', () => {
  it('ends the run with 2 and says so; the guests are gone all the same', async () => {
    const report = path.join(folder, 'full');
    await mkdir(report);
    await execa('mount', ['-t', 'tmpfs', '-o', 'size=12k', 'tmpfs', report]);
    try {
      const run = await program.start(['scenario', '--host', uri, '--report', report]);
      expect(run.exitCode).toBe(2);
      expect(run.stderr).toMatch(
        /^error: could not write \S+: ENOSPC: no space left on device.* \[REPORT_WRITE_FAILED\]$/m,
      );
      expect(run.stderr).not.toMatch(/^\s+at /m);
      expect(await ourDomains(uri)).toEqual([]);
      expect(await readdir(program.leases)).toEqual([]);
    } finally {
      await execa('umount', [report]);
    }
  });
});

describe('a libvirtd that is killed while a run uses it', () => {
  it('ends the run with 2 and names what is left; reap removes it when libvirtd is back', async () => {
    const lab = path.join(folder, 'lab');
    const session = makeLibvirtdSession(lab, path.join(runtime, 'libvirt/libvirt-sock'));
    // What libvirt knows of QEMU comes from the other daemon: asking QEMU again takes seconds.
    await cp(path.resolve(runtime, '../cache'), session.place('cache'), { recursive: true });
    await execa('chown', ['-R', `${session.uid}:${session.gid}`, session.place('cache')]);
    await chown(folder, session.uid, session.gid);
    const { uri: daemonUri, start: startDaemon } = session;
    const stopDaemon = async (child: ChildProcess, signal: NodeJS.Signals) => {
      const ended = once(child, 'exit');
      child.kill(signal);
      await ended;
    };

    const report = path.join(folder, 'gone');
    let daemon = await startDaemon();
    try {
      const { run } = await startAndHold(daemonUri, report);
      await stopDaemon(daemon, 'SIGKILL');
      expect((await run).exitCode).toBe(2);
      const written = await reportOf(report);
      expect(written.scenarios[0].attempts.at(-1).error).toMatchObject({ code: 'LIBVIRT_CONNECTION_LOST' });
      expect(written.leftBehind).toEqual([
        expect.stringMatching(/^could not destroy guest sevh-\S+-third-\d+: cannot connect/),
        expect.stringMatching(/^could not destroy guest sevh-\S+-second-\d+: cannot connect/),
        expect.stringMatching(/^could not remove storage pool sevh-\S+-images: cannot connect/),
      ]);
      expect(await readdir(program.leases)).toEqual([]);

      daemon = await startDaemon();
      expect(await ourDomains(daemonUri)).toHaveLength(2);
      const reap = await program.start(['reap', '--host', daemonUri]);
      expect(reap.stderr).toMatch(/^3 removed, 0 kept, 0 failed/m);
      expect(reap.exitCode).toBe(0);
      expect(await ourDomains(daemonUri)).toEqual([]);
    } finally {
      await program.start(['reap', '--host', daemonUri]);
      if (daemon.exitCode === null && daemon.signalCode === null) await stopDaemon(daemon, 'SIGTERM');
    }
  });
});
