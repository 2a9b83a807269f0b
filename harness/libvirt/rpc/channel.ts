import { errorText, isSevHarnessError, type SevHarnessError } from '../../../core/errors.ts';
import { libvirtError } from '../errors.ts';
import { KEEPALIVE, keepaliveProgram, MESSAGE_STATUS, MESSAGE_TYPE } from '../protocol/codec.ts';
import type { Transport } from '../transport/transport.ts';
import { encodeFrame, type Frame, FrameDecoder } from './frame.ts';
import { Keepalive, type KeepaliveSettings } from './keepalive.ts';

export interface ChannelHandlers {
  /** Called for each message but keepalives; what it throws breaks the channel. */
  onFrame(frame: Frame): void;
  /** Called once, at the end: with the reason, or with `undefined` when `close` was called. */
  onEnd(reason: SevHarnessError | undefined): void;
}

/** How long we wait for a helper process to say why it ended. */
const LAST_WORDS_MS = 1000;
const LOST_HINT =
  'Look into the log of the daemon on the host (`journalctl -u libvirtd -u virtqemud`), and start it again if it ended.';
const noBody = new Uint8Array(0);

/** Messages over a transport: framing, keepalive in both directions, and one reason when it ends. */
export class Channel {
  readonly peer: string;
  readonly #transport: Transport;
  readonly #handlers: ChannelHandlers;
  readonly #decoder = new FrameDecoder();
  #keepalive: Keepalive | undefined;
  #ended = false;
  #losing = false;
  #corked = false;
  #pongQueued = false;
  #lastFrame: Frame | undefined;

  constructor(transport: Transport, handlers: ChannelHandlers) {
    this.#transport = transport;
    this.#handlers = handlers;
    this.peer = transport.peer;
    const { input, output } = transport;
    input.on('data', (chunk: Uint8Array) => this.#receive(chunk));
    input.on('error', (error) => void this.#lose(error));
    output.on('error', (error) => void this.#lose(error));
    input.on('end', () => void this.#lose());
    input.on('close', () => void this.#lose());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** What the peer sent last, in words. */
  get lastSeen(): string {
    const frame = this.#lastFrame;
    if (frame === undefined) return 'it has sent nothing yet';
    return `the last message from it was type ${frame.type}, procedure ${frame.procedure}, serial ${frame.serial}`;
  }

  /** Messages written in one turn of the event loop leave together. */
  write(frame: Frame): void {
    const { output } = this.#transport;
    if (!this.#corked) {
      this.#corked = true;
      output.cork();
      process.nextTick(() => {
        this.#corked = false;
        output.uncork();
      });
    }
    this.#decoder.expect(frame.program);
    output.write(encodeFrame(frame));
  }

  /** Resolves when the peer has taken enough of what was written, or when the channel ended. */
  drained(): Promise<void> {
    const { output } = this.#transport;
    if (!output.writableNeedDrain || this.#ended) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        output.off('drain', done);
        output.off('close', done);
        resolve();
      };
      output.on('drain', done);
      output.on('close', done);
    });
  }

  startKeepalive(settings: KeepaliveSettings): void {
    this.#keepalive?.stop();
    this.#keepalive = new Keepalive(settings, {
      ping: () => this.#sendKeepalive(KEEPALIVE.ping),
      dead: (silentMs) =>
        this.break(
          libvirtError('LIBVIRT_CONNECTION_LOST', `${this.peer} gave no sign of life for ${silentMs} ms`, {
            hint: 'Look whether the daemon is stopped or overloaded, or allow more or longer keepalive intervals.',
          }),
        ),
    });
  }

  /** Ends the channel because of `reason`. */
  break(reason: SevHarnessError): void {
    this.#end(reason);
  }

  /** Ends the channel because we no longer need it. */
  close(): void {
    this.#end(undefined);
  }

  #receive(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.#keepalive?.alive();
    try {
      for (const frame of this.#decoder.push(chunk)) {
        this.#lastFrame = frame;
        if (frame.program.id === keepaliveProgram.id) this.#onKeepalive(frame);
        else this.#handlers.onFrame(frame);
        if (this.#ended) return;
      }
    } catch (error) {
      if (!isSevHarnessError(error)) throw error;
      this.break(
        libvirtError('LIBVIRT_PROTOCOL', `broken by ${this.peer}: ${error.message}`, {
          cause: error,
          hint: 'Whatever answers there does not speak libvirt’s RPC protocol as libvirt does.',
        }),
      );
    }
  }

  #onKeepalive(frame: Frame): void {
    if (frame.procedure === KEEPALIVE.ping) {
      // One answer waits at most: a peer that floods us with PINGs and reads nothing must not fill our memory.
      if (!this.#pongQueued) this.#sendKeepalive(KEEPALIVE.pong);
    } else if (frame.procedure !== KEEPALIVE.pong) {
      throw libvirtError('LIBVIRT_PROTOCOL', `the peer sent a keepalive message of procedure ${frame.procedure}`);
    }
  }

  #sendKeepalive(procedure: number): void {
    const { message } = MESSAGE_TYPE;
    const frame = { program: keepaliveProgram, procedure, type: message, serial: 0, status: MESSAGE_STATUS.ok };
    const bytes = encodeFrame({ ...frame, body: noBody });
    const isPong = procedure === KEEPALIVE.pong;
    if (isPong) this.#pongQueued = true;
    this.#transport.output.write(bytes, () => {
      if (isPong) this.#pongQueued = false;
    });
  }

  async #lose(error?: Error): Promise<void> {
    if (this.#ended || this.#losing) return;
    this.#losing = true;
    const lastWords = await this.#lastWords();
    const partial = this.#decoder.waitingBytes;
    const how = error === undefined ? 'closed the connection' : `cut the connection (${errorText(error)})`;
    const where = partial === 0 ? '' : ` in the middle of a message, ${partial} bytes of it had arrived`;
    const text = `${this.peer} ${how}${where}${lastWords === undefined ? '' : `: ${lastWords}`}`;
    this.break(
      libvirtError('LIBVIRT_CONNECTION_LOST', text, {
        ...(error === undefined ? {} : { cause: error }),
        ...(lastWords === undefined ? { hint: LOST_HINT } : {}),
        details: { lastWords },
      }),
    );
  }

  async #lastWords(): Promise<string | undefined> {
    if (this.#transport.whyClosed === undefined) return undefined;
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => resolve(undefined), LAST_WORDS_MS);
    });
    try {
      return await Promise.race([this.#transport.whyClosed(), enough]);
    } finally {
      clearTimeout(timer);
    }
  }

  #end(reason: SevHarnessError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#keepalive?.stop();
    this.#transport.destroy();
    this.#handlers.onEnd(reason);
  }
}
