import { describe, expect, it } from 'vitest';
import { connect, type LibvirtConnection } from '../index.ts';
import { remoteProcedures } from '../protocol/libvirt.gen.ts';
import {
  coded,
  errorBody,
  isCall,
  listenScripted,
  type PeerSession,
  type RawMessage,
  rawMessage,
} from '../testing/scripted-peer.ts';

const { domainOpenConsole } = remoteProcedures;

describe('a stream', () => {
  const dom = { name: 'x', uuid: '11111111-2222-3333-4444-555555555555', id: 1 };

  async function openConsole(
    answer: (call: Required<RawMessage>, session: PeerSession) => void,
    onStream: (message: Required<RawMessage>, session: PeerSession) => void,
    use: (connection: LibvirtConnection, opened: Awaited<ReturnType<LibvirtConnection['openStream']>>) => Promise<void>,
    timeoutMs = 10_000,
  ): Promise<void> {
    await using peer = await listenScripted((message, session) => {
      if (isCall(message, domainOpenConsole)) answer(message, session);
      else if (message.type === 3) onStream(message, session);
      else return 'default';
      return undefined;
    });
    await using connection = await connect(peer.uri);
    await use(
      connection,
      await connection.openStream('domainOpenConsole', { dom, devName: null, flags: 0 }, { timeoutMs }),
    );
  }

  const streamMessage = (call: RawMessage, body: Uint8Array, status = 2): RawMessage => ({
    procedure: domainOpenConsole.number,
    type: 3,
    serial: call.serial,
    status,
    body,
  });
  const collect = async (chunks: AsyncIterable<Uint8Array>) => {
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(chunk);
    return Buffer.concat(parts).toString();
  };

  it('gives what came right behind the answer, ends at the empty message, and is finished with OK', async () => {
    const seen: number[] = [];
    await openConsole(
      (call, session) => {
        const data = ['one ', 'two', ''].map((text) => streamMessage(call, Buffer.from(text)));
        session.send({ procedure: call.procedure, type: 1, serial: call.serial }, ...data);
      },
      (message, session) => {
        seen.push(message.status);
        session.send(streamMessage(message, new Uint8Array(0), 0));
      },
      async (_, { stream }) => {
        expect(await collect(stream)).toBe('one two');
        await stream.close();
        await stream.close();
        expect(seen).toEqual([0]);
      },
    );
  });

  it('gives three thousand messages in their order, also to readers that take turns', async () => {
    await openConsole(
      (call, session) => {
        const numbers = Array.from({ length: 3000 }, (_, index) => streamMessage(call, Buffer.from(`${index} `)));
        session.reply(call);
        session.send(...numbers, streamMessage(call, new Uint8Array(0)));
      },
      () => {},
      async (connection, { stream }) => {
        await connection.call('connectSupportsFeature', { feature: 1 });
        let first = '';
        for await (const chunk of stream) {
          first += Buffer.from(chunk).toString();
          if (first.endsWith('1499 ')) break;
        }
        const numbers = `${first}${await collect(stream)}`.trim().split(' ');
        expect(numbers).toEqual(Array.from({ length: 3000 }, (_, index) => String(index)));
      },
    );
  });

  it('that fails gives libvirt’s error to the reader after what was read', async () => {
    await openConsole(
      (call, session) => {
        session.reply(call);
        session.send(streamMessage(call, Buffer.from('before')));
        session.send(streamMessage(call, errorBody({ code: 38, domain: 39, message: 'Input/output error' }), 1));
      },
      () => {},
      async (connection, { stream }) => {
        const parts: string[] = [];
        const reading = (async () => {
          for await (const chunk of stream) parts.push(Buffer.from(chunk).toString());
        })();
        const error = await reading.catch((reason: unknown) => reason);
        expect(parts).toEqual(['before']);
        expect(coded(error).code).toBe('LIBVIRT_REMOTE');
        expect(coded(error).message).toMatch(/the stream of 'virDomainOpenConsole' failed: Input\/output error/);
        expect(connection.isOpen).toBe(true);
      },
    );
  });

  it('that was given up may still send; that is ignored, and so is its end', async () => {
    await openConsole(
      (call, session) => session.reply(call),
      (message, session) => {
        expect(message.status).toBe(1);
        session.send(streamMessage(message, Buffer.from('late')), streamMessage(message, new Uint8Array(0), 0));
        session.send(streamMessage(message, Buffer.from('later still')));
      },
      async (connection, { stream }) => {
        await stream.close();
        await expect(stream.write(new Uint8Array(1))).rejects.toThrow('the stream has ended');
        await connection.call('connectSupportsFeature', { feature: 1 });
        expect(connection.isOpen).toBe(true);
      },
    );
  });

  it('whose end is never confirmed ends at the deadline', async () => {
    await openConsole(
      (call, session) => session.reply(call),
      () => {},
      async (_, { stream }) => {
        const error = await stream.close().catch((reason: unknown) => reason);
        expect(coded(error).code).toBe('LIBVIRT_CALL_TIMEOUT');
      },
      500,
    );
  });

  it('whose opening was never answered is given up at the peer too', async () => {
    const seen: [number, number][] = [];
    await using peer = await listenScripted((message) => {
      if (message.type === 3) seen.push([message.procedure, message.status]);
      return isCall(message, domainOpenConsole) ? undefined : 'default';
    });
    await using connection = await connect(peer.uri);
    const args = { dom, devName: null, flags: 0 };
    const error = await connection.openStream('domainOpenConsole', args, { timeoutMs: 50 }).catch((reason) => reason);
    expect(coded(error).code).toBe('LIBVIRT_CALL_TIMEOUT');
    await connection.call('connectSupportsFeature', { feature: 1 });
    expect(seen).toEqual([[domainOpenConsole.number, 1]]);
  });

  it('confirmed by the peer before we ended it breaks the connection', async () => {
    await openConsole(
      (call, session) => {
        session.reply(call);
        session.send(streamMessage(call, new Uint8Array(0), 0));
      },
      () => {},
      async (connection, { stream }) => {
        const error = await collect(stream).catch((reason: unknown) => reason);
        expect(coded(error).code).toBe('LIBVIRT_PROTOCOL');
        expect(connection.isOpen).toBe(false);
      },
    );
  });

  it.each([
    ['large', 9, 8 * 1024 * 1024],
    ['tiny', 300_000, 1],
  ])('of %s messages that nobody reads is given up before it fills our memory', async (_, messages, size) => {
    const block = new Uint8Array(size);
    const statuses: number[] = [];
    await openConsole(
      (call, session) => {
        session.reply(call);
        const message = rawMessage(streamMessage(call, block));
        session.socket.write(Buffer.concat(Array.from({ length: messages }, () => message)));
      },
      (message) => statuses.push(message.status),
      async (connection, { stream }) => {
        await connection.call('connectSupportsFeature', { feature: 1 });
        const error = await collect(stream).catch((reason: unknown) => reason);
        expect(coded(error).code).toBe('LIBVIRT_STREAM_OVERFLOW');
        expect(connection.isOpen).toBe(true);
        await connection.call('connectSupportsFeature', { feature: 1 });
        expect(statuses).toEqual([1]);
      },
    );
  });
});
