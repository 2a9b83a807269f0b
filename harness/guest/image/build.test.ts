import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { execa } from 'execa';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { currentOwner } from '../ownership.ts';
import { compileAgent, readAgentSource, staticLibrary } from './agent.ts';
import { buildInitrd, prepareImage } from './build.ts';
import { testKernel, testModule } from './testing/files.ts';
import { sweepWorkplaces } from './workplace.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'sevh-image-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** A kernel with one module, below a folder. */
async function putKernel(below: string, version = '1.2.3'): Promise<string> {
  const kernel = path.join(below, 'boot/vmlinuz');
  const modules = path.join(below, 'lib/modules', version, 'kernel');
  await mkdir(path.dirname(kernel), { recursive: true });
  await mkdir(modules, { recursive: true });
  await writeFile(kernel, testKernel(version));
  await writeFile(path.join(modules, 'msr.ko'), testModule(''));
  return kernel;
}

const hasTools = existsSync('/bin/busybox') && ['/usr/bin/cc', '/bin/cc'].some((file) => existsSync(file));

describe('an initramfs', () => {
  it('holds first process, agent, busybox, console and modules in the order of loading', async () => {
    const source = await readAgentSource();
    const parts = { agent: Buffer.from('agent'), busybox: Buffer.from('busybox'), source };
    const modules = [
      { name: 'virtio', bytes: testModule('') },
      { name: 'msr', bytes: testModule('') },
    ];
    const text = gunzipSync(buildInitrd({ ...parts, modules })).toString('latin1');
    const names = [...text.matchAll(/070701[0-9a-f]{104}([^\0]+)\0/g)].map(([, name]) => name);
    expect(names).toEqual([
      'bin',
      'dev',
      'dev/console',
      'modules',
      'init',
      'bin/agent',
      'bin/busybox',
      'modules/00-virtio.ko',
      'modules/01-msr.ko',
      'TRAILER!!!',
    ]);
    expect(text).toContain('#!/bin/busybox sh\n');
  });
});

