import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { optionQuoted } from '../libvirt/transport/ssh.ts';

/** The way to a host's command line through ssh. */
export interface SshLogin {
  /** Program, and all of its arguments but the last, which is the command for the other side. */
  command(): Promise<readonly [program: string, ...args: string[]]>;
  /** Logs out where commands shared one login; they go on one by one. */
  close(): Promise<void>;
}

const SOCKET = 's';
const READY = 'sevh-shared-login';
/** Says when it is there, and stays until its input ends: also when nobody is left who could close it. */
const STAY = `exec sh -c 'echo ${READY}; exec cat >/dev/null'`;
/** Takes the folder of the socket with it when it ends, however this process ended. */
const TIDY = '"$@"; rm -rf -- "$0"';
const READY_WITHIN_MS = 30_000;
const LOGOUT_WITHIN_MS = 2000;
/** A line that is dead is noticed as that of libvirt is. */
const ALIVE = ['-o', 'ServerAliveInterval=5', '-o', 'ServerAliveCountMax=5'];

type Master = ChildProcessByStdio<Writable, Readable, null>;

/**
 * One login that all commands share (ssh_config(5), ControlMaster), from the first command on until it is closed.
 *
 * `base` are the arguments up to and with the host. An ssh that knows no sharing, and a host that does not allow it, get a
 * login for each command, as the program itself does when the shared one is gone.
 */
export function sharedLogin(program: string, base: readonly string[]): SshLogin {
  let folder: Promise<string | undefined> | undefined;
  let master: Master | undefined;
  let isClosed = false;

  const logIn = async (): Promise<string | undefined> => {
    const place = await mkdtemp(path.join(tmpdir(), 'sevh-ssh-login-')).catch(() => undefined);
    if (place === undefined) return undefined;
    const options = ['-o', 'ControlMaster=yes', '-o', 'ControlPersist=no', ...controlPath(place), ...ALIVE];
    const child = spawn('sh', ['-c', TIDY, place, program, ...options, ...base, STAY], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // A process group of its own: Ctrl-C must not end what cleaning up needs.
      detached: true,
      env: { ...process.env, LC_ALL: 'C' },
    });
    child.on('error', () => {});
    if (child.pid === undefined) {
      // Not even `sh` can be started: whoever runs the program itself hears why.
      await rm(place, { recursive: true, force: true });
      return undefined;
    }
    master = child;
    const isShared = (await saysReady(child)) && existsSync(path.join(place, SOCKET));
    if (!isShared) {
      await logOut(child, place);
      return undefined;
    }
    // The next command after a lost line tries it again.
    child.once('exit', () => {
      folder = undefined;
    });
    letGo(child);
    return place;
  };

  return {
    command: async () => {
      if (!isClosed) folder ??= logIn();
      const place = isClosed ? undefined : await folder;
      const shared = place === undefined ? [] : ['-o', 'ControlMaster=no', ...controlPath(place)];
      return [program, ...shared, ...base];
    },
    close: async () => {
      isClosed = true;
      const place = await folder;
      if (master !== undefined && place !== undefined) await logOut(master, place);
    },
  };
}

function controlPath(folder: string): string[] {
  return ['-o', `ControlPath=${optionQuoted(path.join(folder, SOCKET))}`];
}

/** A login shell may print words of its own first. */
function saysReady(child: Master): Promise<boolean> {
  return new Promise((resolve) => {
    let printed = '';
    const impatient = setTimeout(() => resolve(false), READY_WITHIN_MS);
    const settle = (isReady: boolean) => {
      clearTimeout(impatient);
      resolve(isReady);
    };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      if (printed.includes(READY)) settle(true);
    });
    child.stdin.on('error', () => {});
    child.once('exit', () => settle(false));
  });
}

/** Lets this process end although nobody closed the login: its end is the end of the login's input. */
function letGo(child: Master): void {
  child.unref();
  for (const stream of [child.stdin, child.stdout]) if (stream instanceof Socket) stream.unref();
}

async function logOut(child: Master, folder: string): Promise<void> {
  child.ref();
  child.stdin.end();
  if (child.exitCode === null && child.signalCode === null) {
    await new Promise<void>((resolve) => {
      const impatient = setTimeout(() => endGroup(child.pid), LOGOUT_WITHIN_MS);
      child.once('exit', () => {
        clearTimeout(impatient);
        resolve();
      });
    });
  }
  await rm(folder, { recursive: true, force: true });
}

/** The shell that waits, and the ssh that hangs. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}
