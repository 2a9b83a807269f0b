import { expect, test } from 'vitest';
import { remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { useLab } from './test-lab.ts';

// Every text below was recorded from libvirt 9.0.0.
const lab = useLab('no-sev');
const poolXml = (name: string, folder: string) =>
  `<pool type='dir'><name>${name}</name><target><path>${folder}</path></target></pool>`;
const VOLUME = '<volume><name>a</name><capacity>1048576</capacity></volume>';

test('a pool is built, started, filled, emptied and taken away, and says what is out of order', async () => {
  const { client, refusalOf } = lab;
  const define = (xml: string) => ({ xml, flags: 0 });
  const { pool } = await client.call(remote.storagePoolDefineXml, define(poolXml('p', '/var/tmp/p')));
  const by = { pool, flags: 0 };
  expect(await refusalOf(remote.storagePoolDefineXml, define(poolXml('p', '/var/tmp/q')))).toBe(
    `9/18 operation failed: pool 'p' already exists with uuid ${pool.uuid}`,
  );
  expect(await refusalOf(remote.storagePoolDefineXml, define(poolXml('q', '/var/tmp/p')))).toBe(
    "9/18 operation failed: Storage source conflict with pool: 'p'",
  );
  expect(await refusalOf(remote.storagePoolCreate, by)).toBe(
    "38/0 cannot open directory '/var/tmp/p': No such file or directory",
  );
  await client.call(remote.storagePoolBuild, by);
  await client.call(remote.storagePoolCreate, by);
  expect(await refusalOf(remote.storagePoolCreate, by)).toBe(
    "55/18 Requested operation is not valid: storage pool 'p' is already active",
  );

  const { vol } = await client.call(remote.storageVolCreateXml, { pool, xml: VOLUME, flags: 0 });
  expect(await client.call(remote.storageVolGetPath, { vol })).toEqual({ name: '/var/tmp/p/a' });
  expect(await refusalOf(remote.storageVolCreateXml, { pool, xml: VOLUME, flags: 0 })).toBe(
    "90/18 storage volume 'a' exists already",
  );
  expect(await refusalOf(remote.storageVolCreateXml, { pool, xml: '<volume/>', flags: 0 })).toBe(
    '27/18 XML error: missing volume name element',
  );
  for (const procedure of [remote.storagePoolDelete, remote.storagePoolUndefine])
    expect(await refusalOf(procedure, by)).toBe(
      "55/18 Requested operation is not valid: storage pool 'p' is still active",
    );

  await client.call(remote.storagePoolDestroy, { pool });
  expect(await refusalOf(remote.storagePoolRefresh, by)).toBe(
    "55/18 Requested operation is not valid: storage pool 'p' is not active",
  );
  expect(await refusalOf(remote.storagePoolDelete, by)).toBe(
    "38/18 failed to remove pool '/var/tmp/p': Directory not empty",
  );
  expect(await refusalOf(remote.storageVolDelete, { vol, flags: 0 })).toBe(
    "55/18 Requested operation is not valid: storage pool 'p' is not active",
  );
  await client.call(remote.storagePoolCreate, by);
  await client.call(remote.storageVolDelete, { vol, flags: 0 });
  expect(await refusalOf(remote.storageVolDelete, { vol, flags: 0 })).toBe(
    "50/18 Storage volume not found: no storage vol with matching name 'a'",
  );
  await client.call(remote.storagePoolDestroy, { pool });
  await client.call(remote.storagePoolDelete, by);
  await client.call(remote.storagePoolUndefine, { pool });
  expect(await refusalOf(remote.storagePoolUndefine, { pool })).toBe(
    `49/18 Storage pool not found: no storage pool with matching uuid '${pool.uuid}' (p)`,
  );
  expect(await refusalOf(remote.storagePoolLookupByName, { name: 'p' })).toBe(
    "49/18 Storage pool not found: no storage pool with matching name 'p'",
  );
});
