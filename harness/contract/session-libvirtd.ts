import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';

const READY_WITHIN_MS = 30_000;
const POLL_MS = 50;
/** Without virtlogd a daemon can only let QEMU write its output to a file. */
export const WITHOUT_VIRTLOGD = 'stdio_handler = "file"\n';

/** Where a session libvirtd of its own can run, and listens when it does. */
export interface LibvirtdSession {
  readonly uri: string;
  readonly uid: number;
  readonly gid: number;
  place(name: string): string;
  /** Starts libvirtd, and returns when it listens. Its guests outlive it. */
  start(): Promise<ChildProcess>;
}

/** Makes folders and configuration in `folder` for a libvirtd of the user who owns `likeSocket`; `bin` there is where it looks for programs first. */
export function makeLibvirtdSession(
  folder: string,
  likeSocket: string,
  qemuConf: string = WITHOUT_VIRTLOGD,
): LibvirtdSession {
  const { uid, gid } = statSync(likeSocket);
  const place = (name: string) => path.join(folder, name);
  for (const name of ['', 'run', 'config', 'config/libvirt', 'cache', 'data', 'home', 'bin']) {
    mkdirSync(place(name), { mode: 0o700, recursive: true });
    chownSync(place(name), uid, gid);
  }
  writeFileSync(place('config/libvirt/qemu.conf'), qemuConf, { mode: 0o644 });
  const socket = place('run/libvirt/libvirt-sock');
  const env = {
    PATH: `${place('bin')}:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: place('home'),
    XDG_RUNTIME_DIR: place('run'),
    XDG_CONFIG_HOME: place('config'),
    XDG_CACHE_HOME: place('cache'),
    XDG_DATA_HOME: place('data'),
    LC_ALL: 'C',
  };
  const start = async () => {
    const words = ['--pid-file', place('run/libvirtd.pid')];
    const daemon = spawn('libvirtd', words, { cwd: '/', uid, gid, env, stdio: 'ignore' });
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await answers(socket))) {
      if (daemon.exitCode !== null || Date.now() > deadline) {
        daemon.kill('SIGKILL');
        throw new Error(`libvirtd in ${folder} does not listen`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return daemon;
  };
  return { uri: `qemu+unix:///session?socket=${socket}`, uid, gid, place, start };
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
