import { describe, expect, it } from 'vitest';
import type { SevHarnessError } from '../../core/errors.ts';
import { connect, RemoteError } from './index.ts';
import { encodeValue } from './protocol/codec.ts';
import { qemuProcedures, remoteProcedures } from './protocol/libvirt.gen.ts';
import { askHostname, hostname } from './testing/ask-hostname.ts';
import {
  coded,
  isCall,
  KEEPALIVE_PROGRAM,
  listenScripted,
  type RawMessage,
  rawMessage,
} from './testing/scripted-peer.ts';

const { connectGetHostname, domainLookupByName } = remoteProcedures;
const { domainMonitorCommand } = qemuProcedures;
const QEMU = 0x20008087;

describe('a peer that breaks the protocol', () => {
  const broken: readonly [string, (call: Required<RawMessage>) => Buffer, RegExp][] = [
    ['a frame shorter than its header', (call) => rawMessage({ ...call, length: 27, type: 1 }), /27 bytes/],
    [
      'a frame longer than libvirt allows',
      (call) => rawMessage({ ...call, length: 33554437, type: 1 }),
      /33554437 bytes/,
    ],
    ['a frame of 4 GiB', (call) => rawMessage({ ...call, length: 0xffffffff, type: 1 }), /4294967295 bytes/],
    ['an unknown program', (call) => rawMessage({ ...call, type: 1, program: 0x20008000 }), /program 0x20008000/],
    ['an unknown version', (call) => rawMessage({ ...call, type: 1, version: 7 }), /version 7/],
    ['a call of its own', (call) => rawMessage({ ...call, type: 0 }), /type 0/],
    ['an undefined type', (call) => rawMessage({ ...call, type: 77 }), /type 77/],
    ['an undefined status', (call) => rawMessage({ ...call, type: 1, status: 12 }), /status 12/],
    ['a serial nobody waits for', (call) => rawMessage({ ...call, type: 1, serial: 4242 }), /serial 4242/],
    [
      'another procedure',
      (call) => rawMessage({ ...call, type: 1, procedure: 7 }),
      /as procedure 7 .* is procedure 59/,
    ],
    [
      'an unknown keepalive',
      () => rawMessage({ program: KEEPALIVE_PROGRAM, procedure: 3, type: 2, serial: 0 }),
      /procedure 3/,
    ],
    ['text that is no frame', () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), /bytes/],
  ];

  it.each(broken)('by sending %s fails the pending call, is named, and stays broken', async (_, answer, text) => {
    await askHostname(
      (call, session) => session.socket.write(answer(call)),
      async ({ error }, connection) => {
        expect(coded(error).code).toBe('LIBVIRT_PROTOCOL');
        expect(coded(error).message).toMatch(text);
        expect(coded(error).message).toContain('broken by libvirt at unix socket');
        expect(coded(error).message).toContain("while waiting for 'read the host name'");
        expect(connection.isOpen).toBe(false);
        const later = await connection.hostname().catch((reason: unknown) => reason);
        expect(coded(later).code).toBe('LIBVIRT_PROTOCOL');
        expect(coded(later).message).toMatch(text);
      },
    );
  });

  it('by answering for the same number in another program that was called is named', async () => {
    await using peer = await listenScripted((message, session) => {
      if (message.program === QEMU) session.reply(message, encodeValue(domainMonitorCommand.ret, { result: '{}' }));
      else if (isCall(message, connectGetHostname)) session.reply(message, hostname('x'), { program: QEMU });
      else return 'default';
      return undefined;
    });
    await using connection = await connect(peer.uri);
    const dom = { name: 'x', uuid: '11111111-2222-3333-4444-555555555555', id: 1 };
    await connection.callQemu('domainMonitorCommand', { dom, cmd: '{}', flags: 0 });
    const error = coded(await connection.hostname().catch((reason: unknown) => reason));
    expect(error.code).toBe('LIBVIRT_PROTOCOL');
    expect(error.message).toContain('as procedure 59 of program 0x20008087');
  });

  it('by sending an event that cannot be decoded is named', async () => {
    await askHostname(
      (_, session) => session.send({ procedure: 318, type: 2, serial: 0, body: new Uint8Array(3) }),
      ({ error }) => {
        expect(coded(error).code).toBe('LIBVIRT_PROTOCOL');
        expect(coded(error).message).toContain('malformed XDR');
      },
    );
  });
});

