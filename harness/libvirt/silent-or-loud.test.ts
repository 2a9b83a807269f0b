import { describe, expect, it, vi } from 'vitest';
import { connect } from './index.ts';
import { encodeValue } from './protocol/codec.ts';
import { remoteEvents, remoteProcedures } from './protocol/libvirt.gen.ts';
import { askHostname, hostname } from './testing/ask-hostname.ts';
import {
  coded,
  isCall,
  KEEPALIVE_PROGRAM,
  listenScripted,
  type PeerSession,
  type RawMessage,
  REMOTE,
  rawMessage,
} from './testing/scripted-peer.ts';

const { connectGetHostname } = remoteProcedures;

describe('a peer that never answers', () => {
  it('fails the call at its deadline, says what was waited for, and keeps the connection', async () => {
    let held: Required<RawMessage> | undefined;
    await askHostname(
      (call, session) => {
        if (held === undefined) held = call;
        else session.reply(held, hostname('late'));
        if (held !== call) session.reply(call, hostname('prompt'));
      },
      async ({ error }, connection) => {
        expect(coded(error).code).toBe('LIBVIRT_CALL_TIMEOUT');
        expect(coded(error).message).toMatch(
          /no answer to 'read the host name' \(CONNECT_GET_HOSTNAME\) .* within 50 ms; the last message from it was type 1/,
        );
        // The late answer to the call that was given up is not taken for anything else.
        expect(await connection.hostname()).toBe('prompt');
      },
      50,
    );
  });

  it('lets a call go when its signal aborts, with the reason of the signal', async () => {
    await using peer = await listenScripted((message) => (isCall(message, connectGetHostname) ? undefined : 'default'));
    await using connection = await connect(peer.uri);
    const controller = new AbortController();
    const asked = connection
      .call('connectGetHostname', {}, { signal: controller.signal })
      .catch((error: unknown) => error);
    controller.abort(new Error('enough'));
    expect(await asked).toEqual(new Error('enough'));
    const again = connection
      .call('connectGetHostname', {}, { signal: controller.signal })
      .catch((error: unknown) => error);
    expect(await again).toEqual(new Error('enough'));
  });

  it('fails connecting at the deadline', async () => {
    await using peer = await listenScripted(() => undefined);
    const error = await connect(peer.uri, { callTimeoutMs: 50 }).catch((reason: unknown) => reason);
    expect(coded(error).code).toBe('LIBVIRT_CALL_TIMEOUT');
    expect(coded(error).message).toContain("'list ways to authenticate'");
  });

  it('is given up by keepalive, when that was asked for', async () => {
    await using peer = await listenScripted((message) => {
      return isCall(message, connectGetHostname) || message.program !== REMOTE ? undefined : 'default';
    });
    await using connection = await connect(peer.uri, { keepalive: { intervalMs: 10, count: 2 } });
    const error = await connection.hostname().catch((reason: unknown) => reason);
    expect(coded(error).code).toBe('LIBVIRT_CONNECTION_LOST');
    expect(coded(error).message).toContain('gave no sign of life for 30 ms');
    const pings = peer.sessions[0]?.received.filter((message) => message.program === KEEPALIVE_PROGRAM);
    expect(pings?.map((ping) => [ping.procedure, ping.type, ping.serial])).toEqual([
      [1, 2, 0],
      [1, 2, 0],
    ]);
  });
});

describe('a peer that talks but never answers PINGs', () => {
  it('is not given up by keepalive', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      await using peer = await listenScripted((message, session) => {
        if (!isCall(message, connectGetHostname)) return 'default';
        session.reply(message, hostname('here'));
        return undefined;
      });
      await using connection = await connect(peer.uri, { keepalive: { intervalMs: 10, count: 1 } });
      for (let turn = 0; turn < 20; turn++) {
        expect(await connection.hostname()).toBe('here');
        vi.advanceTimersByTime(10);
      }
      expect(connection.isOpen).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('a peer that floods', () => {
  it('with PINGs gets its PONG while a call is pending', async () => {
    await askHostname(
      (call, session) => {
        session.send({ program: KEEPALIVE_PROGRAM, procedure: 1, type: 2, serial: 0 });
        session.socket.once('data', (pong: Buffer) => {
          expect([pong.readUInt32BE(4), pong.readInt32BE(12)]).toEqual([KEEPALIVE_PROGRAM, 2]);
          session.reply(call, hostname('alive'));
        });
      },
      ({ hostname: name }) => expect(name).toBe('alive'),
    );
  });

  it('with PINGs gets fewer PONGs, so that they cannot fill our memory while it reads nothing', async () => {
    const ping = rawMessage({ program: KEEPALIVE_PROGRAM, procedure: 1, type: 2, serial: 0 });
    let flooding: PeerSession | undefined;
    await askHostname(
      (call, session) => {
        flooding = session;
        session.socket.write(Buffer.concat(Array.from({ length: 20000 }, () => ping)));
        session.reply(call, hostname('alive'));
      },
      async ({ hostname: name }, connection) => {
        expect(name).toBe('alive');
        await connection.close();
        const pongs = flooding?.received.filter((message) => message.program === KEEPALIVE_PROGRAM).length ?? 0;
        expect(pongs).toBeGreaterThan(0);
        expect(pongs).toBeLessThan(2000);
      },
    );
  });

  it('with events that nobody asked for is still answered by calls', async () => {
    const dom = { name: 'x', uuid: '11111111-2222-3333-4444-555555555555', id: 1 };
    const { domainEventCallbackLifecycle } = remoteEvents;
    const body = encodeValue(domainEventCallbackLifecycle.fields, { callbackID: 999, dom, event: 2, detail: 0 });
    const event = { procedure: 318, type: 2, serial: 0, body };
    await askHostname(
      (call, session) => {
        session.send(...Array.from({ length: 10000 }, () => event));
        session.reply(call, hostname('here'));
      },
      ({ hostname: name }) => expect(name).toBe('here'),
    );
  });
});
