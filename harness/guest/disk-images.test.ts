import { afterEach, beforeEach, expect, it } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { DiskImages, type ImagesContext } from './disk-images.ts';
import { currentOwner } from './ownership.ts';

let host: Host;
let context: ImagesContext;
beforeEach(async () => {
  host = await openHost(parseHostName('fake:no-sev'));
  context = { host, cleanup: new CleanupStack(), settings: { owner: currentOwner('r') } };
});
afterEach(() => host.close());

const poolOf = (folder: string) =>
  host.connection.call('storagePoolLookupByName', { name: folder.split('/').at(-1) ?? '' });

it('disks lie in a pool that carries the run, and go with it, also those that the host made beside them', async () => {
  const images = await DiskImages.open(context);
  expect(images.folder).toMatch(/^\/var\/lib\/libvirt\/images\/sevh-r-[0-9a-f]{4}-images$/);
  expect(await images.create('boot')).toBe(`${images.folder}/boot.qcow2`);
  const { pool } = await poolOf(images.folder);
  const xml = '<volume><name>overlay</name><capacity>1</capacity></volume>';
  await host.connection.call('storageVolCreateXml', { pool, xml, flags: 0 });
  expect(await context.cleanup.run()).toEqual([]);
  await expect(poolOf(images.folder)).rejects.toMatchObject({ remote: { code: 49 } });
});

it('two scenarios of a run have pools of their own', async () => {
  const [one, other] = [await DiskImages.open(context), await DiskImages.open(context)];
  expect(one.folder).not.toBe(other.folder);
  expect(await context.cleanup.run()).toEqual([]);
});

it('a pool that was defined and never started is undefined', async () => {
  const images = await DiskImages.open(context);
  const { pool } = await poolOf(images.folder);
  await host.connection.call('storagePoolDestroy', { pool });
  expect(await context.cleanup.run()).toEqual([]);
  await expect(poolOf(images.folder)).rejects.toMatchObject({ remote: { code: 49 } });
});
