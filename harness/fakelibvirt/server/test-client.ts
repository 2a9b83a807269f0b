import { connect, type Socket } from 'node:net';
import {
  decodeValue,
  encodeValue,
  MESSAGE_STATUS,
  MESSAGE_TYPE,
  type Procedure,
} from '../../libvirt/protocol/codec.ts';
import {
  type MessageHeader,
  readMessageError,
  remoteEvents,
  remoteProcedures,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { XdrReader } from '../../libvirt/xdr/reader.ts';
import { encodeFrame, type Frame, FrameSplitter } from './frame.ts';

/** What a refused call rejects with. */
export interface RemoteError {
  readonly code: number;
  readonly domain: number;
  readonly message: string;
}

type Waiting = { resolve: (frame: Frame) => void; reject: (error: Error) => void };

/** A bare client for the tests of this room: it has nothing to do with the product's client, on purpose. */
export class TestClient implements AsyncDisposable {
  /** Lifecycle events as `name event/detail id`, in the order of arrival. */
  readonly lifecycle: string[] = [];
  /** Every frame that was no reply. */
  readonly pushed: Frame[] = [];
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiting>();
  #serial = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const splitter = new FrameSplitter();
    socket.on('data', (chunk) => {
      for (const frame of splitter.push(chunk)) this.#take(frame);
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('connection closed'));
        this.#waiting.clear();
        resolve();
      });
    });
  }

  static async connect(socketPath: string): Promise<TestClient> {
    const socket = connect(socketPath);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new TestClient(socket);
  }

  /** Connected, opened, and subscribed to lifecycle events. */
  static async open(socketPath: string): Promise<TestClient> {
    const client = await TestClient.connect(socketPath);
    await client.call(remoteProcedures.connectOpen, { name: 'qemu:///system', flags: 0 });
    await client.call(remoteProcedures.connectDomainEventCallbackRegisterAny, { eventID: 0, dom: null });
    return client;
  }

  async call<Args, Ret>(procedure: Procedure<Args, Ret>, args: Args): Promise<Ret> {
    const header = { prog: procedure.program.id, vers: procedure.program.version, proc: procedure.number };
    const { header: reply, payload } = await this.roundTrip(header, encodeValue(procedure.args, args));
    if (reply.status === MESSAGE_STATUS.error) throw readMessageError(new XdrReader(payload));
    return decodeValue(procedure.ret, payload);
  }

  /** The refusal of a call that must fail. */
  async refusal<Args, Ret>(procedure: Procedure<Args, Ret>, args: Args): Promise<RemoteError> {
    try {
      await this.call(procedure, args);
    } catch (error) {
      const { code, domain, message } = error as RemoteError;
      return { code, domain, message };
    }
    throw new Error(`${procedure.wireName} succeeded`);
  }

  roundTrip(header: Partial<MessageHeader>, payload: Uint8Array): Promise<Frame> {
    const serial = this.#serial++;
    const full = { prog: 0, vers: 1, proc: 0, type: MESSAGE_TYPE.call, status: MESSAGE_STATUS.ok, ...header, serial };
    return new Promise((resolve, reject) => {
      this.#waiting.set(serial, { resolve, reject });
      this.write(encodeFrame(full, payload));
    });
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** Resolves when everything that was sent is answered and the events behind it are here. */
  async settle(): Promise<void> {
    for (let round = 0; round < 3; round++) await this.call(remoteProcedures.connectGetType, {});
  }

  /** The lifecycle events since the last call. */
  async takeLifecycle(): Promise<string[]> {
    await this.settle();
    return this.lifecycle.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.destroy();
    await this.closed;
  }

  #take(frame: Frame): void {
    const waiting = frame.header.type === MESSAGE_TYPE.reply ? this.#waiting.get(frame.header.serial) : undefined;
    if (waiting) {
      this.#waiting.delete(frame.header.serial);
      waiting.resolve(frame);
      return;
    }
    this.pushed.push(frame);
    const { domainEventCallbackLifecycle: lifecycle } = remoteEvents;
    if (frame.header.type === MESSAGE_TYPE.message && frame.header.proc === lifecycle.number) {
      const { dom, event, detail } = decodeValue(lifecycle.fields, frame.payload);
      this.lifecycle.push(`${dom.name} ${event}/${detail} ${dom.id}`);
    }
  }
}
