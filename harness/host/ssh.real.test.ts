import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { agentLaunch } from '../guest/boot.ts';
import { GuestConsole } from '../guest/console/follow.ts';
import { routes } from '../guest/memory/routes.ts';
import { canaryPlaces, surveyMemory } from '../guest/memory/survey.ts';
import { createRunId, currentOwner, guestName } from '../guest/ownership.ts';
import { GuestLauncher } from '../guest/running.ts';
import { guestXml } from '../guest/spec.ts';
import { connect } from '../libvirt/index.ts';
import { type Sshd, startSshd } from '../libvirt/testing/sshd.ts';
import { makeTestProgram, type TestProgram } from '../reaper/test-program.ts';
import { readSevFacts } from './facts.ts';
import { openHost } from './host.ts';
import { parseHostName } from './name.ts';
import { preflight } from './preflight/index.ts';
import { findQemu } from './qemu-process.ts';
import { shellOf } from './shell.ts';

const runtime = process.env.SEV_HARNESS_REAL_SESSION;
const localUri = process.env.SEV_HARNESS_REAL_URI;
if (runtime === undefined || localUri === undefined)
  throw new Error('SEV_HARNESS_REAL_SESSION is not set: run npm run test:real');

/** In one piece, which is one command through ssh for each way of reading. */
const PAGE_KIB = 4;

let sshd: Sshd;
let program: TestProgram;
let folder: string;

