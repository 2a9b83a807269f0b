import { describe, expect, test } from 'vitest';
import { emulatorProcedures, qemuProcedures, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import { startEmulatedHost } from '../index.ts';
import { TestClient } from './test-client.ts';
import { ES_POLICY, guestXml, SEV_POLICY, testUuid } from './test-guests.ts';
import { useLab } from './test-lab.ts';

// Every expectation of events, states and refusals below was recorded from libvirt 9.0.0 with QEMU 7.2.
const lab = useLab('naples-es');
const { defined, running, stateOf, pidOf } = lab;

describe('lifecycle, with the events in the order of libvirt 9.0', () => {
  test('define, redefine, undefine', async () => {
    const xml = guestXml('d', { uuid: testUuid(900) });
    const { dom } = await lab.client.call(remote.domainDefineXml, { xml });
    await lab.client.call(remote.domainDefineXml, { xml });
    await lab.client.call(remote.domainUndefineFlags, { dom, flags: 0 });
    expect(await lab.client.takeLifecycle()).toEqual(['d 0/0 -1', 'd 0/1 -1', 'd 1/0 -1']);
  });

  test('start, suspend, resume, destroy', async () => {
    const dom = await defined();
    const started = await lab.client.call(remote.domainCreateWithFlags, { dom, flags: 0 });
    const { id } = started.dom;
    const { name } = dom;
    expect(await stateOf(dom)).toBe('1/1');
    await lab.client.call(remote.domainSuspend, { dom });
    expect(await stateOf(dom)).toBe('3/1');
    await lab.client.call(remote.domainSuspend, { dom });
    await lab.client.call(remote.domainResume, { dom });
    expect(await stateOf(dom)).toBe('1/5');
    await lab.client.call(remote.domainDestroy, { dom });
    expect(await stateOf(dom)).toBe('5/2');
    expect(await lab.client.takeLifecycle()).toEqual([
      `${name} 4/0 ${id}`,
      `${name} 2/0 ${id}`,
      `${name} 3/0 ${id}`,
      `${name} 4/0 ${id}`,
      `${name} 6/2 ${id}`,
      `${name} 5/1 -1`,
    ]);
  });

  test('start paused', async () => {
    const { dom } = await lab.client.call(remote.domainCreateWithFlags, { dom: await defined(), flags: 1 });
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 2/0 ${dom.id}`, `${dom.name} 3/0 ${dom.id}`]);
    expect(await stateOf(dom)).toBe('3/1');
  });

  test('a guest with ACPI shuts down by itself; without ACPI it does not hear the button', async () => {
    const dom = await running();
    await lab.client.call(remote.domainShutdown, { dom });
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 6/1 ${dom.id}`, `${dom.name} 5/0 ${dom.id}`]);
    expect(await stateOf(dom)).toBe('5/1');
    const xmlDesc = guestXml('deaf').replace('<acpi/>', '');
    const { dom: deaf } = await lab.client.call(remote.domainCreateXml, { xmlDesc, flags: 0 });
    await lab.client.call(remote.domainShutdown, { dom: deaf });
    await lab.client.settle();
    expect(await stateOf(deaf)).toBe('1/1');
    await lab.client.call(remote.domainDestroy, { dom: deaf });
    await lab.client.takeLifecycle();
  });

  test('a power button pressed while the guest is paused is heard when it runs again', async () => {
    const dom = await running();
    await lab.client.call(remote.domainSuspend, { dom });
    await lab.client.call(remote.domainReboot, { dom, flags: 0 });
    await lab.client.takeLifecycle();
    expect(await stateOf(dom)).toBe('3/1');
    await lab.client.call(remote.domainResume, { dom });
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 4/0 ${dom.id}`, `${dom.name} 4/0 ${dom.id}`]);
    expect(await stateOf(dom)).toBe('1/1');
  });

  test('reboot comes back running; with on_reboot destroy it ends', async () => {
    const dom = await running();
    await lab.client.call(remote.domainReboot, { dom, flags: 0 });
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 4/0 ${dom.id}`]);
    expect(await stateOf(dom)).toBe('1/1');
    const ending = await running({ extra: '<on_reboot>destroy</on_reboot>' });
    await lab.client.call(remote.domainReboot, { dom: ending, flags: 0 });
    expect(await lab.client.takeLifecycle()).toEqual([
      `${ending.name} 6/1 ${ending.id}`,
      `${ending.name} 5/0 ${ending.id}`,
    ]);
  });

  test('reset keeps a guest running, and ends one whose registers are encrypted', async () => {
    const dom = await running({ policy: SEV_POLICY });
    await lab.client.call(remote.domainReset, { dom, flags: 0 });
    expect(await stateOf(dom)).toBe('1/1');
    const encrypted = await running({ policy: ES_POLICY });
    await lab.client.call(remote.domainReset, { dom: encrypted, flags: 0 });
    expect(await stateOf(encrypted)).toBe('5/1');
  });

  test('QEMU killed with SIGKILL: Stopped Failed with the id it had, state crashed', async () => {
    const dom = await running({ policy: SEV_POLICY });
    expect(await lab.client.call(emulatorProcedures.kill, { pid: await pidOf(dom), signal: 9 })).toEqual({ errno: 0 });
    expect(await lab.client.takeLifecycle()).toEqual([`${dom.name} 5/5 ${dom.id}`]);
    expect(await stateOf(dom)).toBe('5/3');
  });

  test('QEMU ended with SIGTERM or by its monitor: a shutdown', async () => {
    const dom = await running();
    await lab.client.call(emulatorProcedures.kill, { pid: await pidOf(dom), signal: 15 });
    const shutdown = [`${dom.name} 6/2 ${dom.id}`, `${dom.name} 5/0 ${dom.id}`];
    expect(await lab.client.takeLifecycle()).toEqual(shutdown);
    const other = await running();
    const cmd = '{"execute":"quit"}';
    expect(await lab.client.refusal(qemuProcedures.domainMonitorCommand, { dom: other, cmd, flags: 0 })).toEqual({
      code: 38,
      domain: 10,
      message: 'Unable to read from monitor: Connection reset by peer',
    });
    expect(await stateOf(other)).toBe('5/1');
  });

  test('managed save and the start after it', async () => {
    const dom = await running();
    await lab.client.call(remote.domainManagedSave, { dom, flags: 0 });
    expect(await stateOf(dom)).toBe('5/5');
    const { dom: again } = await lab.client.call(remote.domainCreateWithFlags, { dom, flags: 0 });
    expect(await stateOf(dom)).toBe('1/3');
    expect(await lab.client.takeLifecycle()).toEqual([
      `${dom.name} 3/0 ${dom.id}`,
      `${dom.name} 5/4 -1`,
      `${dom.name} 2/2 ${again.id}`,
      `${dom.name} 4/2 ${again.id}`,
    ]);
  });

  test('a transient domain goes with its QEMU; undefining a running one makes it transient', async () => {
    const { dom } = await lab.client.call(remote.domainCreateXml, { xmlDesc: guestXml('t'), flags: 0 });
    expect(await lab.client.call(remote.domainIsPersistent, { dom })).toEqual({ persistent: 0 });
    await lab.client.call(remote.domainDestroy, { dom });
    expect(await lab.client.refusal(remote.domainGetState, { dom, flags: 0 })).toEqual({
      code: 42,
      domain: 10,
      message: `Domain not found: no domain with matching uuid '${dom.uuid}' (t)`,
    });
    const other = await running();
    await lab.client.call(remote.domainUndefineFlags, { dom: other, flags: 0 });
    expect(await lab.client.refusal(remote.domainUndefineFlags, { dom: other, flags: 0 })).toMatchObject({
      message: 'Requested operation is not valid: cannot undefine transient domain',
    });
    await lab.client.call(remote.domainDestroy, { dom: other });
    expect(await lab.client.refusal(remote.domainLookupByName, { name: other.name })).toMatchObject({ code: 42 });
  });

  test('a failed start leaves the state failed, sends no event, and uses up an id', async () => {
    const dom = await defined({ policy: SEV_POLICY, security: '<cbitpos>51</cbitpos>' });
    expect(await lab.client.refusal(remote.domainCreate, { dom })).toMatchObject({ code: 1, domain: 10 });
    expect(await lab.client.takeLifecycle()).toEqual([]);
    expect(await stateOf(dom)).toBe('5/6');
    const before = (await running()).id;
    await lab.client.refusal(remote.domainCreate, { dom });
    expect((await running()).id).toBe(before + 2);
  });

  test('a guest with a variable store is undefined only with a word about the store, once it has one', async () => {
    const loader = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader></os>";
    const xml = guestXml('flash').replace('</os>', loader);
    const { dom } = await lab.client.call(remote.domainDefineXml, { xml });
    await lab.client.call(remote.domainUndefineFlags, { dom, flags: 0 });
    const again = (await lab.client.call(remote.domainDefineXml, { xml })).dom;
    await lab.client.call(remote.domainCreate, { dom: again });
    await lab.client.call(remote.domainDestroy, { dom: again });
    expect(await lab.client.refusal(remote.domainUndefineFlags, { dom: again, flags: 0 })).toMatchObject({
      code: 55,
      message: 'Requested operation is not valid: cannot undefine domain with nvram',
    });
    await lab.client.call(remote.domainUndefineFlags, { dom: again, flags: 4 });
  });

  test('autodestroy ends with the connection that asked for it', async () => {
    const other = await lab.connectAgain();
    const { dom } = await other.call(remote.domainCreateXml, { xmlDesc: guestXml('auto'), flags: 2 });
    await other[Symbol.asyncDispose]();
    await lab.client.settle();
    expect(await lab.client.refusal(remote.domainLookupByUuid, { uuid: dom.uuid })).toMatchObject({ code: 42 });
  });
});

