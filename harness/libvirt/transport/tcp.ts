import { connect } from 'node:net';
import { errorText } from '../../../core/errors.ts';
import { libvirtError } from '../errors.ts';
import { openSocket } from './socket.ts';
import type { Transport } from './transport.ts';

/** Connects to a daemon's plain TCP port. Throws `LIBVIRT_CONNECT`. */
export async function connectTcp(
  target: { uri: string; host: string; port: number },
  signal: AbortSignal,
): Promise<Transport> {
  const { host, port } = target;
  try {
    const socket = await openSocket(connect({ host, port, noDelay: true }), 'connect', signal);
    return { peer: `libvirt at tcp ${host}:${port}`, input: socket, output: socket, destroy: () => socket.destroy() };
  } catch (error) {
    signal.throwIfAborted();
    throw libvirtError('LIBVIRT_CONNECT', `cannot connect to '${target.uri}': ${host}:${port}: ${failureText(error)}`, {
      cause: error,
      hint: 'libvirtd listens on TCP only when started for it (libvirtd-tcp.socket); qemu+ssh:// needs no such port.',
    });
  }
}

/** A connection failure in words, as one line; several addresses of one name fail as one `AggregateError` without a text. */
export function failureText(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(failureText).join('; ');
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ECONNREFUSED':
      return 'nobody is listening';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'the host name cannot be resolved';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'the host cannot be reached';
    default:
      return tlsReason(error) ?? errorText(error).trim();
  }
}

/** OpenSSL's own words; its whole text spans lines and names its source files. */
function tlsReason(error: unknown): string | undefined {
  const { code, reason } = error as { code?: string; reason?: unknown };
  return code?.startsWith('ERR_SSL_') && typeof reason === 'string' ? reason : undefined;
}
