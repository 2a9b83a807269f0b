import { type Codec, encodeValue, type Procedure } from '../../libvirt/protocol/codec.ts';
import {
  apiFunctions,
  type EmulatorCalls,
  emulatorProcedures,
  emulatorProgram,
  type QemuCalls,
  qemuProcedures,
  qemuProgram,
  type RemoteCalls,
  remoteProcedures,
  remoteProgram,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { XdrReader } from '../../libvirt/xdr/reader.ts';
import { type ErrorDomain, refusal } from '../refusal.ts';
import type { BoundHandler, Handler } from './call.ts';

type CallShapes<Calls> = { [K in keyof Calls]: { args: unknown; ret: unknown } };

export type Handlers<Calls extends CallShapes<Calls>> = {
  readonly [K in keyof Calls]?: Handler<Calls[K]['args'], Calls[K]['ret']>;
};
export type RemoteHandlers = Handlers<RemoteCalls>;
export type QemuHandlers = Handlers<QemuCalls>;
export type EmulatorHandlers = Handlers<EmulatorCalls>;

export interface Dispatcher {
  /** The handler of a procedure; refuses unknown programs, versions and procedures in libvirt's words. */
  find(program: number, version: number, procedure: number): BoundHandler;
}

export function createDispatcher(remote: RemoteHandlers, qemu: QemuHandlers, emulator: EmulatorHandlers): Dispatcher {
  const programs = new Map<number, ReadonlyMap<number, BoundHandler>>([
    [remoteProgram.id, bindAll<RemoteCalls>(remoteProcedures, remote)],
    [qemuProgram.id, bindAll<QemuCalls>(qemuProcedures, qemu)],
    [emulatorProgram.id, bindAll<EmulatorCalls>(emulatorProcedures, emulator)],
  ]);
  return {
    find(program, version, procedure) {
      const handlers = programs.get(program);
      if (handlers === undefined || version !== 1) {
        throw refusal('RPC', 'RPC', `Cannot find program ${program} version ${version}`);
      }
      const handler = handlers.get(procedure);
      if (handler !== undefined) return handler;
      const api = program === remoteProgram.id ? apiFunctions.get(procedure) : undefined;
      if (api === undefined) throw refusal('RPC', 'RPC', `unknown procedure: ${procedure}`);
      throw refusal('NO_SUPPORT', errorDomainOf(api), api);
    },
  };
}

function bindAll<Calls extends CallShapes<Calls>>(
  procedures: { readonly [K in keyof Calls]: Procedure<Calls[K]['args'], Calls[K]['ret']> },
  handlers: Handlers<Calls>,
): Map<number, BoundHandler> {
  const bound = new Map<number, BoundHandler>();
  for (const key in procedures) {
    const handler = handlers[key];
    const procedure = procedures[key];
    if (handler) bound.set(procedure.number, bind(procedure, handler));
    else if (procedure.program !== remoteProgram) bound.set(procedure.number, unsupported(procedure.api));
  }
  return bound;
}

function bind<Args, Ret>(procedure: Procedure<Args, Ret>, handler: Handler<Args, Ret>): BoundHandler {
  return (payload, call) => {
    const result = handler(decodeArguments(procedure.args, payload), call);
    if (result instanceof Promise) return result.then((value) => encodeValue(procedure.ret, value));
    return encodeValue(procedure.ret, result);
  };
}

function unsupported(api: string): BoundHandler {
  return () => {
    throw refusal('NO_SUPPORT', 'NONE', api);
  };
}

/** Like libvirtd, which does not look at bytes behind the arguments. */
function decodeArguments<Args>(codec: Codec<Args>, payload: Uint8Array): Args {
  try {
    return codec.read(new XdrReader(payload));
  } catch (error) {
    throw Object.assign(refusal('RPC', 'RPC', 'Unable to decode message payload'), { cause: error });
  }
}

/** The error domain of the library file that holds a public function (`VIR_FROM_THIS` in src/libvirt-*.c). */
const DOMAIN_BY_PREFIX: readonly (readonly [RegExp, ErrorDomain])[] = [
  [/^virDomainCheckpoint/, 'DOMAIN_CHECKPOINT'],
  [/^virDomainSnapshot|^virDomain(?:HasCurrentSnapshot|ListAllSnapshots|RevertToSnapshot)/, 'DOMAIN_SNAPSHOT'],
  [/^virDomainListAllCheckpoints/, 'DOMAIN_CHECKPOINT'],
  [/^virDomainQemu/, 'NONE'],
  [/Interface/, 'INTERFACE'],
  [/NWFilter/, 'NWFILTER'],
  [/Network/, 'NETWORK'],
  [/Storage/, 'STORAGE'],
  [/NodeDevice|^virNodeNumOfDevices|^virNodeListDevices/, 'NODEDEV'],
  [/Secret/, 'SECRET'],
  [/^virStream/, 'STREAMS'],
];

function errorDomainOf(api: string): ErrorDomain {
  if (/^virDomainInterface/.test(api)) return 'DOMAIN';
  return DOMAIN_BY_PREFIX.find(([pattern]) => pattern.test(api))?.[1] ?? 'DOMAIN';
}
