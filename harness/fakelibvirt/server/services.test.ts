import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type NonnullDomain, qemuProcedures, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { type EmulatedHost, startEmulatedHost } from '../index.ts';
import { TestClient } from './test-client.ts';
import { guestXml, SEV_POLICY } from './test-guests.ts';

let host: EmulatedHost;
let client: TestClient;
beforeAll(async () => {
  host = await startEmulatedHost({ profile: 'naples' });
  client = await TestClient.open(host.socketPath);
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await host.close();
});

let count = 0;
async function running(options: Parameters<typeof guestXml>[1] = {}, flags = 0): Promise<NonnullDomain> {
  const { dom } = await client.call(remote.domainDefineXml, { xml: guestXml(`s${++count}`, options) });
  return (await client.call(remote.domainCreateWithFlags, { dom, flags })).dom;
}

const qmp = async (dom: NonnullDomain, execute: string) => {
  const { result } = await client.call(qemuProcedures.domainMonitorCommand, {
    dom,
    cmd: JSON.stringify({ execute }),
    flags: 0,
  });
  return JSON.parse(result) as { return?: Record<string, unknown>; error?: { class: string; desc: string } };
};

describe('monitor', () => {
  test('tells the run state before, during and after a pause', async () => {
    const dom = await running({}, 1);
    const status = async () => (await qmp(dom, 'query-status')).return?.status;
    expect(await status()).toBe('prelaunch');
    await client.call(remote.domainResume, { dom });
    expect(await status()).toBe('running');
    await client.call(remote.domainSuspend, { dom });
    expect(await status()).toBe('paused');
  });

  test('shows the state of a SEV launch and what blocks its migration, and that a plain guest has neither', async () => {
    const sev = await running({ policy: SEV_POLICY }, 1);
    expect((await qmp(sev, 'query-sev')).return).toMatchObject({
      enabled: true,
      state: 'launch-secret',
      policy: 3,
      'build-id': 48,
    });
    expect((await qmp(sev, 'query-migrate')).return).toEqual({});
    await client.call(remote.domainResume, { dom: sev });
    expect((await qmp(sev, 'query-sev')).return).toMatchObject({ state: 'running' });
    const blocked = { 'blocked-reasons': ['SEV: Migration is not implemented'] };
    expect((await qmp(sev, 'query-migrate')).return).toEqual(blocked);
    expect((await qmp(sev, 'query-sev-capabilities')).return).toMatchObject({ cbitpos: 47, 'reduced-phys-bits': 1 });
    const plain = await running();
    expect((await qmp(plain, 'query-sev')).return).toMatchObject({ enabled: false, state: 'uninit' });
    expect((await qmp(plain, 'query-migrate')).return).toEqual({});
    expect((await qmp(plain, 'query-sev-launch-measure')).error).toEqual({
      class: 'GenericError',
      desc: 'SEV launch measurement is not available',
    });
    await client.call(remote.domainDestroy, { dom: sev });
  });

  test('refuses what it does not know in the words of QEMU and of libvirt', async () => {
    const dom = await running();
    expect((await qmp(dom, 'nope')).error).toEqual({
      class: 'CommandNotFound',
      desc: 'The command nope has not been found',
    });
    const human = (cmd: string) => client.call(qemuProcedures.domainMonitorCommand, { dom, cmd, flags: 1 });
    expect(await human('info status')).toEqual({ result: 'VM status: running\r\n' });
    expect(await human('frob')).toEqual({ result: "unknown command: 'frob'\r\n" });
    const broken = await client.refusal(qemuProcedures.domainMonitorCommand, { dom, cmd: 'query-status', flags: 0 });
    expect(broken).toMatchObject({
      code: 1,
      domain: 0,
      message: expect.stringMatching(/^internal error: cannot parse json query-status: lexical error/),
    });
  });
});

