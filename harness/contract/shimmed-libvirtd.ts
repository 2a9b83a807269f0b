import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { makeLibvirtdSession, WITHOUT_VIRTLOGD } from './session-libvirtd.ts';

/** Where the shim keeps its socket, log and key when nobody moves it. */
const SHIM_FOLDER = '/run/qemu-sev-shim';
/** What a libvirtd needs for SEV guests on a machine without /dev/sev. */
const QEMU_CONF = `${WITHOUT_VIRTLOGD}cgroup_controllers = []
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
  const folder = mkdtempSync(path.join(tmpdir(), 'sevh-shim-'));
  const { uri, uid, gid, place, start } = makeLibvirtdSession(folder, likeSocket, QEMU_CONF);
  for (const name of ['shim', 'files']) {
    mkdirSync(place(name), { mode: 0o700 });
    chownSync(place(name), uid, gid);
  }
  writeFileSync(place('shim/tik.bin'), randomBytes(16), { mode: 0o644 });
  const program = readFileSync(shim, 'utf8').replaceAll(SHIM_FOLDER, place('shim'));
  writeFileSync(place('bin/qemu-system-x86_64'), program, { mode: 0o755 });
  chownSync(place('bin/qemu-system-x86_64'), uid, gid);
  let daemon: ChildProcess | undefined;
  const stop = async () => {
    if (daemon !== undefined && daemon.exitCode === null && daemon.signalCode === null) {
      const ended = once(daemon, 'exit');
      daemon.kill('SIGTERM');
      await ended;
    }
    endProcessesOf(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    daemon = await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { uri, folder: place('files'), [Symbol.asyncDispose]: stop };
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
