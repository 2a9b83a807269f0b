import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MESSAGE_STATUS, MESSAGE_TYPE } from '../../libvirt/protocol/codec.ts';
import {
  type NonnullDomain,
  qemuEvents,
  qemuProcedures,
  remoteProcedures as remote,
  remoteEvents,
  remoteProgram,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { XdrReader } from '../../libvirt/xdr/reader.ts';
import { type EmulatedHost, startEmulatedHost } from '../index.ts';
import { encodeFrame } from './frame.ts';
import { TestClient } from './test-client.ts';
import { guestXml } from './test-guests.ts';

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
async function running(options: Parameters<typeof guestXml>[1] = {}): Promise<NonnullDomain> {
  const xmlDesc = guestXml(`s${++count}`, options);
  return (await client.call(remote.domainCreateXml, { xmlDesc, flags: 0 })).dom;
}

/** VIR_DOMAIN_START_PAUSED */
const PAUSED = 1;

/** What came on the streams of a client. */
function streamText({ pushed }: TestClient): string {
  const frames = pushed.filter((frame) => frame.header.type === MESSAGE_TYPE.stream);
  return frames.map((frame) => Buffer.from(frame.payload).toString()).join('');
}

describe('streams', () => {
  const stream = (serial: number, status: number) => ({
    prog: remoteProgram.id,
    vers: 1,
    proc: 201,
    type: MESSAGE_TYPE.stream,
    serial,
    status,
  });

  test('a console greets, echoes, has one user at a time, and confirms the end', async () => {
    await using own = await TestClient.open(host.socketPath);
    const dom = await running({ devices: "<serial type='pty'/>" });
    const open = { dom, devName: null, flags: 0 };
    await own.call(remote.domainOpenConsole, open);
    const serial = 2;
    expect(await client.refusal(remote.domainOpenConsole, open)).toMatchObject({
      message: 'operation failed: Active console session exists for this domain',
    });
    own.write(encodeFrame(stream(serial, MESSAGE_STATUS.continue), new TextEncoder().encode('hello')));
    own.write(encodeFrame(stream(serial, MESSAGE_STATUS.error), new Uint8Array(0)));
    await own.settle();
    const frames = own.pushed.filter((frame) => frame.header.type === MESSAGE_TYPE.stream);
    expect(frames.map((frame) => [frame.header.status, Buffer.from(frame.payload).toString()])).toEqual([
      [MESSAGE_STATUS.continue, expect.stringMatching(`^\r\nemulated guest ${dom.name}\r\nSEVH \\{"event":"ready"`)],
      [MESSAGE_STATUS.continue, 'hello'],
      [MESSAGE_STATUS.ok, ''],
    ]);
    await client.call(remote.domainOpenConsole, open);
  });

  test('a console ends when its guest ends', async () => {
    await using own = await TestClient.open(host.socketPath);
    const dom = await running({ devices: "<serial type='pty'/>" });
    await own.call(remote.domainOpenConsole, { dom, devName: null, flags: 0 });
    await client.call(remote.domainDestroy, { dom });
    await own.settle();
    expect(own.pushed.filter((frame) => frame.header.type === MESSAGE_TYPE.stream).at(-1)?.payload).toHaveLength(0);
  });

  test('a guest boots again on its console when it is reset, and powers off when that is typed', async () => {
    await using own = await TestClient.open(host.socketPath);
    const dom = await running({ devices: "<serial type='pty'/>" });
    await own.call(remote.domainOpenConsole, { dom, devName: null, flags: 0 });
    const serial = 2;
    await own.call(remote.domainReset, { dom, flags: 0 });
    own.write(encodeFrame(stream(serial, MESSAGE_STATUS.continue), new TextEncoder().encode('power-off\n')));
    await own.settle();
    const printed = streamText(own);
    expect(printed.match(/"event":"ready"/g)).toHaveLength(2);
    expect(printed).toMatch(/power-off\nSEVH \{"event":"power-off","because":"console"\}\r\n$/);
    expect(await client.refusal(remote.domainGetState, { dom, flags: 0 })).toMatchObject({ code: 42 });
  });

  test('a guest that is told to end when it is done says so on its console, and ends', async () => {
    await using own = await TestClient.open(host.socketPath);
    const order = '<cmdline>sevh.workload=memory-latency sevh.power-off=idle</cmdline></os>';
    const start = (name: string, memory: string) => {
      const xml = guestXml(name, { devices: "<serial type='pty'/>" }).replace('</os>', order);
      return client.call(remote.domainCreateXml, { xmlDesc: xml.replace('>64<', `>${memory}<`), flags: PAUSED });
    };
    const { dom } = await start('done', '64');
    await own.call(remote.domainOpenConsole, { dom, devName: null, flags: 0 });
    await client.call(remote.domainResume, { dom });
    await client.settle();
    await own.settle();
    expect(streamText(own)).toMatch(
      /"event":"workload"[^\n]*\r\nSEVH \{"event":"power-off","because":"command line"\}\r\n$/,
    );
    expect(await client.refusal(remote.domainGetState, { dom, flags: 0 })).toMatchObject({ code: 42 });
    // Too small for the model guest to boot: nobody is there to power it off.
    const { dom: small } = await start('too-small', '8');
    await client.call(remote.domainResume, { dom: small });
    await client.settle();
    expect(await client.call(remote.domainGetState, { dom: small, flags: 0 })).toMatchObject({ state: 1 });
    await client.call(remote.domainDestroy, { dom: small });
  });

  test('a screenshot is a PNG', async () => {
    await using own = await TestClient.open(host.socketPath);
    const dom = await running({ devices: "<graphics type='vnc'/>" });
    expect(await own.call(remote.domainScreenshot, { dom, screen: 0, flags: 0 })).toEqual({ mime: 'image/png' });
    await own.settle();
    const [image, end] = own.pushed.filter((frame) => frame.header.type === MESSAGE_TYPE.stream);
    expect(
      Buffer.from(image?.payload ?? [])
        .subarray(1, 4)
        .toString(),
    ).toBe('PNG');
    expect(end?.payload).toHaveLength(0);
  });
});

describe('events', () => {
  test('all 27 kinds can be registered, a 28th cannot, and a callback that is not there cannot be removed', async () => {
    await using own = await TestClient.open(host.socketPath);
    const register = (eventID: number) =>
      own.call(remote.connectDomainEventCallbackRegisterAny, { eventID, dom: null });
    const ids = await Promise.all(Array.from({ length: 27 }, (_, eventID) => register(eventID)));
    expect(new Set(ids.map((one) => one.callbackID)).size).toBe(27);
    expect(await own.refusal(remote.connectDomainEventCallbackRegisterAny, { eventID: 27, dom: null })).toMatchObject({
      code: 1,
    });
    expect(await own.refusal(remote.connectDomainEventCallbackDeregisterAny, { callbackID: 99 })).toMatchObject({
      code: 1,
    });
  });

  test('a callback for one domain hears of that one only, and nothing more once it is removed', async () => {
    const dom = await running();
    const other = await running();
    await using own = await TestClient.connect(host.socketPath);
    await own.call(remote.connectOpen, { name: null, flags: 0 });
    const { callbackID } = await own.call(remote.connectDomainEventCallbackRegisterAny, { eventID: 0, dom });
    await own.call(remote.domainSuspend, { dom: other });
    await own.call(remote.domainSuspend, { dom });
    expect(await own.takeLifecycle()).toEqual([`${dom.name} 3/0 ${dom.id}`]);
    await own.call(remote.connectDomainEventCallbackDeregisterAny, { callbackID });
    await own.call(remote.domainResume, { dom });
    expect(await own.takeLifecycle()).toEqual([]);
  });

  test('an agent channel makes the agent speak up as disconnected; without one nobody does', async () => {
    await using own = await TestClient.open(host.socketPath);
    await own.call(remote.connectDomainEventCallbackRegisterAny, { eventID: 18, dom: null });
    await running();
    await running({ devices: "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>" });
    await own.settle();
    const agent = own.pushed.filter(
      (frame) => frame.header.proc === remoteEvents.domainEventCallbackAgentLifecycle.number,
    );
    expect(agent).toHaveLength(1);
  });

  test("QEMU's own events go to those who asked for them", async () => {
    await using own = await TestClient.open(host.socketPath);
    await own.call(qemuProcedures.connectDomainMonitorEventRegister, { dom: null, event: 'STOP', flags: 0 });
    const dom = await running();
    await own.call(remote.domainSuspend, { dom });
    await own.call(remote.domainResume, { dom });
    await own.settle();
    const seen = own.pushed.filter((frame) => frame.header.prog === qemuEvents.domainMonitorEvent.program.id);
    const told = seen.map(({ payload }) => qemuEvents.domainMonitorEvent.fields.read(new XdrReader(payload)));
    expect(told).toMatchObject([{ dom: { name: dom.name }, event: 'STOP', details: null }]);
    // The clock of an emulated host counts whole milliseconds.
    expect(told.map(({ micros }) => micros % 1000)).toEqual([0]);
  });
});
