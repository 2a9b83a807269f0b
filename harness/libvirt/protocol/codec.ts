import { XdrReader } from '../xdr/reader.ts';
import { XdrWriter } from '../xdr/writer.ts';

/** How one wire value is read and written. */
export interface Codec<T> {
  read(reader: XdrReader): T;
  write(writer: XdrWriter, value: T): void;
}

/** One of the independent RPC programs on a connection (virnetprotocol.x, `prog` and `vers`). */
export interface Program {
  readonly id: number;
  readonly version: number;
}

/** A procedure that a client calls. `stream` is the direction as the client sees it. */
export interface Procedure<Args, Ret> {
  readonly program: Program;
  readonly number: number;
  readonly wireName: string;
  /** The public libvirt function, as error texts name it. */
  readonly api: string;
  readonly stream: 'read' | 'write' | undefined;
  readonly args: Codec<Args>;
  readonly ret: Codec<Ret>;
}

/** A message that the server pushes. */
export interface PushedEvent<Fields> {
  readonly program: Program;
  readonly number: number;
  readonly wireName: string;
  readonly fields: Codec<Fields>;
}

/** `type` of a message header (virnetprotocol.x, virNetMessageType). */
export const MESSAGE_TYPE = {
  call: 0,
  reply: 1,
  message: 2,
  stream: 3,
  callWithFds: 4,
  replyWithFds: 5,
  streamHole: 6,
} as const;

/** `status` of a message header (virNetMessageStatus). */
export const MESSAGE_STATUS = { ok: 0, error: 1, continue: 2 } as const;

/** Keepalive messages have a program of their own and no payload (virkeepaliveprotocol.x). */
export const keepaliveProgram = { id: 0x6b656570, version: 1 } as const;
export const KEEPALIVE = { ping: 1, pong: 2 } as const;

export const nothing: Codec<Record<never, never>> = { read: () => ({}), write: () => {} };

/** The bytes of `value`. Throws `XDR_UNENCODABLE`. */
export function encodeValue<T>(codec: Codec<T>, value: T): Uint8Array {
  const writer = new XdrWriter();
  codec.write(writer, value);
  return writer.finish();
}

/** The value of exactly these bytes. Throws `XDR_MALFORMED`, also for bytes left over. */
export function decodeValue<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const reader = new XdrReader(bytes);
  const value = codec.read(reader);
  reader.end();
  return value;
}