describe.skipIf(!hasTools)('a guest image', () => {
  it('is built whole by several who ask at once, and nothing unfinished stays', async () => {
    const kernel = await putKernel(root);
    const folder = path.join(root, 'images');
    const images = await Promise.all([1, 2, 3].map(() => prepareImage({ kernel, folder })));
    expect(new Set(images.map((image) => image.digestHex)).size).toBe(1);
    for (const file of ['initrd.gz', 'disk.raw', 'vmlinuz-1.2.3'])
      expect((await stat(path.join(path.dirname(images[0]?.initrd ?? ''), file))).isFile()).toBe(true);
    expect(await readdir(folder)).toHaveLength(1);
  });

  it('has the same bytes wherever and whenever it is built from the same inputs', async () => {
    const build = async (place: string) => {
      const kernel = await putKernel(path.join(root, place));
      await utimes(kernel, place.length, place.length);
      return prepareImage({ kernel, folder: path.join(root, place, 'images') });
    };
    const [one, two] = [await build('a'), await build('somewhere/else')];
    expect(two.digestHex).toBe(one.digestHex);
    for (const file of ['kernel', 'initrd', 'disk'] as const) {
      expect((await readFile(two[file])).equals(await readFile(one[file]))).toBe(true);
    }
  });

  it('has the same bytes from whichever folder the harness itself is run', async () => {
    const [kernel, there] = [await putKernel(root), path.join(root, 'another/checkout')];
    await cp('dist', path.join(there, 'dist'), { recursive: true });
    await cp('harness/guest/image/agent', path.join(there, 'harness/guest/image/agent'), { recursive: true });
    await cp('package.json', path.join(there, 'package.json'));
    await symlink(path.resolve('node_modules'), path.join(there, 'node_modules'));
    const build = async (checkout: string, images: string) => {
      const module = pathToFileURL(path.join(checkout, 'dist/harness/guest/image/build.js')).href;
      const options = JSON.stringify({ kernel, folder: path.join(root, images) });
      const program = `import { prepareImage } from '${module}'; console.log(JSON.stringify(await prepareImage(${options})));`;
      const { stdout } = await execa(process.execPath, ['--input-type=module', '-e', program]);
      return JSON.parse(stdout) as Awaited<ReturnType<typeof prepareImage>>;
    };
    const [one, two] = [await build(process.cwd(), 'a'), await build(there, 'b')];
    expect(two.digestHex).toBe(one.digestHex);
    expect((await readFile(two.initrd)).equals(await readFile(one.initrd))).toBe(true);
  });

  it('carries an agent without what is for debuggers, and without a path of this machine', async () => {
    const source = await readAgentSource();
    const agent = Buffer.from(await compileAgent(source, root));
    expect(agent.subarray(0, 4).toString('latin1')).toBe('\x7fELF');
    // Names of sections stand in the file as text.
    expect(agent.includes('\0.text\0')).toBe(true);
    expect(['.symtab', '.debug_', root, source.folder].filter((words) => agent.includes(words))).toEqual([]);
  });

  it('is another with another C library, which the agent carries in itself, and the same wherever that lies', async () => {
    const kernel = await putKernel(root);
    const { PATH = '' } = process.env;
    const libraries = { same: path.join(root, 'copy.a'), other: path.join(root, 'other.a') };
    await writeFile(libraries.same, await staticLibrary());
    await writeFile(libraries.other, 'another libc');
    const digestWith = async (library: string) => {
      const bin = path.join(root, path.basename(library, '.a'));
      await mkdir(bin);
      const words = `#!/bin/sh\ncase "$*" in *-print-file-name=libc.a*) echo '${library}';; *) PATH='${PATH}'; exec cc "$@";; esac\n`;
      await writeFile(path.join(bin, 'cc'), words, { mode: 0o755 });
      process.env.PATH = `${bin}:${PATH}`;
      try {
        return (await prepareImage({ kernel, folder: path.join(root, 'images') })).digestHex;
      } finally {
        process.env.PATH = PATH;
      }
    };
    const { digestHex } = await prepareImage({ kernel, folder: path.join(root, 'images') });
    expect(await digestWith(libraries.same)).toBe(digestHex);
    expect(await digestWith(libraries.other)).not.toBe(digestHex);
  });

  it('is built once, and anew when an input changes', async () => {
    const kernel = await putKernel(root);
    const folder = path.join(root, 'images');
    const first = await prepareImage({ kernel, folder });
    const { ino } = await stat(first.initrd);
    expect(await prepareImage({ kernel, folder })).toEqual(first);
    expect((await stat(first.initrd)).ino).toBe(ino);
    await writeFile(path.join(root, 'lib/modules/1.2.3/kernel/msr.ko'), testModule('', 'changed'));
    expect((await prepareImage({ kernel, folder })).digestHex).not.toBe(first.digestHex);
    expect(await readdir(folder)).toHaveLength(2);
  });

  it('can be read by the user under whom a system libvirtd runs QEMU', async () => {
    const image = await prepareImage({ kernel: await putKernel(root), folder: path.join(root, 'images') });
    for (const file of [image.kernel, image.initrd, image.disk]) {
      expect((await stat(file)).mode & 0o444).toBe(0o444);
      expect((await stat(path.dirname(file))).mode & 0o055).toBe(0o055);
    }
    expect((await stat(image.disk)).size).toBe(64 * 1024 * 1024);
  });

  it('is made whole again whatever of it is missing, empty, cut off or damaged', async () => {
    const [kernel, folder] = [await putKernel(root), path.join(root, 'images')];
    const image = await prepareImage({ kernel, folder });
    const damage: [string, (whole: Buffer) => Uint8Array | undefined][] = [
      [image.kernel, () => undefined],
      [image.kernel, (whole) => whole.fill(1, 0, 100)],
      [image.initrd, () => new Uint8Array()],
      [image.initrd, (whole) => whole.fill(0, 1000, 1100)],
      // Guests may write to it: its size counts alone.
      [image.disk, (whole) => whole.subarray(1)],
    ];
    for (const [file, damaged] of damage) {
      const whole = await readFile(file);
      const bytes = damaged(Buffer.from(whole));
      await (bytes === undefined ? rm(file) : writeFile(file, bytes));
      expect(await prepareImage({ kernel, folder })).toEqual(image);
      expect((await readFile(file)).equals(whole)).toBe(true);
    }
  });

  it('can be read by that user under any umask', async () => {
    const module = pathToFileURL(path.resolve('dist/harness/guest/image/build.js')).href;
    const options = JSON.stringify({ kernel: await putKernel(root), folder: path.join(root, 'images') });
    const program = `import { prepareImage } from '${module}'; await prepareImage(${options});`;
    await execa('sh', ['-c', 'umask 077; exec "$0" --input-type=module -e "$1"', process.execPath, program]);
    for (const name of await readdir(path.join(root, 'images'), { recursive: true }))
      expect((await stat(path.join(root, 'images', name))).mode & 0o044).toBe(0o044);
    expect((await stat(path.join(root, 'images'))).mode & 0o055).toBe(0o055);
  });

  it('leaves nothing half done in its folder, which must be one', async () => {
    const folder = path.join(root, 'images');
    await writeFile(folder, 'a file');
    await expect(prepareImage({ kernel: await putKernel(root), folder })).rejects.toMatchObject({
      code: 'GUEST_IMAGE_FOLDER',
      message: expect.stringMatching(/^guest images cannot be kept in .*images: /),
    });
    await rm(folder);
    const nowhere = prepareImage({ kernel: path.join(root, 'boot/vmlinuz'), folder: '/proc/sevh/images' });
    await expect(nowhere).rejects.toMatchObject({ code: 'GUEST_IMAGE_FOLDER' });
    await prepareImage({ kernel: path.join(root, 'boot/vmlinuz'), folder });
    const [digest = ''] = await readdir(folder);
    expect((await readdir(path.join(folder, digest))).toSorted()).toEqual(['disk.raw', 'initrd.gz', 'vmlinuz-1.2.3']);
  });
});

