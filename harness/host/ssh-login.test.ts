import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type SshLogin, sharedLogin } from './ssh-login.ts';

let folder: string;
let ssh: string;
let logins: SshLogin[];

/** Where the folder of the shared login appears. */
const temporary = () => path.join(folder, 'tmp');

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-login-'));
  ssh = path.join(folder, 'ssh');
  await mkdir(temporary());
  vi.stubEnv('TMPDIR', temporary());
  logins = [];
});
afterEach(async () => {
  for (const login of logins) await login.close();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** Runs its last word here. What stands before it may look at `$way`: the value of ControlMaster, and at `$socket`. */
async function fakeSsh(before: string): Promise<SshLogin> {
  const words = `#!/bin/sh
for word; do case $word in ControlMaster=*) way=\${word#*=};; ControlPath=*) socket=\${word#*=};; esac; last=$word; done
socket=$(printf %s "$socket" | sed 's/^"//; s/"$//; s/%%/%/g; s/\\\\\\(.\\)/\\1/g')
echo "\${way-alone} $$" >>'${folder}/calls'
${before}
exec sh -c "$last"
`;
  await writeFile(ssh, words, { mode: 0o755 });
  const login = sharedLogin(ssh, ['--', 'lab7']);
  logins.push(login);
  return login;
}

const SHARES = 'if [ "$way" = yes ]; then : >"$socket"; fi';

async function ask(login: SshLogin, script = 'echo here'): Promise<string> {
  const [program, ...args] = await login.command();
  const { stdout, stderr } = await execa(program, [...args, script], { reject: false, stdin: 'ignore' });
  return stdout || stderr;
}

async function calls(): Promise<{ way: string; pid: number }[]> {
  const lines = (await readFile(path.join(folder, 'calls'), 'utf8')).trim().split('\n');
  return lines.map((line) => ({ way: line.split(' ')[0] ?? '', pid: Number(line.split(' ')[1]) }));
}
const ways = async () => (await calls()).map(({ way }) => way);

/** A dead process that nobody has collected yet has no command line. */
async function isRunning(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')) !== '';
}

describe('an ssh that can share a login', () => {
  it('logs in once for all commands, at the first of them, and out when it is closed', async () => {
    const login = await fakeSsh(SHARES);
    expect(await readdir(temporary())).toEqual([]);
    expect(await Promise.all([ask(login), ask(login), ask(login)])).toEqual(['here', 'here', 'here']);
    expect(await ways()).toEqual(['yes', 'no', 'no', 'no']);
    const [master] = await calls();
    expect(await isRunning(master?.pid ?? 0)).toBe(true);
    await login.close();
    expect(await isRunning(master?.pid ?? 0)).toBe(false);
    expect(await readdir(temporary())).toEqual([]);
    expect(await ask(login)).toBe('here');
    expect((await ways()).at(-1)).toBe('alone');
  });

  it('notices as soon as libvirt that the line of the shared login is dead', async () => {
    const login = await fakeSsh(`if [ "$way" = yes ]; then printf '%s\\n' "$@" >'${folder}/words'; fi\n${SHARES}`);
    await ask(login);
    const words = (await readFile(path.join(folder, 'words'), 'utf8')).split('\n');
    // ssh_config(5): without an interval it never asks the other side whether it is still there.
    const options = words.slice(0, words.indexOf('--')).filter((_, index) => words[index - 1] === '-o');
    expect(options).toContain('ServerAliveInterval=5');
    expect(options).toContain('ServerAliveCountMax=5');
  });

  it('logs in again for the next command when the shared login was lost', async () => {
    const login = await fakeSsh(SHARES);
    await ask(login);
    const [lost] = await calls();
    const before = await login.command();
    process.kill(lost?.pid ?? 0, 'SIGKILL');
    // Its folder goes a moment before its end is heard of here.
    await expect.poll(() => login.command()).not.toEqual(before);
    expect(await ask(login)).toBe('here');
    expect(await readdir(temporary())).toHaveLength(1);
    expect(await ways()).toEqual(['yes', 'no', 'yes', 'no']);
  });

  it('may print words of its own before, and its socket may lie below any folder', async () => {
    vi.stubEnv('TMPDIR', path.join(temporary(), `it's 100% "ours"`));
    await mkdir(process.env.TMPDIR ?? '');
    const login = await fakeSsh(`echo 'Welcome to lab7'\n${SHARES}`);
    const [, ...args] = await login.command();
    expect(args.join(' ')).toMatch(/ControlPath=".*\/it's 100%% \\"ours\\"\/sevh-ssh-login-\w+\/s"/);
  });
});

describe('an ssh that cannot share a login', () => {
  it.each([
    ['because it knows no such option', 'if [ "$way" ]; then echo "unknown option -o" >&2; exit 1; fi', 'alone'],
    ['because it takes no notice of it', '', 'alone'],
    ['because it is not there', undefined, undefined],
  ])('%s: logs in for each command, and tries it once only', async (_, before, way) => {
    const login = await fakeSsh(before ?? '');
    if (before === undefined) await rm(ssh);
    const asked = [await ask(login), await ask(login)];
    expect(await readdir(temporary())).toEqual([]);
    if (way === undefined) return;
    expect(asked).toEqual(['here', 'here']);
    expect(await ways()).toEqual(['yes', way, way]);
    const [tried] = await calls();
    expect(await isRunning(tried?.pid ?? 0)).toBe(false);
  });
});

describe('a process that is gone without closing its login', () => {
  it.each<NodeJS.Signals>(['SIGKILL', 'SIGINT'])('%s: leaves no login and no folder', async (signal) => {
    await fakeSsh(SHARES);
    const module = path.resolve(import.meta.dirname, '../../dist/harness/host/ssh-login.js');
    const program = `import { sharedLogin } from ${JSON.stringify(module)};
await sharedLogin(${JSON.stringify(ssh)}, []).command();
console.log('logged in');
setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    try {
      await once(child.stdout, 'data');
      const [master] = await calls();
      expect(await isRunning(master?.pid ?? 0)).toBe(true);
      expect(await readdir(temporary())).toHaveLength(1);
    } finally {
      child.kill(signal);
      await ended;
    }
    const [master] = await calls();
    await expect.poll(() => readdir(temporary())).toEqual([]);
    expect(await isRunning(master?.pid ?? 0)).toBe(false);
  });

  it('can end by itself', async () => {
    await fakeSsh(SHARES);
    const module = path.resolve(import.meta.dirname, '../../dist/harness/host/ssh-login.js');
    const program = `import { sharedLogin } from ${JSON.stringify(module)};
await sharedLogin(${JSON.stringify(ssh)}, []).command();`;
    const ended = await execa(process.execPath, ['--input-type=module', '--eval', program]);
    expect(ended.exitCode).toBe(0);
    await expect.poll(() => readdir(temporary())).toEqual([]);
  });
});

describe('a process that cannot start another', () => {
  it('because it has too many files open: has no shared login, leaves no folder, and goes on when it has fewer', async () => {
    await fakeSsh(SHARES);
    const module = path.resolve(import.meta.dirname, '../../dist/harness/host/ssh-login.js');
    const program = `import { closeSync, openSync } from 'node:fs';
import { sharedLogin } from ${JSON.stringify(module)};
const login = sharedLogin(${JSON.stringify(ssh)}, ['--', 'lab7']);
const files = [];
try { for (;;) files.push(openSync('/dev/null')); } catch {}
await login.command();
for (const file of files) closeSync(file);
console.log(...await login.command());
await login.close();`;
    const words = ['-c', 'ulimit -n 100; exec "$0" "$@"', process.execPath, '--input-type=module', '--eval', program];
    const ended = await execa('sh', words, { reject: false });
    expect([ended.stdout, ended.stderr]).toEqual([`${ssh} -- lab7`, '']);
    expect(await readdir(temporary())).toEqual([]);
  });
});
