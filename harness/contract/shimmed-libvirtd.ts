import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const READY_WITHIN_MS = 30_000;
const POLL_MS = 50;
/** Where the shim keeps its socket, log and key when nobody moves it. */
const SHIM_FOLDER = '/run/qemu-sev-shim';
/** What a libvirtd needs for SEV guests on a machine without /dev/sev, and without virtlogd. */
const QEMU_CONF = `stdio_handler = "file"
cgroup_controllers = []
namespaces = []
seccomp_sandbox = 0
`;

export interface ShimmedLibvirtd extends AsyncDisposable {
  readonly uri: string;
  /** Files that its guests may be given. */
  readonly folder: string;
}

/**
 * A session libvirtd of its own, of the user who owns `likeSocket`, whose QEMU is a man in the middle that believes in
 * SEV. Its guests run under TCG and nothing is encrypted: it is there for libvirt's words.
 */
export async function startShimmedLibvirtd(shim: string, likeSocket: string): Promise<ShimmedLibvirtd> {
  const { uid, gid } = statSync(likeSocket);
  const folder = mkdtempSync(path.join(tmpdir(), 'sevh-shim-'));
  const place = (name: string) => path.join(folder, name);
  for (const name of ['run', 'config', 'config/libvirt', 'cache', 'data', 'home', 'shim', 'bin', 'files']) {
    mkdirSync(place(name), { mode: 0o700 });
    chownSync(place(name), uid, gid);
  }
  chownSync(folder, uid, gid);
  writeFileSync(place('config/libvirt/qemu.conf'), QEMU_CONF, { mode: 0o644 });
  writeFileSync(place('shim/tik.bin'), randomBytes(16), { mode: 0o644 });
  const program = readFileSync(shim, 'utf8').replaceAll(SHIM_FOLDER, place('shim'));
  writeFileSync(place('bin/qemu-system-x86_64'), program, { mode: 0o755 });
  chownSync(place('bin/qemu-system-x86_64'), uid, gid);
  const daemon = spawn('libvirtd', ['--pid-file', place('run/libvirtd.pid')], {
    cwd: '/',
    uid,
    gid,
    stdio: 'ignore',
    env: {
      PATH: `${place('bin')}:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: place('home'),
      XDG_RUNTIME_DIR: place('run'),
      XDG_CONFIG_HOME: place('config'),
      XDG_CACHE_HOME: place('cache'),
      XDG_DATA_HOME: place('data'),
      LC_ALL: 'C',
    },
  });
  const stop = async () => {
    if (daemon.exitCode === null && daemon.signalCode === null) {
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await ended;
    }
    endProcessesOf(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const socket = place('run/libvirt/libvirt-sock');
  try {
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await answers(socket))) {
      if (daemon.exitCode !== null || Date.now() > deadline) throw new Error(`libvirtd behind ${shim} does not listen`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { uri: `qemu+unix:///session?socket=${socket}`, folder: place('files'), [Symbol.asyncDispose]: stop };
}

/** Guests outlive their libvirtd: what was started from the folder is found by it, and ended one by one. */
function endProcessesOf(folder: string): void {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${folder}/`)) continue;
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It ended by itself in the meantime.
    }
  }
}

function answers(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}