describe('what a build leaves', () => {
  it('is nothing when it fails', async () => {
    const kernel = await putKernel(root);
    const folder = path.join(root, 'images');
    const { initrd } = await prepareImage({ kernel, folder });
    await rm(path.dirname(initrd), { recursive: true });
    // A file where the finished image is to stand, which no folder can take the place of.
    await writeFile(path.dirname(initrd), '');
    await expect(prepareImage({ kernel, folder })).rejects.toMatchObject({ code: 'GUEST_IMAGE_FOLDER' });
    expect(await readdir(folder)).toEqual([path.basename(path.dirname(initrd))]);
  });

  it('is removed by the next build when it was killed, and stays while it is alive or says nothing', async () => {
    const folder = path.join(root, 'images');
    const place = async (name: string, owner: object | undefined) => {
      await mkdir(path.join(folder, name), { recursive: true });
      if (owner !== undefined) await writeFile(path.join(folder, name, 'owner.json'), JSON.stringify(owner));
    };
    const alive = currentOwner('');
    await place('unfinished-dead', { ...alive, startTicks: '1' });
    await place('unfinished-alive', alive);
    await place('unfinished-elsewhere', { ...alive, place: 'another boot' });
    await place('unfinished-new', undefined);
    const { initrd } = await prepareImage({ kernel: await putKernel(root), folder });
    expect((await readdir(folder)).toSorted()).toEqual(
      [path.basename(path.dirname(initrd)), 'unfinished-alive', 'unfinished-elsewhere', 'unfinished-new'].toSorted(),
    );
  });

  it('that does not say whose it is stays while that may still be written, and goes when it is old', async () => {
    const names = ['unfinished-new', 'unfinished-old', 'unfinished-old-cut-off', 'finished-old'];
    for (const name of names) await mkdir(path.join(root, name));
    await writeFile(path.join(root, 'unfinished-old-cut-off', 'owner.json'), '{"runId":"');
    for (const name of names.slice(1)) await utimes(path.join(root, name), 1_000_000_000, 1_000_000_000);
    expect((await sweepWorkplaces(root)).toSorted()).toEqual(names.slice(1, 3).map((name) => path.join(root, name)));
    expect((await readdir(root)).toSorted()).toEqual(['finished-old', 'unfinished-new']);
  });
});

it('without a compiler says which package has one', async () => {
  const [kernel, { PATH }] = [await putKernel(root), process.env];
  await mkdir(path.join(root, 'empty'));
  await chmod(path.join(root, 'empty'), 0o700);
  process.env.PATH = path.join(root, 'empty');
  try {
    await expect(prepareImage({ kernel, folder: path.join(root, 'images') })).rejects.toMatchObject({
      code: 'GUEST_IMAGE_TOOL',
      kind: 'environment',
      message: expect.stringMatching(
        /^a guest image cannot be built: this machine has no (cc|statically linked busybox)/,
      ),
      hint: expect.stringMatching(/^On Debian: apt-get install /),
    });
  } finally {
    process.env.PATH = PATH;
  }
});
