import type { RpcStream } from './rpc/stream.ts';

/** A guest's serial console: iterate for what the guest prints, `write` what it shall read, `close` when done. */
export class ConsoleStream implements AsyncIterable<Uint8Array>, AsyncDisposable {
  readonly #stream: RpcStream;

  constructor(stream: RpcStream) {
    this.#stream = stream;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return this.#stream[Symbol.asyncIterator]();
  }

  write(bytes: Uint8Array | string): Promise<void> {
    return this.#stream.write(typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes);
  }

  close(): Promise<void> {
    return this.#stream.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
