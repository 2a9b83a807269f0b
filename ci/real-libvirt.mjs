#!/usr/bin/env node
// Runs the tests that need a real libvirtd (vitest project `real`), or the command that is given, against a session libvirtd
// of an unprivileged user in a temporary folder. Installs what Debian packages it needs. Stops what it started, leaves nothing.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { $ } from 'zx';

const PACKAGES = [
  'libvirt-daemon',
  'libvirt-daemon-driver-qemu',
  'libvirt-clients',
  'libvirt-clients-qemu',
  'python3-libvirt',
  'python3-lxml',
  'python3-cryptography',
  'qemu-system-x86',
  'qemu-utils',
  'ovmf',
  'busybox-static',
  'gcc',
  'libc6-dev',
  'socat',
  'openssh-server',
  'openssh-client',
  'tini',
];
/**
 * libvirt waits until a QEMU that it ends is gone from the table of processes, and not every first process collects the
 * dead at once: in a container many never do.
 */
const COLLECTING_THE_DEAD = ['tini', '-s', '--'];
/** Depends on the kernel for machines of clouds that is current: small, and with the serial console built in. */
const KERNEL_PACKAGE = 'linux-image-cloud-amd64';
const USER = 'sevh-lab';
const READY_WITHIN_MS = 30_000;
const EXIT_UNUSABLE = 2;
const root = fileURLToPath(new URL('..', import.meta.url));

$.quiet = true;

/** @param {string} text */
function say(text) {
  console.error(`real-libvirt: ${text}`);
}

/** @param {string} why @returns {never} */
function refuse(why) {
  say(why);
  process.exit(EXIT_UNUSABLE);
}

async function requireRootOnDebian() {
  if (process.platform !== 'linux')
    refuse(`this is ${process.platform}; the tests against a real libvirtd need Debian Linux`);
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  if (!/^ID(_LIKE)?=.*debian/m.test(release)) {
    refuse('this is not Debian (see /etc/os-release); the tests against a real libvirtd install Debian packages');
  }
  if (process.getuid?.() !== 0) refuse('must run as root: it installs packages and starts a libvirtd as another user');
}

async function installMissing() {
  const missing = [];
  for (const name of PACKAGES) {
    const { stdout } = await $({ nothrow: true })`dpkg-query --status ${name}`;
    if (!/^Status: install ok installed$/m.test(stdout)) missing.push(name);
  }
  if (missing.length === 0) return;
  say(`installing ${missing.join(' ')}`);
  const apt = $({ env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, nothrow: true });
  const update = await apt`apt-get update`;
  const install = await withoutStartingServices(() => apt`apt-get install -y --no-install-recommends ${missing}`);
  if (install.exitCode !== 0) {
    console.error(update.stderr + install.stderr);
    refuse(`apt-get could not install ${missing.join(' ')}`);
  }
}

/**
 * The tests start what they need themselves: no package may begin to listen on this machine (Debian's policy-rc.d says so).
 * @template T @param {() => Promise<T>} install
 */
async function withoutStartingServices(install) {
  const policy = '/usr/sbin/policy-rc.d';
  const written = await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' }).then(
    () => true,
    () => false,
  );
  try {
    return await install();
  } finally {
    if (written) await rm(policy);
  }
}

/** @returns {Promise<{ uid: number, gid: number, created: boolean }>} */
async function labUser() {
  const known = await $({ nothrow: true })`id -u ${USER}`;
  if (known.exitCode !== 0) await $`useradd --system --no-create-home --user-group --shell /usr/sbin/nologin ${USER}`;
  const uid = Number((await $`id -u ${USER}`).stdout);
  const gid = Number((await $`id -g ${USER}`).stdout);
  return { uid, gid, created: known.exitCode !== 0 };
}

