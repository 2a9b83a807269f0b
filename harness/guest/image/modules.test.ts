import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readModules } from './modules.ts';
import { testModule } from './testing/files.ts';

let root: string;
const kernel = () => path.join(root, 'boot/vmlinuz-1.2.3');

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'sevh-modules-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function put(file: string, bytes: Uint8Array): Promise<void> {
  const target = path.join(root, 'lib/modules/1.2.3/kernel', file);
  await mkdir(path.dirname(target), { recursive: true });
  await writeFile(target, bytes);
}

const names = async () => (await readModules(kernel(), '1.2.3')).map(({ name }) => name);

describe('the modules of a kernel', () => {
  it('come after what they depend on, each once', async () => {
    await put('drivers/virtio/virtio.ko', testModule('virtio_ring'));
    await put('drivers/virtio/virtio_ring.ko', testModule(''));
    await put('drivers/virtio/virtio_pci.ko', testModule('virtio,virtio_ring,built_in'));
    await put('drivers/char/virtio_console.ko', testModule('virtio_ring,virtio'));
    expect(await names()).toEqual(['virtio_ring', 'virtio', 'virtio_pci', 'virtio_console']);
  });

  it('are found by either form of their names, and unpacked', async () => {
    const plain = testModule('');
    await put('drivers/char/hw_random/virtio-rng.ko.gz', gzipSync(plain));
    const [module] = await readModules(kernel(), '1.2.3');
    expect(module?.name).toBe('virtio_rng');
    expect(Buffer.from(module?.bytes ?? []).equals(plain)).toBe(true);
  });

  it('that nobody needs are left out', async () => {
    await put('drivers/net/e1000.ko', testModule(''));
    expect(await names()).toEqual([]);
  });

  it('that depend on each other come to an end', async () => {
    await put('a/virtio_pci.ko', testModule('msr'));
    await put('a/msr.ko', testModule('virtio_pci'));
    expect((await names()).toSorted()).toEqual(['msr', 'virtio_pci']);
  });

  it('are none where the kernel brings none', async () => {
    expect(await names()).toEqual([]);
  });

  it.each([
    ['that are not what their name says', 'a/msr.ko.gz', /incorrect header check/],
    ['that are cut off', 'a/virtio-rng.ko.gz', /unexpected end of file/],
    ['that are no files', 'a/msr.ko', /EISDIR/],
  ])('%s are an error that says which', async (_, file, why) => {
    if (file.endsWith('.gz')) {
      const bytes = file.includes('msr') ? Buffer.from('no gzip') : gzipSync(testModule('')).subarray(0, -9);
      await put(file, bytes);
    } else await put(`${file}/file`, Buffer.alloc(0));
    await expect(names()).rejects.toMatchObject({
      code: 'GUEST_KERNEL_FORM',
      message: expect.stringContaining(
        `cannot read kernel module ${path.join(root, 'lib/modules/1.2.3/kernel', file)}: `,
      ),
      cause: expect.toSatisfy((cause: unknown) => why.test(String(cause))),
    });
  });

  it('that do not unpack are an error that says which', async () => {
    await put('a/msr.ko.xz', Buffer.from('no xz'));
    await expect(names()).rejects.toMatchObject({
      code: expect.stringMatching(/^GUEST_(KERNEL_FORM|IMAGE_TOOL)$/),
      message: expect.stringMatching(/msr\.ko\.xz|no xz/),
    });
  });
});
