import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { concatBytes } from '../../../core/bytes.ts';
import {
  encodeValue,
  KEEPALIVE,
  keepaliveProgram,
  MESSAGE_STATUS,
  MESSAGE_TYPE,
} from '../../libvirt/protocol/codec.ts';
import {
  apiFunctions,
  qemuProcedures,
  readMessageError,
  remoteProcedures,
  remoteProgram,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { XdrReader } from '../../libvirt/xdr/reader.ts';
import { type EmulatedHost, startEmulatedHost } from '../index.ts';
import { encodeFrame } from './frame.ts';
import { remoteHandlers } from './handlers/index.ts';
import { TestClient } from './test-client.ts';
import { guestXml } from './test-guests.ts';

let host: EmulatedHost;
beforeAll(async () => {
  host = await startEmulatedHost({ profile: 'naples' });
});
afterAll(() => host.close());

async function refusalOf(
  client: TestClient,
  header: Parameters<TestClient['roundTrip']>[0],
  payload: Uint8Array = new Uint8Array(0),
) {
  const { header: reply, payload: body } = await client.roundTrip(header, payload);
  expect(reply.status).toBe(MESSAGE_STATUS.error);
  const { code, domain, message } = readMessageError(new XdrReader(body));
  return `${code}/${domain} ${message}`;
}

describe('a client that misbehaves', () => {
  test.each<[string, Uint8Array]>([
    ['a length of zero', Uint8Array.of(0, 0, 0, 0)],
    ['a length beyond the limit', Uint8Array.of(0xff, 0xff, 0xff, 0xff)],
    ['HTTP', new TextEncoder().encode('GET / HTTP/1.1\r\n\r\n')],
  ])('%s gets its connection closed, and the host serves on', async (_, bytes) => {
    await using bad = await TestClient.connect(host.socketPath);
    bad.write(bytes);
    await bad.closed;
    await using good = await TestClient.open(host.socketPath);
    expect(await good.call(remoteProcedures.connectGetType, {})).toEqual({ type: 'QEMU' });
  });

  test('random bytes never take the host down', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 300 }), async (bytes) => {
        await using bad = await TestClient.connect(host.socketPath);
        bad.write(bytes);
        await using good = await TestClient.open(host.socketPath);
        expect(await good.call(remoteProcedures.connectGetType, {})).toEqual({ type: 'QEMU' });
      }),
      { numRuns: 50 },
    );
  });

  test('random arguments of any procedure get an answer that libvirt could give', async () => {
    await using client = await TestClient.open(host.socketPath);
    const { dom } = await client.call(remoteProcedures.domainDefineXml, { xml: guestXml('target') });
    const keys = Object.keys(remoteHandlers) as (keyof typeof remoteHandlers)[];
    const harmless = keys.filter((key) => key !== 'connectClose');
    const word = fc.oneof(fc.nat(3), fc.integer()).map((value) => {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setInt32(0, value);
      return bytes;
    });
    // Most procedures begin with a domain and go on with numbers: bytes alone would not come past the decoder.
    const target = encodeValue(remoteProcedures.domainSuspend.args, { dom });
    const words = fc.array(word, { maxLength: 16 }).map((parts) => concatBytes(...parts));
    const payload = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      words,
      words.map((rest) => concatBytes(target, rest)),
    );
    let decoded = 0;
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...harmless), payload, async (key, bytes) => {
        const { header, payload: answer } = await client.roundTrip(
          { prog: remoteProgram.id, proc: remoteProcedures[key].number },
          bytes,
        );
        expect([MESSAGE_STATUS.ok, MESSAGE_STATUS.error]).toContain(header.status);
        const said = header.status === MESSAGE_STATUS.error ? readMessageError(new XdrReader(answer)).message : '';
        expect(`${key}: ${said}`).not.toContain('defect');
        if (said !== 'Unable to decode message payload') decoded++;
      }),
      { numRuns: 600 },
    );
    expect(decoded).toBeGreaterThan(200);
  });

  test('a half frame and a hang-up leave nothing behind', async () => {
    const bad = await TestClient.connect(host.socketPath);
    bad.write(
      encodeFrame({ prog: 1, vers: 1, proc: 1, type: 0, serial: 0, status: 0 }, new Uint8Array(40)).subarray(0, 30),
    );
    await bad[Symbol.asyncDispose]();
    await using good = await TestClient.open(host.socketPath);
    expect(await good.call(remoteProcedures.connectGetType, {})).toEqual({ type: 'QEMU' });
  });
});