describe('garbage inside a well-formed frame', () => {
  const garbage: readonly [string, Uint8Array][] = [
    ['nothing', new Uint8Array(0)],
    ['a length beyond the end', new Uint8Array([0, 0, 1, 0, 65, 66, 67, 68])],
    ['a length beyond the limit', new Uint8Array([0x7f, 0xff, 0xff, 0xff])],
    ['bytes after the value', new Uint8Array([...hostname('abcd'), 0, 0, 0, 0])],
    ['a body that is not whole words', new Uint8Array([0, 0])],
  ];

  it.each(garbage)('as an answer (%s) fails that call only', async (_, body) => {
    await askHostname(
      (call, session) => session.reply(call, body),
      async ({ error }, connection) => {
        expect(coded(error).code).toBe('LIBVIRT_PROTOCOL');
        expect(coded(error).message).toContain("'read the host name' (CONNECT_GET_HOSTNAME) cannot be decoded");
        expect(connection.isOpen).toBe(true);
      },
    );
  });

  it.each(garbage)('as an error (%s) fails that call only', async (_, body) => {
    await askHostname(
      (call, session) => session.reply(call, body, { status: 1 }),
      ({ error }, connection) => {
        expect(coded(error).code).toBe('LIBVIRT_PROTOCOL');
        expect(connection.isOpen).toBe(true);
      },
    );
  });
});

describe('an error answer', () => {
  const absurd = { code: -1, domain: 2147483647, level: -5, message: null, str1: '%s%s%n', int1: -2147483648 };

  it('with absurd fields is kept whole and put into one line', async () => {
    await askHostname(
      (call, session) => session.refuse(call, absurd),
      ({ error }) => {
        expect(error).toBeInstanceOf(RemoteError);
        expect((error as RemoteError).remote).toMatchObject({ ...absurd, procedure: 'CONNECT_GET_HOSTNAME' });
        expect(coded(error).message).toBe(
          'read the host name failed: libvirt gave no text (error -1, domain 2147483647)',
        );
      },
    );
  });

  it('of many lines and a megabyte is kept whole and put into one line', async () => {
    const message = `first\n  second\n${'x'.repeat(1_000_000)}\n`;
    await askHostname(
      (call, session) => session.refuse(call, { code: 38, domain: 0, message }),
      ({ error }) => {
        expect((error as RemoteError).remote.message).toBe(message);
        expect(coded(error).message).toMatch(/^read the host name failed: first; second; x/);
        expect(coded(error).message).toMatch(/x \(VIR_ERR_SYSTEM_ERROR, VIR_FROM_NONE\)$/);
      },
    );
  });

  it('survives JSON with its fields', async () => {
    await askHostname(
      (call, session) => session.refuse(call, { code: 42, message: 'Domain not found', str2: 'x' }),
      ({ error }) => {
        const copy = JSON.parse(JSON.stringify(error));
        expect(copy.code).toBe('LIBVIRT_REMOTE');
        expect(copy.details.remote).toMatchObject({
          codeName: 'VIR_ERR_NO_DOMAIN',
          domainName: 'VIR_FROM_QEMU',
          str2: 'x',
        });
      },
    );
  });
});

describe('a peer that goes away', () => {
  it('in mid-call fails every pending call, and says what was pending', async () => {
    await using peer = await listenScripted((message, session) => {
      if (isCall(message, domainLookupByName) && session.received.length >= 7) session.socket.end();
      return message.procedure < 4 || message.procedure > 50 ? 'default' : undefined;
    });
    await using connection = await connect(peer.uri);
    const lookups = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) =>
      connection.lookupByName(name).catch((error: unknown) => coded(error)),
    );
    const errors = (await Promise.all(lookups)) as SevHarnessError[];
    expect(errors.map((error) => error.code)).toEqual(errors.map(() => 'LIBVIRT_CONNECTION_LOST'));
    expect(errors[1]?.message).toContain("closed the connection, while waiting for 'look up domain 'b''");
    expect(errors[1]?.message).toContain("look up domain 'e', 2 more");
  });

  it('in the middle of a message says how far it came', async () => {
    await askHostname(
      (call, session) => session.socket.end(rawMessage({ ...call, type: 1, length: 100 })),
      ({ error }) => {
        expect(coded(error).code).toBe('LIBVIRT_CONNECTION_LOST');
        expect(coded(error).message).toMatch(/in the middle of a message, 28 bytes of it had arrived/);
      },
    );
  });

  it('is reported to onClose once, with the reason, and our own close without one', async () => {
    const reasons: unknown[] = [];
    await askHostname(
      (_, session) => session.socket.destroy(),
      async (_, connection) => {
        connection.onClose((reason) => reasons.push(reason?.code));
        await connection.close();
        await connection.close();
      },
    );
    expect(reasons).toEqual([]);
    await using peer = await listenScripted(() => 'default');
    const connection = await connect(peer.uri);
    connection.onClose((reason) => reasons.push(reason?.code));
    await connection.close();
    await connection.close();
    expect(reasons).toEqual([undefined]);
    const late = await connection.hostname().catch((error: unknown) => error);
    expect(coded(late).code).toBe('LIBVIRT_CLOSED');
  });

  it('before it lets us in is a failed connect', async () => {
    await using peer = await listenScripted((_, session) => {
      session.socket.destroy();
      return undefined;
    });
    const error = await connect(peer.uri).catch((reason: unknown) => reason);
    expect(coded(error).code).toBe('LIBVIRT_CONNECT');
    expect(coded(error).message).toContain(`cannot connect to '${peer.uri}'`);
  });
});