test('a list holds what was asked for', async () => {
  await using own = await startEmulatedHost({ profile: 'naples' });
  await using at = await TestClient.open(own.socketPath);
  const define = async (name: string) => (await at.call(remote.domainDefineXml, { xml: guestXml(name) })).dom;
  await define('off');
  await at.call(remote.domainCreate, { dom: await define('on') });
  await at.call(remote.domainCreateWithFlags, { dom: await define('paused'), flags: 1 });
  await at.call(remote.domainCreateXml, { xmlDesc: guestXml('transient'), flags: 0 });
  const list = async (flags: number) => {
    const { domains, ret } = await at.call(remote.connectListAllDomains, { needResults: 1, flags });
    expect(ret).toBe(domains.length);
    return domains.map((dom) => dom.name);
  };
  expect(await list(0)).toEqual(['off', 'on', 'paused', 'transient']);
  expect(await list(1)).toEqual(['on', 'paused', 'transient']);
  expect(await list(2)).toEqual(['off']);
  expect(await list(1 | 4)).toEqual(['on', 'paused']);
  expect(await list(8)).toEqual(['transient']);
  expect(await list(16 | 64)).toEqual(['off', 'on', 'transient']);
  expect(await list(32)).toEqual(['paused']);
  expect(await at.call(remote.connectListDomains, { maxids: 2 })).toEqual({ ids: [1, 2] });
  expect(await at.call(remote.connectListDefinedDomains, { maxnames: 9 })).toEqual({ names: ['off'] });
  expect(await at.refusal(remote.connectListAllDomains, { needResults: 1, flags: 1 << 20 })).toMatchObject({
    message: 'unsupported flags (0x100000) in function qemuConnectListAllDomains',
  });
});
