import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';

/** A real sshd of our own on 127.0.0.1, with its own keys, into which root logs in, also for another user. */
export interface Sshd extends AsyncDisposable {
  readonly port: number;
  /** Private keys: one whose commands run as root, one whose commands run as the other user, one that it does not accept. */
  readonly rootKey: string;
  readonly userKey: string;
  readonly refusedKey: string;
  /** File with its host key, and one with another key for the same address. */
  readonly knownHosts: string;
  readonly wrongKnownHosts: string;
  /** How many logins it has let in. */
  logins(): number;
  /** Ends every login session at once, as a lost network does; later logins work. Returns how many there were. */
  cut(): Promise<number>;
}

const PRIVILEGE_SEPARATION_FOLDER = '/run/sshd';
const READY_POLLS = 200;

interface SshdOptions {
  readonly environment: Readonly<Record<string, string>>;
  /** Who `userKey` stands for; may be somebody without a login shell. */
  readonly user: { readonly uid: number; readonly gid: number };
  /** More lines of sshd_config(5). */
  readonly config?: readonly string[];
}

/** Starts sshd with these variables in the environment of its logins. Needs root and Debian's openssh-server. */
export async function startSshd({ environment, user, config = [] }: SshdOptions): Promise<Sshd> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sevh-sshd-'));
  const place = (name: string) => path.join(folder, name);
  await chmod(folder, 0o755);
  for (const name of ['host', 'other-host', 'root', 'user', 'refused'])
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', place(name)]);
  const port = await freePort();
  const publicKey = async (name: string) => (await readFile(place(`${name}.pub`), 'utf8')).trim();
  const asUser = `exec setpriv --reuid ${user.uid} --regid ${user.gid} --clear-groups sh -c \\"$SSH_ORIGINAL_COMMAND\\"`;
  const keys = [await publicKey('root'), `command="${asUser}" ${await publicKey('user')}`];
  await writeFile(place('authorized'), keys.join('\n'));
  await writeFile(place('known'), `[127.0.0.1]:${port} ${await publicKey('host')}\n`);
  await writeFile(place('wrong-known'), `[127.0.0.1]:${port} ${await publicKey('other-host')}\n`);
  // A bash below another one reads no start-up files for a command through ssh: root's on this machine may be slow.
  const variables = Object.entries({ SHLVL: '1', ...environment }).map(([name, value]) => `"${name}=${value}"`);
  await writeFile(
    place('config'),
    [
      `Port ${port}`,
      'ListenAddress 127.0.0.1',
      `HostKey ${place('host')}`,
      'PidFile none',
      `AuthorizedKeysFile ${place('authorized')}`,
      // The folder lies in /tmp, which everybody may write.
      'StrictModes no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin prohibit-password',
      'UsePAM no',
      `SetEnv ${variables.join(' ')}`,
      ...config,
    ].join('\n'),
  );
  const madeFolder = await mkdir(PRIVILEGE_SEPARATION_FOLDER, { mode: 0o755 }).then(
    () => true,
    () => false,
  );
  const daemon = execa('/usr/sbin/sshd', ['-D', '-e', '-f', place('config')], { reject: false, stdin: 'ignore' });
  let logins = 0;
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
    logins += text.match(/^Accepted publickey /gm)?.length ?? 0;
  });
  const close = async () => {
    await endSessions(daemon.pid);
    daemon.kill('SIGTERM');
    await daemon;
    await rm(folder, { recursive: true, force: true });
    if (madeFolder) await rmdir(PRIVILEGE_SEPARATION_FOLDER);
  };
  try {
    await untilListening(daemon, port);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    port,
    rootKey: place('root'),
    userKey: place('user'),
    refusedKey: place('refused'),
    knownHosts: place('known'),
    wrongKnownHosts: place('wrong-known'),
    logins: () => logins,
    cut: () => endSessions(daemon.pid),
    [Symbol.asyncDispose]: close,
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Asks the kernel's table: a probe that connects would itself be a login that fails. */
async function untilListening(daemon: { exitCode: number | null; stderr: NodeJS.ReadableStream }, port: number) {
  const wanted = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 0A`;
  for (let poll = 0; poll < READY_POLLS; poll++) {
    if ((await readFile('/proc/net/tcp', 'utf8')).includes(wanted)) return;
    if (daemon.exitCode !== null) break;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`sshd does not listen: ${daemon.stderr.read()}`);
}

/** Kills the daemon's children, one for each login, by their pids. */
async function endSessions(daemonPid: number | undefined): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const parents = await Promise.all(
    pids.map(async (pid) => {
      const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
      return Number(/^PPid:\t(\d+)$/m.exec(status)?.[1]);
    }),
  );
  const sessions = pids.filter((_, index) => parents[index] === daemonPid).map(Number);
  for (const pid of sessions) process.kill(pid, 'SIGKILL');
  return sessions.length;
}
