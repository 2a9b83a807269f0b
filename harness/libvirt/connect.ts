import { isSevHarnessError } from '../../core/errors.ts';
import { authenticate } from './auth.ts';
import { LibvirtConnection } from './connection.ts';
import { libvirtError } from './errors.ts';
import { remoteProcedures } from './protocol/libvirt.gen.ts';
import { isRemoteError } from './remote-error.ts';
import { type CallOptions, RpcConnection } from './rpc/connection.ts';
import type { KeepaliveSettings } from './rpc/keepalive.ts';
import { openTransport } from './transport/open.ts';
import type { Transport } from './transport/transport.ts';
import { parseLibvirtUri, type Target } from './transport/uri.ts';

export interface ConnectOptions {
  /** Gives up connecting; it does not close the connection later. */
  readonly signal?: AbortSignal;
  /** How long connecting, and later each call, may take. */
  readonly callTimeoutMs?: number;
  /** Asks for a connection that may look but not touch. */
  readonly readOnly?: boolean;
  /** Watches over a silent daemon; its own questions are answered in any case. */
  readonly keepalive?: KeepaliveSettings;
}

const DEFAULT_CALL_TIMEOUT_MS = 30000;
/** VIR_CONNECT_RO. */
const OPEN_READ_ONLY = 1;
/** VIR_DRV_FEATURE_PROGRAM_KEEPALIVE. */
const FEATURE_KEEPALIVE = 10;

/**
 * Connects to a libvirt daemon: transport, authentication, OPEN.
 *
 * Throws `LIBVIRT_URI`, `LIBVIRT_CONNECT`, `LIBVIRT_AUTH_SASL`, `LIBVIRT_AUTH_POLKIT`, `LIBVIRT_AUTH_UNKNOWN`,
 * `LIBVIRT_CALL_TIMEOUT`, `LIBVIRT_PROTOCOL`, a `RemoteError` when the daemon refuses to open the URI, or the signal's reason.
 */
export async function connect(uri: string, options: ConnectOptions = {}): Promise<LibvirtConnection> {
  const target = parseLibvirtUri(uri);
  const callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
  const transport = await openInTime(target, callTimeoutMs, options);
  const rpc = new RpcConnection(transport, { callTimeoutMs });
  try {
    await open(rpc, target, options);
    return new LibvirtConnection(uri, rpc);
  } catch (error) {
    rpc.close();
    // The daemon closing on us before we are in is a failed connect, not a lost connection.
    if (!isSevHarnessError(error, 'LIBVIRT_CONNECTION_LOST')) throw error;
    throw libvirtError('LIBVIRT_CONNECT', `cannot connect to '${uri}': ${error.message}`, {
      cause: error,
      details: error.details,
      hint: wayOn(target, error.details.lastWords),
    });
  }
}

/** ssh ends with 255 for failures of its own, and with the code of the program on the host otherwise. */
function wayOn(target: Target, lastWords: unknown): string {
  if (target.transport !== 'ssh' || !/ ended with exit code 255\b/.test(String(lastWords)))
    return 'Read the log of the daemon or of the ssh server there; a client limit or a missing program ends this way.';
  const login = target.user === undefined ? target.host : `${target.user}@${target.host}`;
  return `Make this work first, without a question: ssh ${target.port === undefined ? '' : `-p ${target.port} `}${login} true`;
}

async function openInTime(target: Target, timeoutMs: number, options: ConnectOptions): Promise<Transport> {
  options.signal?.throwIfAborted();
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  try {
    return await openTransport(target, { signal, readOnly: options.readOnly ?? false });
  } catch (error) {
    if (!deadline.aborted || options.signal?.aborted) throw error;
    const text = `cannot connect to '${target.uri}': no connection within ${timeoutMs} ms`;
    throw libvirtError('LIBVIRT_CONNECT', text, { cause: error, hint: 'Check that the host is up and reachable.' });
  }
}

async function open(rpc: RpcConnection, target: Target, options: ConnectOptions): Promise<void> {
  const call: CallOptions = options.signal === undefined ? {} : { signal: options.signal };
  await authenticate(rpc, target.uri, call);
  if (options.keepalive !== undefined && (await supportsKeepalive(rpc, call))) rpc.startKeepalive(options.keepalive);
  const args = { name: target.name, flags: options.readOnly ? OPEN_READ_ONLY : 0 };
  await rpc.call(remoteProcedures.connectOpen, args, { ...call, what: `open '${target.name}'` });
}

async function supportsKeepalive(rpc: RpcConnection, call: CallOptions): Promise<boolean> {
  try {
    const args = { feature: FEATURE_KEEPALIVE };
    return (await rpc.call(remoteProcedures.connectSupportsFeature, args, call)).supported === 1;
  } catch (error) {
    // A daemon that does not know the question does not answer PINGs either.
    if (isRemoteError(error)) return false;
    throw error;
  }
}
