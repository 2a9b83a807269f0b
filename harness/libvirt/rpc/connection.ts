import type { SevHarnessError } from '../../../core/errors.ts';
import { errorText } from '../../../core/errors.ts';
import { libvirtError } from '../errors.ts';
import {
  decodeValue,
  encodeValue,
  MESSAGE_STATUS,
  MESSAGE_TYPE,
  type Procedure,
  type PushedEvent,
} from '../protocol/codec.ts';
import { readMessageError, writeMessageError } from '../protocol/libvirt.gen.ts';
import { RemoteError } from '../remote-error.ts';
import type { Transport } from '../transport/transport.ts';
import { Channel } from './channel.ts';
import type { Frame } from './frame.ts';
import type { KeepaliveSettings } from './keepalive.ts';
import { RpcStream } from './stream.ts';

export interface CallOptions {
  /** How long the answer may take; the connection's own limit when not given. */
  readonly timeoutMs?: number;
  /** Gives the call up; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** What is being asked, as error texts say it: `start domain 'x'`. */
  readonly what?: string;
}

type ProcedureId = Pick<Procedure<unknown, unknown>, 'program' | 'number' | 'wireName'>;

interface PendingCall {
  readonly procedure: ProcedureId;
  readonly what: string;
  accept(frame: Frame): void;
  reject(error: unknown): void;
}

const messageErrorCodec = { read: readMessageError, write: writeMessageError };
const SERIALS = 2 ** 32;
/** An error text names at most so many of the calls that were pending. */
const NAMED_PENDING = 5;

/**
 * One RPC connection: many calls in flight, told apart by serial; streams; pushed events.
 *
 * A connection that broke once stays broken: every later call rejects with the same code and says why.
 */
export class RpcConnection {
  readonly #channel: Channel;
  readonly #callTimeoutMs: number;
  readonly #calls = new Map<number, PendingCall>();
  readonly #streams = new Map<number, { procedure: ProcedureId; stream: RpcStream }>();
  /** Serials of calls that were given up: their answers may still come. */
  readonly #abandoned = new Set<number>();
  readonly #listeners = new Map<string, Set<(body: Uint8Array) => void>>();
  readonly #closeListeners = new Set<(reason: SevHarnessError | undefined) => void>();
  #nextSerial = 0;
  #reason: SevHarnessError | undefined;