describe('launch security', () => {
  test('measurement and versions of a SEV guest, nothing for a plain one, a refusal while inactive', async () => {
    const dom = await running({ policy: SEV_POLICY }, 1);
    const { params } = await client.call(remote.domainGetLaunchSecurityInfo, { dom, flags: 4 });
    const value = (field: string) => params.find((param) => param.field === field)?.value;
    expect(Buffer.from(String(value('sev-measurement')), 'base64')).toHaveLength(48);
    expect([value('sev-api-major'), value('sev-api-minor'), value('sev-build-id'), value('sev-policy')]).toEqual([
      0, 17, 48, 3,
    ]);
    expect(await client.call(remote.domainGetLaunchSecurityInfo, { dom: await running(), flags: 0 })).toEqual({
      params: [],
    });
    await client.call(remote.domainDestroy, { dom });
    expect(await client.refusal(remote.domainGetLaunchSecurityInfo, { dom, flags: 0 })).toMatchObject({
      code: 55,
      domain: 20,
    });
  });

  test('a secret is refused in the order in which libvirt looks', async () => {
    const set = (dom: NonnullDomain, fields: string[]) =>
      client.refusal(remote.domainSetLaunchSecurityState, {
        dom,
        params: fields.map((field) => ({ field, type: 'string' as const, value: 'QUJD' })),
        flags: 0,
      });
    const both = ['sev-secret', 'sev-secret-header'];
    expect(await set(await running(), both)).toMatchObject({
      code: 84,
      message: expect.stringMatching(/only supported in SEV-enabled domains$/),
    });
    const dom = await running({ policy: SEV_POLICY });
    expect(await set(dom, ['sev-secret'])).toMatchObject({
      message: 'internal error: Both secret and the secret header are required',
    });
    expect(await set(dom, both)).toMatchObject({
      code: 55,
      message: 'Requested operation is not valid: domain must be in a paused state',
    });
    await client.call(remote.domainSuspend, { dom });
    expect(await set(dom, both)).toMatchObject({
      message: expect.stringMatching(/SEV: no secret area found in OVMF, gpa must be specified\.$/),
    });
    await client.call(remote.domainDestroy, { dom });
  });
});

describe('devices', () => {
  const disk = (target: string, source = '/img') =>
    `<disk type='file' device='disk'><source file='${source}'/><target dev='${target}' bus='virtio'/></disk>`;
  const xmlOf = async (dom: NonnullDomain, flags = 0) =>
    (await client.call(remote.domainGetXmlDesc, { dom, flags })).xml;

  test('an attached disk is in the running XML only, with an address of its own, and goes when detached', async () => {
    const dom = await running();
    await client.call(remote.domainAttachDevice, { dom, xml: disk('vdb') });
    expect(await xmlOf(dom)).toMatch(
      /<target dev='vdb' bus='virtio'\/>\n\s+<alias name='virtio-disk1'\/>\n\s+<address type='pci'/,
    );
    expect(await xmlOf(dom, 2)).not.toContain('vdb');
    await client.call(remote.domainDetachDevice, { dom, xml: disk('vdb') });
    expect(await xmlOf(dom)).not.toContain('vdb');
  });

  test.each<[string, string, number, string]>([
    ['an unknown device', '<frob/>', 2, "67/20 unsupported configuration: unknown device type 'frob'"],
    ['a taken target', disk('vda'), 2, '55/10 Requested operation is not valid: target vda already exists'],
    [
      'a taken target of the running guest',
      disk('vda'),
      1,
      "27/20 XML error: target 'vda' duplicated for disk sources '/img' and '/img'",
    ],
    [
      'a file that is not there',
      disk('vdc', '/nonexistent/x'),
      1,
      "38/18 Cannot access storage file '/nonexistent/x': No such file or directory",
    ],
  ])('attach of %s', async (_, xml, flags, expected) => {
    const dom = await running({ devices: disk('vda') });
    const { code, domain, message } = await client.refusal(remote.domainAttachDeviceFlags, { dom, xml, flags });
    expect(`${code}/${domain} ${message}`).toBe(expected);
  });

  test('detach of what is not there', async () => {
    const dom = await running();
    const gone = await client.refusal(remote.domainDetachDevice, { dom, xml: disk('vda') });
    expect(gone).toEqual({ code: 99, domain: 10, message: 'device not found: disk vda not found' });
  });

  test('snapshots need a disk, a qcow2 one for internal ones, and keep a domain from being undefined', async () => {
    const create = (dom: NonnullDomain, flags: number) => ({
      dom,
      xmlDesc: '<domainsnapshot><name>s</name></domainsnapshot>',
      flags,
    });
    expect(await client.refusal(remote.domainSnapshotCreateXml, create(await running(), 0))).toMatchObject({
      code: 67,
    });
    const dom = await running({ devices: disk('vda') });
    expect(await client.refusal(remote.domainSnapshotCreateXml, create(dom, 0))).toMatchObject({
      message: 'unsupported configuration: internal snapshot for disk vda unsupported for storage type raw',
    });
    const { snap } = await client.call(remote.domainSnapshotCreateXml, create(dom, 16));
    expect((await client.call(remote.domainSnapshotGetXmlDesc, { snap, flags: 0 })).xml).toMatch(
      /<state>disk-snapshot<\/state>/,
    );
    await client.call(remote.domainDestroy, { dom });
    expect(await client.refusal(remote.domainUndefineFlags, { dom, flags: 0 })).toMatchObject({
      message: 'Requested operation is not valid: cannot delete inactive domain with 1 snapshots',
    });
    await client.call(remote.domainSnapshotDelete, { snap, flags: 0 });
    await client.call(remote.domainUndefineFlags, { dom, flags: 0 });
  });
});
