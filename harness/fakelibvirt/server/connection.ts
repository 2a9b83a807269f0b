import type { Socket } from 'node:net';
import { errorText } from '../../../core/errors.ts';
import { KEEPALIVE, keepaliveProgram, MESSAGE_STATUS, MESSAGE_TYPE } from '../../libvirt/protocol/codec.ts';
import { type MessageHeader, writeMessageError } from '../../libvirt/protocol/libvirt.gen.ts';
import { XdrWriter } from '../../libvirt/xdr/writer.ts';
import { refusal, refusalFields } from '../refusal.ts';
import type { Machine } from '../state/machine.ts';
import type { Dispatcher } from './dispatch.ts';
import { EventSubscriptions } from './event-subscriptions.ts';
import { encodeFrame, type Frame, FrameSplitter } from './frame.ts';
import { Keepalive } from './keepalive.ts';
import { assertWritable, mayCallBeforeOpen } from './permissions.ts';
import { StreamTable } from './streams.ts';

const VIR_ERR_LEVEL_ERROR = 2;
const NOTHING = new Uint8Array(0);

/** One client of the emulated libvirtd, from accept to close. */
export class ClientConnection {
  readonly events: EventSubscriptions;
  readonly streams: StreamTable;
  readonly keepalive: Keepalive;
  /** The URI given to OPEN; undefined before. */
  uri: string | undefined;
  isReadOnly = false;
  readonly #socket: Socket;
  readonly #machine: Machine;
  readonly #dispatcher: Dispatcher;
  readonly #splitter = new FrameSplitter();
  readonly #log: (line: string) => void;
  readonly #onClose: () => void;
  #isClosed = false;

  constructor(
    socket: Socket,
    machine: Machine,
    dispatcher: Dispatcher,
    log: (line: string) => void,
    onClose: (connection: ClientConnection) => void,
  ) {
    this.#socket = socket;
    this.#machine = machine;
    this.#dispatcher = dispatcher;
    this.#log = log;
    this.#onClose = () => onClose(this);
    this.events = new EventSubscriptions(machine.events, (header, payload) => this.send(header, payload));
    this.streams = new StreamTable((header, payload) => this.send(header, payload));
    this.keepalive = new Keepalive(
      () => this.#sendKeepalive(KEEPALIVE.ping),
      () => this.close('keepalive timeout'),
    );
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('error', (error) => this.close(error.message));
    socket.on('close', () => this.close('closed by the client'));
  }

  send(header: MessageHeader, payload: Uint8Array): void {
    if (!this.#isClosed) this.#socket.write(encodeFrame(header, payload));
  }

  /** Lets what is written go out, then closes. */
  closeAfterReply(): void {
    setImmediate(() => {
      this.#socket.end();
      this.close('CLOSE');
    });
  }

  close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#log(`connection closed: ${reason}`);
    this.events.close();
    this.streams.close();
    this.keepalive.stop();
    this.#onClose();
    if (!this.#socket.writableEnded) this.#socket.destroy();
  }

  #receive(chunk: Uint8Array): void {
    this.keepalive.heard();
    try {
      for (const frame of this.#splitter.push(chunk)) this.#accept(frame);
    } catch (error) {
      this.close(errorText(error));
    }
  }

  #accept({ header, payload }: Frame): void {
    if (this.#isClosed) return;
    if (header.prog === keepaliveProgram.id) {
      if (header.proc === KEEPALIVE.ping) this.#sendKeepalive(KEEPALIVE.pong);
      return;
    }
    switch (header.type) {
      case MESSAGE_TYPE.call:
      case MESSAGE_TYPE.callWithFds:
        this.#call(header, payload);
        return;
      case MESSAGE_TYPE.stream:
        this.streams.receive(header, payload);
        return;
      default:
        this.#log(`ignored a message of type ${header.type}`);
    }
  }

  #call(header: MessageHeader, payload: Uint8Array): void {
    try {
      if (header.status !== MESSAGE_STATUS.ok)
        throw refusal('RPC', 'RPC', `Unexpected message status ${header.status}`);
      const handler = this.#dispatcher.find(header.prog, header.vers, header.proc);
      if (this.uri === undefined && !mayCallBeforeOpen(header, payload)) {
        throw refusal('INTERNAL_ERROR', 'RPC', 'hypervisor connection not open');
      }
      if (this.isReadOnly) assertWritable(header);
      const call = { machine: this.#machine, connection: this, serial: header.serial };
      const result = handler(payload, call);
      if (result instanceof Promise) {
        result.then(
          (ret) => this.#reply(header, ret),
          (error) => this.#replyError(header, error),
        );
      } else this.#reply(header, result);
    } catch (error) {
      this.#replyError(header, error);
    }
  }

  #reply(header: MessageHeader, ret: Uint8Array): void {
    this.send({ ...header, type: MESSAGE_TYPE.reply, status: MESSAGE_STATUS.ok }, ret);
    this.streams.begin(header.serial);
  }

  #replyError(header: MessageHeader, error: unknown): void {
    const fields =
      refusalFields(error) ??
      refusalFields(refusal('INTERNAL_ERROR', 'QEMU', `defect of the emulated host: ${errorText(error)}`));
    if (fields === undefined) return;
    this.streams.forget(header.serial);
    this.#log(`refused procedure ${header.proc}: ${fields.message}`);
    const writer = new XdrWriter();
    writeMessageError(writer, {
      ...fields,
      level: VIR_ERR_LEVEL_ERROR,
      dom: null,
      str3: null,
      int2: -1,
      net: null,
    });
    this.send({ ...header, type: MESSAGE_TYPE.reply, status: MESSAGE_STATUS.error }, writer.finish());
  }

  #sendKeepalive(proc: number): void {
    const { id, version } = keepaliveProgram;
    this.send(
      { prog: id, vers: version, proc, type: MESSAGE_TYPE.message, serial: 0, status: MESSAGE_STATUS.ok },
      NOTHING,
    );
  }
}