beforeAll(async () => {
  // The user's own daemon is found through the environment of the login, as on any machine.
  const { uid, gid } = await stat(socket);
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-ssh-'));
  // What is brought to the host stands in it, and QEMU is neither root nor its owner.
  await chmod(folder, 0o755);
  const environment = { XDG_RUNTIME_DIR: runtime, SEV_HARNESS_IMAGES: path.join(folder, 'images there') };
  sshd = await startSshd({ environment, user: { uid, gid } });
  program = await makeTestProgram();
  // socat, because Debian's netcat is in yet another package.
  netcat = path.join(folder, `it's a netcat`);
  await writeFile(netcat, '#!/bin/sh\n[ "$*" = -q ] && exit 1\nexec socat - "UNIX-CONNECT:$2"\n', { mode: 0o755 });
});
afterAll(async () => {
  await sshd?.[Symbol.asyncDispose]();
  await program?.[Symbol.asyncDispose]();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

/** A URI through our sshd, by default as the user whose daemon it is. */
function uri(parameters: Record<string, string> = {}): string {
  const all = { keyfile: sshd.userKey, known_hosts: sshd.knownHosts, no_tty: '1', ...parameters };
  const words = Object.entries(all).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `qemu+ssh://root@127.0.0.1:${sshd.port}/session?${words.join('&')}`;
}

const socket = path.join(runtime, 'libvirt/libvirt-sock');
let netcat: string;
/** As root, who may read all of the host, and with a netcat, because virt-ssh-helper of root looks for the system's daemon. */
const rootUri = () => uri({ keyfile: sshd.rootKey, netcat, socket });

describe('a real sshd', () => {
  it('leads to the daemon through virt-ssh-helper, where a guest is defined, started and destroyed', async () => {
    await using host = await openHost(parseHostName(uri()));
    const name = guestName('sshtest', 'one');
    const spec = { name, kind: 'plain', memoryMiB: 64 } as const;
    const domain = await host.connection.defineDomain(
      guestXml(spec, await readSevFacts(host), currentOwner('sshtest')),
    );
    try {
      expect((await host.connection.listDomains()).map((one) => one.name)).toContain(name);
      await domain.start({ paused: true });
      expect((await domain.state()).state).toBe('paused');
      const qemu = await findQemu(host, name);
      expect(qemu).toMatchObject({ pid: expect.any(Number) });
      if ('pid' in qemu) await host.shell.kill(qemu.pid);
      await expect.poll(async () => (await domain.state()).state).toBe('shutoff');
    } finally {
      if (await domain.isActive()) await domain.destroy();
      await domain.undefine({ nvram: true });
    }
    await using local = await connect(localUri);
    expect((await local.listDomains()).map((one) => one.name)).not.toContain(name);
  });

  it('leads to the daemon through a netcat and a socket, with any characters in their paths', async () => {
    await using connection = await connect(rootUri());
    expect(await connection.call('connectGetUri', {})).toEqual({ uri: 'qemu:///session' });
  });

  it.each<[string, () => Record<string, string>, RegExp]>([
    ['a key that it does not accept', () => ({ keyfile: sshd.refusedKey }), /Permission denied \(publickey\)/],
    ['a key file that is not there', () => ({ keyfile: '/nonexistent/key' }), /Permission denied \(publickey\)/],
    [
      'another host key than the known one',
      () => ({ known_hosts: sshd.wrongKnownHosts }),
      /HOST IDENTIFICATION HAS CHANGED/,
    ],
    ['a host key that nobody knows', () => ({ known_hosts: '/dev/null' }), /Host key verification failed/],
    [
      'no daemon behind its socket',
      () => ({ keyfile: sshd.rootKey, netcat, socket: '/nonexistent/sock' }),
      /No such file/,
    ],
  ])('refused with %s: one error with the words of ssh', async (_, parameters, words) => {
    const error = await connect(uri(parameters())).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    );
    expect(error).toMatchObject({ code: 'LIBVIRT_CONNECT', kind: 'environment' });
    expect(error?.message).toMatch(words);
    expect(error?.message).not.toContain('\n');
  });

  it('is taken at its word when the host key is not to be checked, or is new', async () => {
    for (const parameters of [
      { known_hosts: path.join(folder, 'new keys'), known_hosts_verify: 'auto' },
      { known_hosts: '/dev/null', no_verify: '1' },
    ]) {
      await using connection = await connect(uri(parameters));
      expect(connection.isOpen).toBe(true);
    }
    expect(await readFile(path.join(folder, 'new keys'), 'utf8')).toContain('ssh-ed25519');
  });

  it('is the way to the host for preflight, which sees what it sees without ssh', async () => {
    await using far = await openHost(parseHostName(rootUri()));
    await using near = await openHost(parseHostName(localUri));
    const [through, here] = [await preflight(far), await preflight(near)];
    const facts = (report: typeof here) => report.rows.map(({ id, outcome, found }) => ({ id, outcome, found }));
    // Each looks for the daemon's limits where its own URI points.
    const comparable = (report: typeof here) => facts(report).filter(({ id }) => id !== 'host.memlock');
    expect(comparable(through)).toEqual(comparable(here));
    expect(through.kernelLog).toEqual(here.kernelLog);
  });

  it('is the way to the host’s files, whatever their names', async () => {
    await using host = await openHost(parseHostName(rootUri()));
    const names = [`it's`, '$HOME;"x"', '-n', 'a\tb', '`id`', 'ä ü', '*', '\\n'];
    const files = names.map((name) => path.join(folder, name));
    const contents = names.map((_, index) => new Uint8Array([index, 0, 255, 10, 13, 10]));
    for (const [index, file] of files.entries()) await writeFile(file, contents[index] ?? '');
    const read = contents.map((bytes) => ({ outcome: 'read', bytes }));
    expect(await host.shell.readFiles(files)).toEqual(read);
    expect(await Promise.all(files.map((file) => host.shell.readFile(file)))).toEqual(read);
    const folderNow = await host.shell.listFolder(folder);
    expect(folderNow.outcome === 'read' && folderNow.names).toEqual(expect.arrayContaining(names));
    const [first = ''] = files;
    expect(await host.shell.stat(first)).toMatchObject({ outcome: 'read', stat: { owner: 'root' } });
    await rm(first);
    expect(await host.shell.readFile(first)).toEqual({ outcome: 'absent' });
  });
});

describe('commands to a host behind ssh', () => {
  it('share one login, which ends with the host; a lost one is followed by another', async () => {
    const before = sshd.logins();
    const host = await openHost(parseHostName(rootUri()));
    const ask = () => host.shell.run(['echo', 'here']);
    const here = { outcome: 'read', bytes: new TextEncoder().encode('here\n') };
    const sharing = async () => (await readdir(tmpdir())).filter((name) => name.startsWith('sevh-ssh-login-'));
    const others = await sharing();
    expect(await Promise.all([ask(), ask(), ask(), ask(), ask(), ask()])).toEqual(Array(6).fill(here));
    // libvirt's own, and that of the commands.
    expect(sshd.logins() - before).toBe(2);
    expect(await sharing()).toHaveLength(others.length + 1);
    await sshd.cut();
    await expect.poll(sharing).toEqual(others);
    // The first command may still try the lost one, and then logs in for itself.
    const asked = async () => {
      expect(await ask()).toEqual(here);
      return (await sharing()).length;
    };
    await expect.poll(asked).toBe(others.length + 1);
    const again = sshd.logins();
    expect(again - before).toBeLessThanOrEqual(4);
    expect(await Promise.all([ask(), ask(), ask()])).toEqual(Array(3).fill(here));
    expect(sshd.logins()).toBe(again);
    await host.close();
    expect(await sharing()).toEqual(others);
  });

  it('log in one by one where the host lets nobody share, and are answered all the same', async () => {
    const { uid, gid } = await stat(socket);
    await using strict = await startSshd({ environment: {}, user: { uid, gid }, config: ['MaxSessions 1'] });
    const files = `keyfile=${encodeURIComponent(strict.rootKey)}&known_hosts=${encodeURIComponent(strict.knownHosts)}`;
    const shell = shellOf(`qemu+ssh://root@127.0.0.1:${strict.port}/session?${files}&no_tty=1`);
    const asked = [await shell.run(['echo', 'here']), await shell.readFile('/nonexistent'), await shell.run(['false'])];
    expect(asked).toMatchObject([{ outcome: 'read' }, { outcome: 'absent' }, { outcome: 'unreadable' }]);
    expect(strict.logins()).toBe(1 + asked.length);
    await shell.close();
  });
});

describe('a guest of a host behind ssh', () => {
  it('boots what was brought there, is heard on its console, and its canary is found by every way of reading', {
    timeout: 300_000,
  }, async () => {
    await using host = await openHost(parseHostName(rootUri()));
    const cleanup = new CleanupStack();
    const signal = new AbortController().signal;
    const image = { kernel: process.env.SEV_HARNESS_KERNEL, folder: process.env.SEV_HARNESS_IMAGES };
    const settings = { owner: currentOwner(createRunId(Date.now(), '55e000')), image };
    const facts = await readSevFacts(host);
    const token = randomBytes(32);
    try {
      const launcher = new GuestLauncher({ host, facts, settings, cleanup, signal, nowMs: () => Date.now() });
      const request = { canaryHex: token.toString('hex'), canaryKiB: PAGE_KIB };
      const launch = await agentLaunch({ host, settings, signal }, request);
      expect(launch.boot?.kernel).toContain(path.join(folder, 'images there'));
      const paused = await launcher.launchOrFail('plain', 'far', { ...launch, memoryMiB: 192, isPaused: true });
      await using console = await GuestConsole.follow(paused);
      const guest = await paused.resume();
      const places = await canaryPlaces(console, { timeoutMs: 240_000, signal });
      const { reached, outOfReach } = await surveyMemory(host, guest, places, { token, signal });
      expect(outOfReach).toEqual([]);
      const seen = reached.map(({ route, privateHits }) => [route.id, privateHits]);
      const tokens = (PAGE_KIB * 1024) / token.length;
      expect(seen).toEqual(routes.map(({ id }) => [id, tokens]));
      expect(new Set(reached.map(({ privateSha256 }) => privateSha256)).size).toBe(1);
      await guest.stop();
    } finally {
      expect(await cleanup.run()).toEqual([]);
    }
    const left = await readdir(path.resolve(runtime, '..'), { recursive: true });
    expect(left.filter((name) => name.includes(settings.owner.runId) && !name.endsWith('.log'))).toEqual([]);
  });
});

describe('a run through ssh', () => {
  it('keeps other runs off the host, by whatever way they come, and names itself', async () => {
    const report = (name: string) => ['--report', path.join(program.folder, name)];
    const held = program.start(['scenario', '--host', rootUri(), ...report('held'), '--json'], { SEVH_TEST_HOLD: '1' });
    for await (const line of createInterface({ input: held.stdout })) if (line.includes('"title":"hold"')) break;
    held.stdout.resume();

    const refused = await program.start(['scenario', '--host', localUri, ...report('refused')]);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toMatch(
      /HOST_LEASED host \S+ is in use by run \w+ of root \(process \d+ on \S+\) since \S+Z/,
    );
    expect(refused.stderr).toContain('Wait for it with --wait SECONDS.');

    const waiting = program.start(['scenario', '--host', localUri, ...report('waiting'), '--wait', '60']);
    for await (const line of createInterface({ input: waiting.stderr }))
      if (line.startsWith('Waiting up to 60 s')) break;
    waiting.stderr.resume();
    held.kill('SIGINT');
    expect((await held).exitCode).toBe(2);
    expect((await waiting).exitCode).toBe(0);
    expect(await readdir(program.leases)).toEqual([]);
    expect(await readdir(program.temporary)).toEqual([]);
  });

  it('that is killed leaves no login; reap removes the rest through ssh', async () => {
    const held = program.start(
      ['scenario', '--host', rootUri(), '--report', path.join(program.folder, 'dead'), '--json'],
      {
        SEVH_TEST_HOLD: '1',
      },
    );
    for await (const line of createInterface({ input: held.stdout })) if (line.includes('"title":"hold"')) break;
    expect(await readdir(program.temporary)).not.toEqual([]);
    held.kill('SIGKILL');
    await held;
    await expect.poll(() => readdir(program.temporary)).toEqual([]);
    const reap = await program.start(['reap', '--host', rootUri()]);
    expect(reap.stderr).toMatch(/^4 removed, 0 kept, 0 failed/m);
    expect(await readdir(program.leases)).toEqual([]);
    expect(await readdir(program.temporary)).toEqual([]);
  });

  it('that loses its connection says so, removes its guests on a new one, and ends with 2', async () => {
    const report = path.join(program.folder, 'cut');
    const run = program.start(['scenario', '--host', rootUri(), '--report', report, '--json'], { SEVH_TEST_HOLD: '1' });
    for await (const line of createInterface({ input: run.stdout })) if (line.includes('"title":"hold"')) break;
    run.stdout.resume();
    expect(await sshd.cut()).toBeGreaterThan(0);
    expect((await run).exitCode).toBe(2);
    const written = JSON.parse(await readFile(path.join(report, 'run.json'), 'utf8'));
    expect(written.scenarios[0].attempts.at(-1).error).toMatchObject({ code: 'LIBVIRT_CONNECTION_LOST' });
    expect(written.leftBehind).toEqual([]);
    await using local = await connect(localUri);
    expect((await local.listDomains()).filter((one) => one.name.startsWith('sevh-'))).toEqual([]);
    const { pools } = await local.call('connectListAllStoragePools', { needResults: 1, flags: 0 });
    expect(pools).toEqual([]);
    expect(await readdir(program.leases)).toEqual([]);
  });
});