/** @param {string} socket @returns {Promise<boolean>} */
function answers(socket) {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

/** @param {number} uid @param {number} gid */
async function startLibvirtd(uid, gid) {
  const folder = await mkdtemp(path.join(tmpdir(), 'sevh-real-'));
  const place = (/** @type {string} */ name) => path.join(folder, name);
  for (const name of ['run', 'config', 'config/libvirt', 'cache', 'data', 'home']) {
    await mkdir(place(name), { mode: 0o700 });
    await chown(place(name), uid, gid);
  }
  // Written by the tests, read by QEMU.
  for (const name of ['kernel', 'images']) await mkdir(place(name), { mode: 0o755 });
  await chown(folder, uid, gid);
  // Without virtlogd a daemon can only let QEMU write its output to a file.
  await writeFile(place('config/libvirt/qemu.conf'), 'stdio_handler = "file"\n', { mode: 0o644 });
  const env = {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: place('home'),
    XDG_RUNTIME_DIR: place('run'),
    XDG_CONFIG_HOME: place('config'),
    XDG_CACHE_HOME: place('cache'),
    XDG_DATA_HOME: place('data'),
    LC_ALL: 'C',
  };
  const [program = '', ...args] = [...COLLECTING_THE_DEAD, 'libvirtd', '--pid-file', place('run/libvirtd.pid')];
  const child = spawn(program, args, {
    cwd: '/',
    uid,
    gid,
    env,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    log = (log + text).slice(-20_000);
  });
  const socket = place('run/libvirt/libvirt-sock');
  return { folder, child, socket, log: () => log, runtime: place('run'), place };
}

/** @typedef {Awaited<ReturnType<typeof startLibvirtd>>} Daemon */

/** @param {Daemon} daemon @param {string} uri */
async function waitUntilReady(daemon, uri) {
  const deadline = Date.now() + READY_WITHIN_MS;
  while (!(await answers(daemon.socket))) {
    if (daemon.child.exitCode !== null || Date.now() > deadline) {
      const how =
        daemon.child.exitCode === null
          ? `did not listen within ${READY_WITHIN_MS} ms`
          : `ended with code ${daemon.child.exitCode}`;
      throw new Error(`libvirtd ${how}; its log:\n${daemon.log()}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // The first look at QEMU's capabilities takes seconds, and is no part of any test.
  await $`virsh -c ${uri} domcapabilities --virttype qemu`;
}

/**
 * A kernel for guests with its modules, unpacked and not installed: installing one would change how this machine boots.
 * @param {string} folder @returns {Promise<string>} its path
 */
async function unpackKernel(folder) {
  const ask = () => $({ nothrow: true })`apt-cache depends ${KERNEL_PACKAGE}`;
  let depends = await ask();
  if (depends.exitCode !== 0) {
    await $`apt-get update`;
    depends = await ask();
  }
  const name = /Depends: (linux-image-\S+)/.exec(depends.stdout)?.[1];
  if (name === undefined) throw new Error(`package ${KERNEL_PACKAGE} depends on no kernel:\n${depends.stdout}`);
  await $({ cwd: folder })`apt-get download ${name}`;
  const [file] = (await readdir(folder)).filter((one) => one.endsWith('.deb'));
  await $({ cwd: folder })`dpkg -x ${file} .`;
  const [kernel] = (await readdir(path.join(folder, 'boot'))).filter((one) => one.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new Error(`package ${name} holds no kernel`);
  return path.join(folder, 'boot', kernel);
}

/** Guests outlive their libvirtd: the ones left are found by their user and our folder, and ended one by one. */
async function endGuests(/** @type {string} */ folder, /** @type {number} */ uid) {
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (!status.includes(`\nUid:\t${uid}\t`) || !commandLine.includes(folder)) continue;
    say(`ending process ${pid}, which a test left behind`);
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It ended by itself in the meantime.
    }
  }
}

/** What there still is of guests, storage pools and leases, each with its kind. @param {Daemon} daemon @param {string} uri */
async function leftBehind(daemon, uri) {
  const listed = async (/** @type {string} */ kind, /** @type {string[]} */ words) =>
    (await $`virsh -c ${uri} ${words}`).stdout
      .split('\n')
      .flatMap((name) => (name.trim() ? [`${kind} ${name.trim()}`] : []));
  const leases = await readdir(daemon.place('leases')).catch(() => []);
  return [
    ...(await listed('guest', ['list', '--all', '--name'])),
    ...(await listed('storage pool', ['pool-list', '--all', '--name'])),
    ...leases.map((name) => `lease ${name}`),
  ];
}

/** @param {Daemon} daemon @param {{ uid: number, created: boolean }} user */
async function stop(daemon, user) {
  if (daemon.child.exitCode === null && daemon.child.signalCode === null) {
    const ended = once(daemon.child, 'exit');
    daemon.child.kill('SIGTERM');
    const impatient = setTimeout(() => daemon.child.kill('SIGKILL'), 10_000);
    await ended;
    clearTimeout(impatient);
  }
  await endGuests(daemon.folder, user.uid);
  await rm(daemon.folder, { recursive: true, force: true, maxRetries: 5 });
  if (user.created) await $({ nothrow: true })`userdel ${USER}`;
}

/** @param {string[]} command @param {NodeJS.ProcessEnv} env @returns {Promise<number>} */
async function run(command, env) {
  const [program = '', ...args] = [...COLLECTING_THE_DEAD, ...command];
  const child = spawn(program, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
  const [code, signal] = await once(child, 'exit');
  return code ?? (signal === 'SIGINT' ? 130 : 1);
}

await requireRootOnDebian();
await installMissing();
const user = await labUser();
const daemon = await startLibvirtd(user.uid, user.gid);
// The command gets Ctrl-C too; we stay to clean up when it has ended.
for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP'])) process.on(signal, () => {});
let exitCode = EXIT_UNUSABLE;
try {
  const uri = `qemu+unix:///session?socket=${daemon.socket}`;
  await waitUntilReady(daemon, uri);
  const vitest = [process.execPath, path.join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--project', 'real'];
  // Under the zx command our own name is one of its arguments.
  const self = process.argv.findIndex((word) => path.resolve(word) === fileURLToPath(import.meta.url));
  const given = process.argv.slice(self + 1);
  // SEV_HARNESS_REAL_SESSION is the XDG_RUNTIME_DIR under which plain qemu:///session finds this daemon.
  const isTest = given.length === 0;
  const env = {
    SEV_HARNESS_REAL_URI: uri,
    SEV_HARNESS_REAL_SESSION: daemon.runtime,
    // This daemon is nobody else's host.
    SEV_HARNESS_LEASES: path.join(daemon.folder, 'leases'),
    SEV_HARNESS_KERNEL: process.env.SEV_HARNESS_KERNEL ?? (await unpackKernel(daemon.place('kernel'))),
    SEV_HARNESS_IMAGES: daemon.place('images'),
  };
  exitCode = await run(isTest ? vitest : given, env);
  // What a killed run left outside of our folder would outlive this daemon, which alone knows of it.
  if (!isTest) await run([process.execPath, path.join(root, 'dist/harness/cli/main.js'), 'reap', '--host', uri], env);
  const left = isTest ? await leftBehind(daemon, uri) : [];
  if (left.length > 0) {
    say(`the tests left behind ${left.join(', ')}`);
    exitCode ||= 1;
  }
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
} finally {
  await stop(daemon, user);
}
process.exit(exitCode);
