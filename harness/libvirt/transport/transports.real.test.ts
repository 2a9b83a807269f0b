import { chmod, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { dir } from 'tmp-promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../index.ts';

const runtimeDirectory = process.env.SEV_HARNESS_REAL_SESSION ?? '';
const socketPath = path.join(runtimeDirectory, 'libvirt/libvirt-sock');
let folder: { path: string; cleanup(): Promise<void> };
let fakeSsh: string;

beforeAll(async () => {
  if (runtimeDirectory === '') throw new Error('SEV_HARNESS_REAL_SESSION is not set: run npm run test:real');
  folder = await dir({ unsafeCleanup: true, prefix: 'sevh-ssh-' });
  await chmod(folder.path, 0o755);
  // "The other machine" is this one, logged in as the user whose session the daemon serves.
  const { uid, gid } = await stat(socketPath);
  const login = `setpriv --reuid ${uid} --regid ${gid} --clear-groups env XDG_RUNTIME_DIR='${runtimeDirectory}'`;
  fakeSsh = await script('ssh', `for last; do :; done\nexec ${login} sh -c "$last"`);
});
afterAll(() => folder?.cleanup());

async function script(name: string, body: string): Promise<string> {
  const file = path.join(folder.path, name);
  await writeFile(file, `#!/bin/sh\n${body}\n`);
  await chmod(file, 0o755);
  return file;
}

describe('a real session libvirtd', () => {
  it('is found as qemu:///session where XDG_RUNTIME_DIR says', async () => {
    const before = process.env.XDG_RUNTIME_DIR;
    process.env.XDG_RUNTIME_DIR = runtimeDirectory;
    try {
      await using connection = await connect('qemu:///session');
      expect(await connection.libvirtVersion()).toMatch(/^\d+\.\d+\.\d+$/);
    } finally {
      if (before === undefined) delete process.env.XDG_RUNTIME_DIR;
      else process.env.XDG_RUNTIME_DIR = before;
    }
  });

  it('is reached through ssh and the real virt-ssh-helper', async () => {
    await using connection = await connect(`qemu+ssh://lab7/session?command=${fakeSsh}`);
    expect(await connection.call('connectGetUri', {})).toEqual({ uri: 'qemu:///session' });
    const lookups = Array.from({ length: 50 }, () => connection.hostname());
    expect(new Set(await Promise.all(lookups)).size).toBe(1);
  });

  it('is reached through ssh and a netcat, here socat', async () => {
    const nc = await script('nc', '[ "$*" = -q ] && exit 1\nexec socat - "UNIX-CONNECT:$2"');
    const uri = `qemu+ssh://lab7/session?command=${fakeSsh}&netcat=${nc}&socket=${socketPath}`;
    await using connection = await connect(uri);
    expect(await connection.call('connectGetUri', {})).toEqual({ uri: 'qemu:///session' });
  });

  it('keeps a read-only connection from changing anything', async () => {
    await using connection = await connect(`qemu+unix:///session?socket=${socketPath}`, { readOnly: true });
    const refused = connection.defineDomain("<domain type='qemu'><name>x</name></domain>");
    await expect(refused).rejects.toMatchObject({ remote: { codeName: 'VIR_ERR_OPERATION_DENIED' } });
  });

  it('stays connected while keepalive watches a long call', async () => {
    const keepalive = { intervalMs: 100, count: 3 };
    await using connection = await connect(`qemu+unix:///session?socket=${socketPath}`, { keepalive });
    // The first capability probe of another machine type keeps the daemon busy; PINGs are answered all the same.
    const answers = await Promise.all([
      connection.domainCapabilitiesXml({ virtType: 'qemu', machine: 'pc' }),
      connection.capabilitiesXml(),
    ]);
    expect(answers.map((xml) => xml.slice(0, 5))).toEqual(['<doma', '<capa']);
  });
});
