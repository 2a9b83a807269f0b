import { describe, expect, it, vi } from 'vitest';
import { connect, RemoteError } from './index.ts';
import { decodeValue, encodeValue } from './protocol/codec.ts';
import { remoteEvents, remoteProcedures } from './protocol/libvirt.gen.ts';
import { coded, isCall, KEEPALIVE_PROGRAM, listenScripted, type PeerScript } from './testing/scripted-peer.ts';

const { authList, authPolkit, authSaslInit, connectOpen, connectGetHostname } = remoteProcedures;
const { connectDomainEventCallbackRegisterAny, connectDomainEventCallbackDeregisterAny } = remoteProcedures;

/** Lets clients in that authenticate as `types` say. */
function insistingOn(types: readonly number[], polkit?: PeerScript): PeerScript {
  return (message, session) => {
    if (isCall(message, authList)) session.reply(message, encodeValue(authList.ret, { types }));
    else if (isCall(message, authSaslInit)) {
      session.reply(message, encodeValue(authSaslInit.ret, { mechlist: 'SCRAM-SHA-256 GSSAPI' }));
    } else if (isCall(message, authPolkit)) return polkit?.(message, session);
    else return 'default';
    return undefined;
  };
}

async function connectError(script: PeerScript) {
  await using peer = await listenScripted(script);
  const error = await connect(peer.uri, { callTimeoutMs: 2000 }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  return coded(error);
}

describe('connect', () => {
  it('asks for authentication, then opens the URI without its transport', async () => {
    await using peer = await listenScripted(() => 'default');
    await using connection = await connect(peer.uri);
    const [list, open] = peer.sessions[0]?.received ?? [];
    expect([list?.procedure, list?.serial, open?.procedure, open?.serial]).toEqual([66, 0, 1, 1]);
    expect(decodeValue(connectOpen.args, open?.body ?? new Uint8Array(0))).toEqual({
      name: 'qemu:///system',
      flags: 0,
    });
    expect(connection.uri).toBe(peer.uri);
  });

  it('asks for a read-only connection with the flag', async () => {
    await using peer = await listenScripted(() => 'default');
    await using _connection = await connect(peer.uri, { readOnly: true });
    const open = peer.sessions[0]?.received.find((message) => isCall(message, connectOpen));
    expect(decodeValue(connectOpen.args, open?.body ?? new Uint8Array(0)).flags).toBe(1);
  });

  it('watches with keepalive only where the daemon supports it', async () => {
    await using peer = await listenScripted((message, session) => {
      if (!isCall(message, remoteProcedures.connectSupportsFeature)) return 'default';
      session.refuse(message, { code: 39, domain: 7, message: 'unknown procedure: 60' });
      return undefined;
    });
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    try {
      await using connection = await connect(peer.uri, { keepalive: { intervalMs: 5, count: 1 } });
      vi.advanceTimersByTime(60);
      expect(connection.isOpen).toBe(true);
    } finally {
      vi.useRealTimers();
    }
    expect(peer.sessions[0]?.received.some((message) => message.program === KEEPALIVE_PROGRAM)).toBe(false);
  });

  it('says goodbye when it is disposed', async () => {
    await using peer = await listenScripted(() => 'default');
    {
      await using _connection = await connect(peer.uri);
    }
    expect(peer.sessions[0]?.received.at(-1)?.procedure).toBe(2);
  });

  it('passes polkit', async () => {
    const granted: PeerScript = (message, session) => {
      session.reply(message, encodeValue(authPolkit.ret, { complete: 1 }));
      return undefined;
    };
    await using peer = await listenScripted(insistingOn([2], granted));
    await using connection = await connect(peer.uri);
    expect(connection.isOpen).toBe(true);
  });

  it('names polkit and what to do when it refuses', async () => {
    const error = await connectError(
      insistingOn([2], (message, session) => {
        const text = 'authentication failed: access denied by policy';
        session.refuse(message, { code: 45, domain: 60, message: text });
        return undefined;
      }),
    );
    expect(error.code).toBe('LIBVIRT_AUTH_POLKIT');
    expect(error.message).toContain('polkit refused: authentication failed: access denied by policy');
    expect(error.hint).toContain('org.libvirt.unix.manage');
  });

  it('names polkit when it does not complete', async () => {
    const error = await connectError(
      insistingOn([2], (message, session) => {
        session.reply(message, encodeValue(authPolkit.ret, { complete: 0 }));
        return undefined;
      }),
    );
    expect(error.code).toBe('LIBVIRT_AUTH_POLKIT');
  });

  it('names SASL, its mechanisms and the way out when the daemon insists on it', async () => {
    const error = await connectError(insistingOn([1]));
    expect(error.code).toBe('LIBVIRT_AUTH_SASL');
    expect(error.message).toContain('SASL (mechanisms: SCRAM-SHA-256 GSSAPI)');
    expect(error.hint).toContain('qemu+ssh://');
    expect(error.details).toEqual({ mechanisms: ['SCRAM-SHA-256', 'GSSAPI'] });
  });

  it('takes no authentication over SASL where both are offered', async () => {
    await using peer = await listenScripted(insistingOn([1, 0]));
    await using connection = await connect(peer.uri);
    expect(connection.isOpen).toBe(true);
  });

  it('refuses a daemon whose ways to authenticate it does not know', async () => {
    const error = await connectError(insistingOn([9]));
    expect(error.code).toBe('LIBVIRT_AUTH_UNKNOWN');
    expect(error.message).toContain('type 9 only');
  });

  it('passes on what libvirt says when it does not open the URI', async () => {
    const error = await connectError((message, session) => {
      if (!isCall(message, connectOpen)) return 'default';
      session.refuse(message, { code: 38, domain: 0, message: 'no polkit agent\n' });
      return undefined;
    });
    expect(error).toBeInstanceOf(RemoteError);
    expect(error.message).toBe("open 'qemu:///system' failed: no polkit agent (VIR_ERR_SYSTEM_ERROR, VIR_FROM_NONE)");
  });

  it('gives up with the signal’s reason', async () => {
    await using peer = await listenScripted(() => undefined);
    const controller = new AbortController();
    const connecting = connect(peer.uri, { signal: controller.signal }).catch((error: unknown) => error);
    controller.abort('changed my mind');
    expect(await connecting).toBe('changed my mind');
  });
});

describe('many calls in flight', () => {
  it('get each its own answer, in whatever order the answers come', async () => {
    const held: Parameters<PeerScript>[0][] = [];
    await using peer = await listenScripted((message, session) => {
      if (!isCall(message, connectGetHostname)) return 'default';
      held.push(message);
      if (held.length === 100) {
        for (const call of held.reverse()) {
          session.reply(call, encodeValue(connectGetHostname.ret, { hostname: `host ${call.serial}` }));
        }
      }
      return undefined;
    });
    await using connection = await connect(peer.uri);
    const names = await Promise.all(Array.from({ length: 100 }, () => connection.hostname()));
    expect(names).toEqual(Array.from({ length: 100 }, (_, index) => `host ${index + 2}`));
  });
});

describe('lifecycle events', () => {
  const dom = { name: 'x', uuid: '11111111-2222-3333-4444-555555555555', id: 4 };
  const event = (callbackID: number, type: number, detail: number) => ({
    procedure: 318,
    type: 2,
    serial: 0,
    body: encodeValue(remoteEvents.domainEventCallbackLifecycle.fields, { callbackID, dom, event: type, detail }),
  });

  it('that come in the same packet as the answer to registering are not lost', async () => {
    await using peer = await listenScripted((message, session) => {
      if (!isCall(message, connectDomainEventCallbackRegisterAny)) return 'default';
      const body = encodeValue(connectDomainEventCallbackRegisterAny.ret, { callbackID: 7 });
      session.send({ procedure: 316, type: 1, serial: message.serial, body }, event(7, 2, 0), event(7, 3, 0));
      return undefined;
    });
    await using connection = await connect(peer.uri);
    const seen: unknown[] = [];
    await connection.onLifecycle((happened) => seen.push(happened));
    expect(seen).toEqual([
      { domain: dom, event: 'started', detail: 'booted' },
      { domain: dom, event: 'suspended', detail: 'paused' },
    ]);
  });

  it('of other listeners, unknown kinds and deregistered listeners are ignored', async () => {
    await using peer = await listenScripted((message, session) => {
      if (isCall(message, connectDomainEventCallbackRegisterAny)) {
        session.reply(message, encodeValue(connectDomainEventCallbackRegisterAny.ret, { callbackID: 7 }));
        session.send(event(8, 2, 0), event(7, 99, 0), event(7, 5, 55));
      } else if (isCall(message, connectDomainEventCallbackDeregisterAny)) {
        session.reply(message);
        session.send(event(7, 2, 0));
      } else if (isCall(message, connectGetHostname)) {
        session.reply(message, encodeValue(connectGetHostname.ret, { hostname: 'h' }));
      } else return 'default';
      return undefined;
    });
    await using connection = await connect(peer.uri);
    const seen: unknown[] = [];
    const stop = await connection.onLifecycle(({ event: name, detail }) => seen.push([name, detail]));
    await connection.hostname();
    await stop();
    await stop();
    await connection.hostname();
    expect(seen).toEqual([['stopped', 55]]);
    const deregistrations = peer.sessions[0]?.received.filter((message) => message.procedure === 317);
    expect(deregistrations).toHaveLength(1);
  });
});
