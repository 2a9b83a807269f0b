import { MESSAGE_STATUS, MESSAGE_TYPE } from '../../libvirt/protocol/codec.ts';
import type { MessageHeader } from '../../libvirt/protocol/libvirt.gen.ts';

const NOTHING = new Uint8Array(0);

/** What a stream does with the client's bytes; `open` is called once its opening call is answered. */
export interface StreamSource {
  open(send: (bytes: Uint8Array) => void, finish: () => void): void;
  input(bytes: Uint8Array): void;
  /** The client finished or aborted, or the connection is gone. */
  closed(): void;
}

interface OpenStream {
  readonly source: StreamSource;
  readonly header: Omit<MessageHeader, 'status'>;
}

/** The streams of one connection, by the serial of the call that opened them. */
export class StreamTable {
  readonly #streams = new Map<number, OpenStream>();
  readonly #send: (header: MessageHeader, payload: Uint8Array) => void;

  constructor(send: (header: MessageHeader, payload: Uint8Array) => void) {
    this.#send = send;
  }

  add(
    serial: number,
    program: { readonly id: number; readonly version: number },
    proc: number,
    source: StreamSource,
  ): void {
    const header = { prog: program.id, vers: program.version, proc, type: MESSAGE_TYPE.stream, serial };
    this.#streams.set(serial, { source, header });
  }

  /** The opening call is answered: data may flow. */
  begin(serial: number): void {
    const stream = this.#streams.get(serial);
    if (stream === undefined) return;
    const send = (bytes: Uint8Array) => this.#data(serial, bytes);
    stream.source.open(send, () => this.#data(serial, NOTHING));
  }

  /** The opening call failed. */
  forget(serial: number): void {
    this.#end(serial);
  }

  /** A stream message of the client: more data, an orderly end, or an abort; both ends are confirmed with OK. */
  receive(header: MessageHeader, payload: Uint8Array): void {
    const stream = this.#streams.get(header.serial);
    // libvirtd drops data for a stream that it no longer has.
    if (stream === undefined) return;
    if (header.status === MESSAGE_STATUS.continue) {
      stream.source.input(payload);
      return;
    }
    this.#end(header.serial);
    this.#send({ ...stream.header, status: MESSAGE_STATUS.ok }, NOTHING);
  }

  close(): void {
    for (const serial of [...this.#streams.keys()]) this.#end(serial);
  }

  /** Empty data is the end of file. */
  #data(serial: number, bytes: Uint8Array): void {
    const stream = this.#streams.get(serial);
    if (stream) this.#send({ ...stream.header, status: MESSAGE_STATUS.continue }, bytes);
  }

  #end(serial: number): void {
    const stream = this.#streams.get(serial);
    this.#streams.delete(serial);
    stream?.source.closed();
  }
}