describe("protocol errors have libvirtd's words", () => {
  const { id } = remoteProgram;
  const typeOf = remoteProcedures.connectGetType.number;
  test.each<[string, Parameters<TestClient['roundTrip']>[0], string]>([
    ['an unknown procedure', { prog: id, proc: 9999 }, '39/7 unknown procedure: 9999'],
    ['an unknown program', { prog: 0x1234, proc: 1 }, '39/7 Cannot find program 4660 version 1'],
    ['another version', { prog: id, vers: 2, proc: typeOf }, `39/7 Cannot find program ${id} version 2`],
    ['a call with a status', { prog: id, proc: typeOf, status: 1 }, '39/7 Unexpected message status 1'],
    ['arguments that end early', { prog: id, proc: 23 }, '39/7 Unable to decode message payload'],
    ['a second OPEN', { prog: id, proc: 1 }, '1/7 internal error: connection already open'],
  ])('%s', async (_, header, expected) => {
    await using client = await TestClient.open(host.socketPath);
    const payload =
      header.proc === 1 ? encodeValue(remoteProcedures.connectOpen.args, { name: null, flags: 0 }) : undefined;
    expect(await refusalOf(client, header, payload)).toBe(expected);
  });

  test('a call before OPEN', async () => {
    await using client = await TestClient.connect(host.socketPath);
    expect(await client.refusal(remoteProcedures.connectGetType, {})).toEqual({
      code: 1,
      domain: 7,
      message: 'internal error: hypervisor connection not open',
    });
  });

  test.each([
    ['test:///default', 5, 0, 'no connection driver available for test:///default'],
    ['qemu:///elsewhere', 1, 10, "internal error: unexpected QEMU URI path '/elsewhere', try qemu:///system"],
  ])('OPEN of %s', async (name, code, domain, message) => {
    await using client = await TestClient.connect(host.socketPath);
    expect(await client.refusal(remoteProcedures.connectOpen, { name, flags: 0 })).toEqual({ code, domain, message });
  });

  test('a writing call on a read-only connection', async () => {
    await using client = await TestClient.connect(host.socketPath);
    await client.call(remoteProcedures.connectOpen, { name: 'qemu:///system', flags: 1 });
    expect(await client.refusal(remoteProcedures.domainDefineXml, { xml: '<domain/>' })).toEqual({
      code: 29,
      domain: 20,
      message: 'operation forbidden: read only access prevents virDomainDefineXML',
    });
    expect(await client.call(remoteProcedures.connectGetType, {})).toEqual({ type: 'QEMU' });
  });

  test('every function that is not there answers NO_SUPPORT with its name', async () => {
    await using client = await TestClient.open(host.socketPath);
    const there = new Set(
      Object.keys(remoteHandlers).map((key) => remoteProcedures[key as keyof typeof remoteProcedures].number),
    );
    const missing = [...apiFunctions].filter(([number]) => !there.has(number));
    expect(missing.length).toBeGreaterThan(200);
    for (const [proc, api] of missing) {
      const answer = await refusalOf(client, { prog: remoteProgram.id, proc });
      expect(answer).toMatch(new RegExp(`^3/\\d+ this function is not supported by the connection driver: ${api}$`));
    }
  });

  test('the error domain of NO_SUPPORT is that of the library part', async () => {
    await using client = await TestClient.open(host.socketPath);
    const domainOf = async (proc: number) => (await refusalOf(client, { prog: remoteProgram.id, proc })).split(' ')[0];
    const byName = new Map([...apiFunctions].map(([number, name]) => [name, number]));
    const answers = await Promise.all(
      ['virNetworkLookupByName', 'virStoragePoolGetInfo', 'virDomainRename', 'virNWFilterLookupByName'].map((name) =>
        domainOf(byName.get(name) ?? 0),
      ),
    );
    expect(answers).toEqual(['3/19', '3/18', '3/20', '3/33']);
    expect(await client.refusal(qemuProcedures.domainAttach, { pidValue: 1, flags: 0 })).toMatchObject({
      code: 3,
      domain: 0,
    });
  });
});

test('a keepalive question is answered at once, also before OPEN', async () => {
  await using client = await TestClient.connect(host.socketPath);
  const { id: prog, version: vers } = keepaliveProgram;
  const ping = { prog, vers, proc: KEEPALIVE.ping, type: MESSAGE_TYPE.message, serial: 0, status: MESSAGE_STATUS.ok };
  client.write(encodeFrame(ping, new Uint8Array(0)));
  await client.call(remoteProcedures.authList, {});
  expect(client.pushed.map((frame) => frame.header)).toEqual([{ ...ping, proc: KEEPALIVE.pong }]);
});

test('stream data for a stream that is not there is dropped', async () => {
  await using client = await TestClient.open(host.socketPath);
  const header = {
    prog: remoteProgram.id,
    vers: 1,
    proc: 201,
    type: MESSAGE_TYPE.stream,
    serial: 77,
    status: MESSAGE_STATUS.continue,
  };
  client.write(encodeFrame(header, Uint8Array.of(1, 2, 3)));
  expect(await client.call(remoteProcedures.connectGetType, {})).toEqual({ type: 'QEMU' });
});
