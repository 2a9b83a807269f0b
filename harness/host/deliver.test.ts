import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deliverFiles } from './deliver.ts';
import { shellOf } from './shell.ts';

let root: string;
let there: string;
let kernel: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'sevh-deliver-'));
  there = path.join(root, "it's there");
  kernel = path.join(root, 'vmlinuz-1 2');
  await writeFile(kernel, Buffer.from([0, 1, 2, 255, 10, 13]));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** A host behind an ssh that runs the command here, and notes that it was called. */
async function hostBehindSsh(script = 'exec sh -c "$last"') {
  const command = path.join(root, 'ssh');
  await writeFile(
    command,
    `#!/bin/sh\nfor last; do :; done\necho call >>'${root}/calls'\nexport SEV_HARNESS_IMAGES='${there.replaceAll("'", `'\\''`)}'\n${script}\n`,
  );
  await chmod(command, 0o755);
  const name = `qemu+ssh://root@lab/system?command=${encodeURIComponent(command)}`;
  return { name, shell: shellOf(name) };
}

const calls = async () => (await readFile(path.join(root, 'calls'), 'utf8')).split('\n').length - 1;

it('files are named as they are where the host is this machine', async () => {
  const host = { name: 'qemu:///system', shell: shellOf('qemu:///system') };
  expect(await deliverFiles(host, 'abc', [{ path: kernel }])).toEqual([kernel]);
});

it('files get behind ssh byte for byte, readable for QEMU, and are sent once', async () => {
  const host = await hostBehindSsh();
  const files = [{ path: kernel }, { path: path.join(root, 'disk.raw'), zeroBytes: 1 << 20 }];
  const [sent = '', disk = ''] = await deliverFiles(host, 'abc', files);
  expect([sent, disk]).toEqual([path.join(there, 'abc/vmlinuz-1 2'), path.join(there, 'abc/disk.raw')]);
  expect((await readFile(sent)).equals(await readFile(kernel))).toBe(true);
  expect((await stat(sent)).mode & 0o777).toBe(0o644);
  expect((await stat(disk)).size).toBe(1 << 20);
  const before = await calls();
  expect(await deliverFiles(host, 'abc', files)).toEqual([sent, disk]);
  expect((await calls()) - before).toBe(1);
});

it('a folder that is a link to elsewhere is not written to', async () => {
  const host = await hostBehindSsh();
  await mkdir(path.join(root, 'elsewhere'));
  await symlink(path.join(root, 'elsewhere'), there);
  await expect(deliverFiles(host, 'abc', [{ path: kernel }])).rejects.toMatchObject({
    code: 'HOST_SHELL',
    message: `files cannot be brought to ${host.name}: the folder there belongs to somebody else`,
  });
});

it('a file of which the line brought a part only does not appear, and nothing else of it stays', async () => {
  const host = await hostBehindSsh(
    'case $(echo "$last" | sed "s/.*(echo //; s/ |.*//" | base64 -d) in *"cat >"*) head -c 3 | sh -c "$last";; *) exec sh -c "$last";; esac',
  );
  await expect(deliverFiles(host, 'abc', [{ path: kernel }])).rejects.toMatchObject({
    code: 'HOST_SHELL',
    message: `files cannot be brought to ${host.name}: vmlinuz-1 2 did not arrive whole`,
  });
  expect(await readdir(path.join(there, 'abc'))).toEqual([]);
});

it('what ssh says against it is in the error', async () => {
  const host = await hostBehindSsh('echo "Permission denied (publickey)." >&2; exit 255');
  await expect(deliverFiles(host, 'abc', [{ path: kernel }])).rejects.toMatchObject({
    code: 'HOST_SHELL',
    message: `files cannot be brought to ${host.name}: Permission denied (publickey).`,
  });
});

it('over TCP there is no way', async () => {
  const host = { name: 'qemu+tcp://lab/system', shell: shellOf('qemu+tcp://lab/system') };
  await expect(deliverFiles(host, 'abc', [{ path: kernel }])).rejects.toMatchObject({ code: 'HOST_SHELL' });
});
