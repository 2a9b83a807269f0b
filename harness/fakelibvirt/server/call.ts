import type { Machine } from '../state/machine.ts';
import type { ClientConnection } from './connection.ts';

/** What a handler knows besides its arguments. */
export interface Call {
  readonly machine: Machine;
  readonly connection: ClientConnection;
  readonly serial: number;
}

export type Handler<Args, Ret> = (args: Args, call: Call) => Ret | Promise<Ret>;

/** A handler with its codecs: payload in, payload out. */
export type BoundHandler = (payload: Uint8Array, call: Call) => Uint8Array | Promise<Uint8Array>;
