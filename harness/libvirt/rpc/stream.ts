import { libvirtError } from '../errors.ts';
import { MESSAGE_STATUS } from '../protocol/codec.ts';
import { RemoteError } from '../remote-error.ts';
import type { Frame } from './frame.ts';

/** What a stream needs of its connection. */
export interface StreamWire {
  /** Sends one message of the stream; throws when the connection has ended. */
  send(status: number, body: Uint8Array): void;
  /** Resolves when the peer has taken what was sent, or the connection ended. */
  drained(): Promise<void>;
  /** Turns the body of the peer's stream error into an error. */
  remoteError(body: Uint8Array): Error;
  /** How long the peer may take to confirm the end, and the error when it does not. */
  readonly timeoutMs: number;
  tooLate(): Error;
  /** Called once, when nothing more is expected for the stream. */
  over(): void;
}

/** How many unread bytes may wait before the stream is given up. */
export const STREAM_UNREAD_MAX_BYTES = 64 * 1024 * 1024;
/** What one waiting message costs us beside its bytes: a flood of tiny ones must not slip through. */
const UNREAD_OVERHEAD_BYTES = 256;
const UNREAD_BLOCK = 1024;
/** Larger writes are cut; libvirt itself sends 256 KiB at most (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX). */
const SEND_MAX_BYTES = 65536;
const noBody = new Uint8Array(0);

type Ending = 'open' | 'peerDone' | 'closing' | 'over';

/**
 * Data that flows beside the calls of a connection.
 *
 * Iterate to read until the peer has no more; then, or earlier, `close` it. A stream that fails rejects both.
 */
export class RpcStream implements AsyncIterable<Uint8Array> {
  readonly #wire: StreamWire;
  readonly #what: string;
  #unread: Uint8Array[] = [];
  /** Where in `#unread` the reader is. */
  #next = 0;
  #unreadBytes = 0;
  #ending: Ending = 'open';
  #failure: unknown;
  #wake: (() => void) | undefined;
  #confirmed: (() => void) | undefined;

  constructor(what: string, wire: StreamWire) {
    this.#what = what;
    this.#wire = wire;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const chunk = this.#take();
      if (chunk !== undefined) yield chunk;
      else if (this.#failure !== undefined) throw this.#failure;
      else if (this.#ending !== 'open') return;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Sends bytes to the peer. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let start = 0; start < bytes.length; start += SEND_MAX_BYTES) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ending !== 'open') {
        throw libvirtError('LIBVIRT_CLOSED', `cannot write to ${this.#what}: the stream has ended`);
      }
      this.#wire.send(MESSAGE_STATUS.continue, bytes.subarray(start, start + SEND_MAX_BYTES));
      await this.#wire.drained();
    }
  }

  /** Ends the stream: as finished when the peer has said that it has no more, as given up otherwise. */
  async close(): Promise<void> {
    if (this.#ending === 'closing' || this.#ending === 'over') return;
    const status = this.#ending === 'peerDone' ? MESSAGE_STATUS.ok : MESSAGE_STATUS.error;
    this.#ending = 'closing';
    this.#forget();
    this.#wake?.();
    this.#wire.send(status, noBody);
    try {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(this.#wire.tooLate()), this.#wire.timeoutMs);
        this.#confirmed = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    } finally {
      this.#end();
    }
    // A stream that we gave up is gone either way.
    if (status === MESSAGE_STATUS.ok && this.#failure !== undefined) throw this.#failure;
  }

  /** The call that should have opened the stream failed with `error`. */
  discard(error: unknown): void {
    // When the answer came too late the peer may have opened it; it ignores this otherwise.
    if (!(error instanceof RemoteError) && this.#ending === 'open') {
      try {
        this.#wire.send(MESSAGE_STATUS.error, noBody);
      } catch {
        // The connection has ended, and the stream with it.
      }
    }
    this.fail(error);
  }

  /** Takes a message of the peer. What it throws breaks the connection. */
  accept(frame: Frame): void {
    switch (frame.status) {
      case MESSAGE_STATUS.continue:
        this.#receive(frame.body);
        return;
      case MESSAGE_STATUS.error:
        this.fail(this.#wire.remoteError(frame.body));
        return;
      default:
        if (this.#ending !== 'closing') {
          throw libvirtError('LIBVIRT_PROTOCOL', `the peer confirmed the end of ${this.#what}, which we did not end`);
        }
        this.#confirmed?.();
    }
  }

  /** The stream or its connection failed. */
  fail(error: unknown): void {
    if (this.#ending === 'over') return;
    this.#failure = error;
    if (this.#ending === 'closing') this.#confirmed?.();
    else this.#end();
  }

  #receive(bytes: Uint8Array): void {
    if (this.#ending !== 'open') return;
    if (bytes.length === 0) {
      this.#ending = 'peerDone';
      this.#wake?.();
      return;
    }
    this.#unreadBytes += bytes.length + UNREAD_OVERHEAD_BYTES;
    const waiting = this.#unreadBytes;
    if (waiting > STREAM_UNREAD_MAX_BYTES) {
      this.#forget();
      this.#wire.send(MESSAGE_STATUS.error, noBody);
      this.fail(
        libvirtError(
          'LIBVIRT_STREAM_OVERFLOW',
          `gave ${this.#what} up: ${waiting} bytes waited to be read, the limit is ${STREAM_UNREAD_MAX_BYTES}`,
        ),
      );
      return;
    }
    // A copy, so that few unread bytes do not keep the whole chunk that they came in.
    this.#unread.push(bytes.slice());
    this.#wake?.();
  }

  #take(): Uint8Array | undefined {
    const chunk = this.#unread[this.#next];
    if (chunk === undefined) return undefined;
    this.#unreadBytes -= chunk.length + UNREAD_OVERHEAD_BYTES;
    this.#next++;
    // Cut off in blocks: taking from the front one by one is quadratic.
    if (this.#next === this.#unread.length || this.#next === UNREAD_BLOCK) {
      this.#unread = this.#unread.slice(this.#next);
      this.#next = 0;
    }
    return chunk;
  }

  #forget(): void {
    this.#unread = [];
    this.#next = 0;
    this.#unreadBytes = 0;
  }

  #end(): void {
    this.#ending = 'over';
    this.#wire.over();
    this.#wake?.();
  }
}
