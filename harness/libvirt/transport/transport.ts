import type { Readable, Writable } from 'node:stream';

/** An open way to a daemon: bytes in, bytes out. */
export interface Transport {
  /** Who is at the other end, as error texts name it: `libvirt at unix socket /run/libvirt/libvirt-sock`. */
  readonly peer: string;
  readonly input: Readable;
  readonly output: Writable;
  /** What a helper process said when it ended; `undefined` when there is nothing to add. Resolves soon after the end. */
  whyClosed?(): Promise<string | undefined>;
  /** Lets go of everything at once; safe to call again. */
  destroy(): void;
}
