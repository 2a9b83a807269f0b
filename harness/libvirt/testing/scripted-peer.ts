import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { dir } from 'tmp-promise';
import { expect } from 'vitest';
import { SevHarnessError } from '../../../core/errors.ts';
import { encodeValue } from '../protocol/codec.ts';
import { type MessageError, remoteProcedures, writeMessageError } from '../protocol/libvirt.gen.ts';

/** A message as the peer sees or sends it. Every field can be wrong on purpose, the length too. */
export interface RawMessage {
  readonly length?: number;
  readonly program?: number;
  readonly version?: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status?: number;
  readonly body?: Uint8Array;
}

export const REMOTE = 0x20008086;
export const KEEPALIVE_PROGRAM = 0x6b656570;
const HEADER_BYTES = 28;

export function rawMessage(message: RawMessage): Buffer {
  const { program = REMOTE, version = 1, status = 0, body = new Uint8Array(0) } = message;
  const bytes = Buffer.alloc(HEADER_BYTES + body.length);
  const words = [message.length ?? bytes.length, program, version];
  for (const [index, word] of words.entries()) bytes.writeUInt32BE(word, index * 4);
  bytes.writeInt32BE(message.procedure, 12);
  bytes.writeUInt32BE(message.type, 16);
  bytes.writeUInt32BE(message.serial, 20);
  bytes.writeUInt32BE(status, 24);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

export function errorBody(fields: Partial<MessageError>): Uint8Array {
  const nothing = { dom: null, str1: null, str2: null, str3: null, net: null, message: null };
  const value = { code: 1, domain: 10, level: 2, int1: -1, int2: -1, ...nothing, ...fields };
  return encodeValue({ read: () => value, write: writeMessageError }, value);
}

/** One client of the peer. */
export class PeerSession {
  readonly socket: Socket;
  /** Everything that the client sent, in order. */
  readonly received: Required<RawMessage>[] = [];
  #buffer = Buffer.alloc(0);

  constructor(socket: Socket, script: PeerScript) {
    this.socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      for (let message = this.#take(); message !== undefined; message = this.#take()) {
        this.received.push(message);
        if (script(message, this) === 'default') this.answerAsUsual(message);
      }
    });
  }

  send(...messages: readonly RawMessage[]): void {
    this.socket.write(Buffer.concat(messages.map(rawMessage)));
  }

  reply(to: RawMessage, body?: Uint8Array, wrong: Partial<RawMessage> = {}): void {
    const { program = REMOTE, procedure, serial } = to;
    this.send({ program, procedure, type: 1, serial, ...(body === undefined ? {} : { body }), ...wrong });
  }

  refuse(to: RawMessage, error: Partial<MessageError>): void {
    this.reply(to, errorBody(error), { status: 1 });
  }

  /** Lets the client in, and out again. */
  answerAsUsual(call: Required<RawMessage>): void {
    if (call.type !== 0 || call.program !== REMOTE) return;
    const { authList, connectSupportsFeature, connectOpen, connectClose } = remoteProcedures;
    switch (call.procedure) {
      case authList.number:
        this.reply(call, encodeValue(authList.ret, { types: [0] }));
        return;
      case connectSupportsFeature.number:
        this.reply(call, encodeValue(connectSupportsFeature.ret, { supported: 1 }));
        return;
      case connectOpen.number:
      case connectClose.number:
        this.reply(call);
    }
  }

  #take(): Required<RawMessage> | undefined {
    const buffer = this.#buffer;
    if (buffer.length < HEADER_BYTES) return undefined;
    const length = buffer.readUInt32BE(0);
    if (buffer.length < length) return undefined;
    this.#buffer = buffer.subarray(length);
    return {
      length,
      program: buffer.readUInt32BE(4),
      version: buffer.readUInt32BE(8),
      procedure: buffer.readInt32BE(12),
      type: buffer.readUInt32BE(16),
      serial: buffer.readUInt32BE(20),
      status: buffer.readUInt32BE(24),
      body: new Uint8Array(buffer.subarray(HEADER_BYTES, length)),
    };
  }
}

/** Sees each message first; says `default` to have the calls of connecting and closing answered. */
export type PeerScript = (message: Required<RawMessage>, session: PeerSession) => 'default' | undefined;

export interface ScriptedPeer extends AsyncDisposable {
  readonly path: string;
  readonly uri: string;
  readonly sessions: readonly PeerSession[];
}

/** Something that listens like a libvirt daemon and does exactly what the script says. */
export async function listenScripted(script: PeerScript): Promise<ScriptedPeer> {
  const folder = await dir({ unsafeCleanup: true, prefix: 'sevh-peer-' });
  const socketPath = path.join(folder.path, 'sock');
  const sessions: PeerSession[] = [];
  const server: Server = createServer((socket) => {
    sessions.push(new PeerSession(socket, script));
  });
  await new Promise<void>((resolve) => {
    server.listen(socketPath, resolve);
  });
  return {
    path: socketPath,
    uri: `qemu+unix:///system?socket=${socketPath}`,
    sessions,
    [Symbol.asyncDispose]: async () => {
      for (const session of sessions) session.socket.destroy();
      await new Promise((resolve) => {
        server.close(resolve);
      });
      await folder.cleanup();
    },
  };
}

export function isCall(message: RawMessage, procedure: { readonly number: number }): boolean {
  return message.type === 0 && message.program === REMOTE && message.procedure === procedure.number;
}

/** Expects an error of ours, in one line. */
export function coded(error: unknown): SevHarnessError {
  expect(error).toBeInstanceOf(SevHarnessError);
  const ours = error as SevHarnessError;
  expect(ours.message).not.toContain('\n');
  return ours;
}
