import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { errorText, type SevHarnessError } from '../../../core/errors.ts';
import { libvirtError } from '../errors.ts';
import { openSocket } from './socket.ts';
import type { Transport } from './transport.ts';
import type { SocketMode } from './uri.ts';

export interface UnixTarget {
  readonly uri: string;
  readonly session: boolean;
  readonly socket: string | undefined;
  readonly mode: SocketMode;
}

interface SocketFailure {
  readonly path: string;
  readonly error: NodeJS.ErrnoException;
}

/** Where the daemons listen, in the order in which we try. */
export function socketPaths(target: UnixTarget, readOnly: boolean, env: NodeJS.ProcessEnv): string[] {
  if (target.socket !== undefined) return [target.socket];
  // A session daemon has one socket only; what it allows is decided by OPEN's flags.
  const suffix = readOnly && !target.session ? 'sock-ro' : 'sock';
  const daemons = { auto: ['libvirt', 'virtqemud'], legacy: ['libvirt'], direct: ['virtqemud'] }[target.mode];
  return runFolders(target.session, env).flatMap((folder) =>
    daemons.map((daemon) => path.join(folder, `${daemon}-${suffix}`)),
  );
}

function runFolders(session: boolean, env: NodeJS.ProcessEnv): string[] {
  if (!session) return ['/run/libvirt', '/var/run/libvirt'];
  // GLib's rule, which libvirt follows: the cache folder stands in for a runtime folder that is not set.
  const runtime = env.XDG_RUNTIME_DIR || env.XDG_CACHE_HOME || path.join(env.HOME ?? os.homedir(), '.cache');
  return [path.join(runtime, 'libvirt')];
}

/** Connects to the first daemon that listens. `LIBVIRT_CONNECT` says which sockets were tried and what each answered. */
export async function connectUnix(
  target: UnixTarget,
  options: { readOnly: boolean; signal: AbortSignal; env: NodeJS.ProcessEnv },
): Promise<Transport> {
  const paths = socketPaths(target, options.readOnly, options.env);
  const failures: SocketFailure[] = [];
  for (const socketPath of paths) {
    try {
      const socket = await openSocket(connect(socketPath), 'connect', options.signal);
      return {
        peer: `libvirt at unix socket ${socketPath}`,
        input: socket,
        output: socket,
        destroy: () => socket.destroy(),
      };
    } catch (error) {
      options.signal.throwIfAborted();
      failures.push({ path: socketPath, error: error as NodeJS.ErrnoException });
    }
  }
  throw unixFailure(target, failures);
}

/** What each socket answered, in one error. */
export function unixFailure(target: UnixTarget, failures: readonly SocketFailure[]): SevHarnessError {
  const tried = failures.map((failure) => `${failure.path}: ${reason(failure.error)}`).join('; ');
  const codes = failures.map((failure) => failure.error.code ?? '');
  return libvirtError('LIBVIRT_CONNECT', `cannot connect to '${target.uri}': ${tried}`, {
    details: { paths: failures.map((failure) => ({ path: failure.path, errno: failure.error.code })) },
    hint: hint(target, codes),
    cause: failures[0]?.error,
  });
}

function reason(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case 'ENOENT':
      return 'no such socket';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'ECONNREFUSED':
      return 'nobody is listening';
    case 'ENOTSOCK':
      return 'not a socket';
    case 'EINVAL':
    case 'ENAMETOOLONG':
      return 'the path is too long for a socket';
    default:
      return errorText(error);
  }
}

function hint(target: UnixTarget, codes: readonly string[]): string {
  if (codes.includes('EACCES') || codes.includes('EPERM')) {
    return 'Add this user to the group that owns the socket (libvirt on most systems), or run as root.';
  }
  if (target.socket !== undefined) return 'Start the daemon that should listen there, or correct socket=.';
  return target.session
    ? 'Start libvirtd or virtqemud as this user (virsh -c qemu:///session list does), or set XDG_RUNTIME_DIR.'
    : 'Start libvirtd or virtqemud: systemctl start libvirtd.';
}