  constructor(transport: Transport, options: { callTimeoutMs: number }) {
    this.#callTimeoutMs = options.callTimeoutMs;
    this.#channel = new Channel(transport, {
      onFrame: (frame) => this.#onFrame(frame),
      onEnd: (reason) => this.#onEnd(reason),
    });
  }

  get peer(): string {
    return this.#channel.peer;
  }

  get isOpen(): boolean {
    return !this.#channel.ended;
  }

  /**
   * Asks and waits for the answer. `onReturn` runs before anything that the peer sent after the answer is looked at.
   *
   * Rejects with `LIBVIRT_REMOTE` (a `RemoteError`), `LIBVIRT_CALL_TIMEOUT`, `LIBVIRT_CONNECTION_LOST`, `LIBVIRT_PROTOCOL`,
   * `LIBVIRT_CLOSED`, `XDR_UNENCODABLE`, or the signal's reason.
   */
  call<Args, Ret>(
    procedure: Procedure<Args, Ret>,
    args: Args,
    options: CallOptions = {},
    onReturn?: (ret: Ret) => void,
  ): Promise<Ret> {
    return this.#start(this.#takeSerial(), procedure, args, options, onReturn);
  }

  /** Makes a call that opens a stream. Errors as for `call`. */
  async openStream<Args, Ret>(
    procedure: Procedure<Args, Ret>,
    args: Args,
    options: CallOptions = {},
  ): Promise<{ ret: Ret; stream: RpcStream }> {
    const serial = this.#takeSerial();
    const what = `the stream of '${options.what ?? procedure.api}'`;
    const stream = new RpcStream(what, {
      send: (status, body) => {
        if (!this.isOpen) throw this.#unusable(what);
        const { program, number } = procedure;
        this.#channel.write({ program, procedure: number, type: MESSAGE_TYPE.stream, serial, status, body });
      },
      drained: () => this.#channel.drained(),
      remoteError: (body) => this.#readError(what, procedure.wireName, body),
      tooLate: () => this.#tooLate(`end ${what}`, procedure.wireName, options.timeoutMs ?? this.#callTimeoutMs),
      timeoutMs: options.timeoutMs ?? this.#callTimeoutMs,
      over: () => this.#streams.delete(serial),
    });
    // Registered before the call: data may be on its way right behind the answer.
    this.#streams.set(serial, { procedure, stream });
    try {
      return { ret: await this.#start(serial, procedure, args, options, undefined), stream };
    } catch (error) {
      stream.discard(error);
      throw error;
    }
  }

  /** Runs `listener` for each such message; returns what stops it. */
  onEvent<Fields>(event: PushedEvent<Fields>, listener: (fields: Fields) => void): () => void {
    const key = eventKey(event.program.id, event.number);
    const listeners = this.#listeners.get(key) ?? new Set();
    this.#listeners.set(key, listeners);
    const onBody = (body: Uint8Array) => {
      const fields = decodeValue(event.fields, body);
      try {
        listener(fields);
      } catch (error) {
        // The listener's own fault: it must neither be blamed on the peer nor stop what else arrived.
        queueMicrotask(() => {
          throw error;
        });
      }
    };
    listeners.add(onBody);
    return () => listeners.delete(onBody);
  }

  /** Runs `listener` once, when the connection ends: with the reason, or with nothing when we closed it. */
  onClose(listener: (reason: SevHarnessError | undefined) => void): void {
    this.#closeListeners.add(listener);
  }

  /** Asks a silent peer for a sign of life from now on, and breaks the connection when none comes. */
  startKeepalive(settings: KeepaliveSettings): void {
    this.#channel.startKeepalive(settings);
  }

  /** Ends the connection on our side; pending calls reject with `LIBVIRT_CLOSED`. */
  close(): void {
    this.#channel.close();
  }

  #takeSerial(): number {
    while (this.#calls.has(this.#nextSerial) || this.#streams.has(this.#nextSerial)) {
      this.#nextSerial = (this.#nextSerial + 1) % SERIALS;
    }
    const serial = this.#nextSerial;
    this.#nextSerial = (serial + 1) % SERIALS;
    return serial;
  }

  #start<Args, Ret>(
    serial: number,
    procedure: Procedure<Args, Ret>,
    args: Args,
    options: CallOptions,
    onReturn: ((ret: Ret) => void) | undefined,
  ): Promise<Ret> {
    const { what = procedure.api, signal, timeoutMs = this.#callTimeoutMs } = options;
    return new Promise((resolve, reject) => {
      if (!this.isOpen) throw this.#unusable(what);
      signal?.throwIfAborted();
      const body = encodeValue(procedure.args, args);
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#calls.delete(serial);
      };
      const giveUp = (error: unknown) => {
        settle();
        this.#abandoned.add(serial);
        reject(error);
      };
      const onAbort = () => giveUp(signal?.reason);
      const timer = setTimeout(() => giveUp(this.#tooLate(what, procedure.wireName, timeoutMs)), timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      const accept = (frame: Frame) => {
        settle();
        if (frame.status === MESSAGE_STATUS.error) {
          reject(this.#readError(what, procedure.wireName, frame.body));
          return;
        }
        let ret: Ret;
        try {
          ret = decodeValue(procedure.ret, frame.body);
        } catch (error) {
          reject(this.#undecodable(what, procedure.wireName, error));
          return;
        }
        onReturn?.(ret);
        resolve(ret);
      };
      const fail = (error: unknown) => {
        settle();
        reject(error);
      };
      this.#calls.set(serial, { procedure, what, accept, reject: fail });
      const { program, number } = procedure;
      const { call } = MESSAGE_TYPE;
      this.#channel.write({ program, procedure: number, type: call, serial, status: MESSAGE_STATUS.ok, body });
    });
  }

  #onFrame(frame: Frame): void {
    switch (frame.type) {
      case MESSAGE_TYPE.reply:
        this.#onReply(frame);
        break;
      case MESSAGE_TYPE.stream:
        this.#onStream(frame);
        break;
      default:
        for (const listener of this.#listeners.get(eventKey(frame.program.id, frame.procedure)) ?? []) {
          listener(frame.body);
        }
    }
  }

  #onReply(frame: Frame): void {
    const call = this.#calls.get(frame.serial);
    if (call === undefined) {
      if (this.#abandoned.delete(frame.serial)) return;
      throw libvirtError(
        'LIBVIRT_PROTOCOL',
        `the peer sent a reply with serial ${frame.serial}, which no call waits for`,
      );
    }
    requireSameProcedure(frame, call.procedure, call.what);
    call.accept(frame);
  }

  #onStream(frame: Frame): void {
    const open = this.#streams.get(frame.serial);
    // libvirt keeps sending for a moment after a stream was ended, and its own client ignores that too.
    if (open === undefined) return;
    requireSameProcedure(frame, open.procedure, 'a stream');
    open.stream.accept(frame);
  }

  #onEnd(reason: SevHarnessError | undefined): void {
    this.#reason = reason;
    const calls = [...this.#calls.values()];
    const names = calls.slice(0, NAMED_PENDING).map((call) => call.what);
    if (calls.length > NAMED_PENDING) names.push(`${calls.length - NAMED_PENDING} more`);
    for (const call of calls) {
      const others = calls.length === 1 ? '' : ` (pending were: ${names.join(', ')})`;
      call.reject(this.#ended(`while waiting for '${call.what}'${others}`));
    }
    for (const { stream } of [...this.#streams.values()]) stream.fail(this.#ended('while a stream was open'));
    for (const listener of this.#closeListeners) listener(reason);
  }

  #ended(when: string): SevHarnessError {
    const reason = this.#reason;
    if (reason === undefined)
      return libvirtError('LIBVIRT_CLOSED', `the connection to ${this.peer} was closed ${when}`);
    const code = reason.code === 'LIBVIRT_PROTOCOL' ? 'LIBVIRT_PROTOCOL' : 'LIBVIRT_CONNECTION_LOST';
    const { hint } = reason;
    return libvirtError(code, `${reason.message}, ${when}`, {
      cause: reason,
      details: reason.details,
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #unusable(what: string): SevHarnessError {
    return this.#ended(`before '${what}' was asked`);
  }

  #tooLate(what: string, wireName: string, timeoutMs: number): SevHarnessError {
    const others = this.#calls.size === 1 ? '' : `; ${this.#calls.size - 1} other calls are pending`;
    return libvirtError(
      'LIBVIRT_CALL_TIMEOUT',
      `no answer to '${what}' (${wireName}) from ${this.peer} within ${timeoutMs} ms; ${this.#channel.lastSeen}${others}`,
      { hint: 'The daemon may be busy or stopped: look at its log, or give the call more time.' },
    );
  }

  #readError(what: string, wireName: string, body: Uint8Array): SevHarnessError {
    try {
      return new RemoteError(what, wireName, decodeValue(messageErrorCodec, body));
    } catch (error) {
      return this.#undecodable(what, wireName, error);
    }
  }

  #undecodable(what: string, wireName: string, error: unknown): SevHarnessError {
    const text = `the answer of ${this.peer} to '${what}' (${wireName}) cannot be decoded: ${errorText(error)}`;
    return libvirtError('LIBVIRT_PROTOCOL', text, { cause: error });
  }
}

function eventKey(programId: number, number: number): string {
  return `${programId}:${number}`;
}

function requireSameProcedure(frame: Frame, procedure: ProcedureId, what: string): void {
  if (frame.procedure === procedure.number && frame.program.id === procedure.program.id) return;
  throw libvirtError(
    'LIBVIRT_PROTOCOL',
    `the peer answered serial ${frame.serial} as procedure ${frame.procedure} of program 0x${frame.program.id.toString(16)}, ` +
      `but '${what}' is procedure ${procedure.number} of program 0x${procedure.program.id.toString(16)}`,
  );
}
