import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Host } from '../host/host.ts';
import { type FileReading, type HostShell, shellOf } from '../host/shell.ts';
import { LibvirtConnection } from '../libvirt/index.ts';
import { findBootFiles, measuredBootDigest } from './direct-boot.ts';
import { testKernel } from './image/testing/files.ts';

const DENIED: FileReading = { outcome: 'unreadable', because: 'EACCES: permission denied' };

const hasTools = existsSync('/bin/busybox') && ['/usr/bin/cc', '/bin/cc'].some((file) => existsSync(file));

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-boot-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A machine whose /boot holds these, of which `denied` are for root only, as Ubuntu has its kernels. */
function hostWithBoot(names: readonly string[], denied: readonly string[]): Host {
  const here = shellOf('qemu:///system');
  const isDenied = (file: string | undefined) => denied.some((name) => file === `/boot/${name}`);
  const shell: HostShell = {
    ...here,
    listFolder: async () => ({ outcome: 'read', names }),
    readFile: async (file) => (isDenied(file) ? DENIED : { outcome: 'read', bytes: new TextEncoder().encode(file) }),
    run: async (words) =>
      isDenied(words.at(-1))
        ? DENIED
        : words[0] === 'test'
          ? { outcome: 'read', bytes: new Uint8Array() }
          : here.run(words),
  };
  const connection: LibvirtConnection = Object.create(LibvirtConnection.prototype);
  const close = async () => {};
  const rest = { profile: undefined, reconnect: async () => connection, close, [Symbol.asyncDispose]: close };
  return { name: 'qemu:///system', kind: 'real', connection, shell, ...rest };
}

describe('kernels in the /boot of a host', () => {
  it('that are for root only end a measurement with what to do about it', async () => {
    const host = hostWithBoot(['vmlinuz-6.8', 'initrd.img-6.8'], ['vmlinuz-6.8']);
    const firmware = { path: '/x', image: new Uint8Array() };
    await expect(
      measuredBootDigest(host, firmware, { kernel: '/boot/vmlinuz-6.8', cmdline: '' }),
    ).rejects.toMatchObject({
      code: 'BOOT_FILE_UNREADABLE',
      kind: 'environment',
      message: 'cannot read /boot/vmlinuz-6.8 of the host: EACCES: permission denied',
      hint: expect.stringMatching(/--kernel FILE.*chmod a\+r \/boot\/vmlinuz-6\.8.*dpkg-statoverride/),
    });
  });

  it('are taken as they are when the user names none', async () => {
    const host = hostWithBoot(['vmlinuz-6.8', 'config-6.8', 'vmlinuz-6.1', 'initrd.img-6.8'], ['vmlinuz-6.8']);
    const settings = { image: { kernel: undefined, folder: undefined } };
    expect(await findBootFiles({ host, settings })).toEqual({
      kernels: ['/boot/vmlinuz-6.1', '/boot/vmlinuz-6.8'],
      initrds: ['/boot/initrd.img-6.8'],
    });
  });

  it.skipIf(!hasTools)('come after the one that the user names, and only those that can be read', async () => {
    const [kernel, images] = [path.join(folder, 'vmlinuz-7.7.7'), path.join(folder, 'images')];
    await mkdir(images);
    await writeFile(kernel, testKernel('7.7.7'));
    const host = hostWithBoot(['vmlinuz-6.8', 'vmlinuz-6.1', 'initrd.img-6.8'], ['vmlinuz-6.8']);
    const found = await findBootFiles({ host, settings: { image: { kernel, folder: images } } });
    expect(found).toEqual({
      kernels: [expect.stringMatching(/images\/[0-9a-f]+\/vmlinuz-7\.7\.7$/), '/boot/vmlinuz-6.1'],
      initrds: [expect.stringMatching(/images\/[0-9a-f]+\/initrd\.gz$/), '/boot/initrd.img-6.8'],
    });
  });
});
