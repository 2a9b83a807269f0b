import { statSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import path from 'node:path';
import { errorText, isSystemError } from '../../../core/errors.ts';
import { fakelibvirtError } from '../errors.ts';
import { destroyDomain } from '../state/lifecycle.ts';
import type { Machine } from '../state/machine.ts';
import { ClientConnection } from './connection.ts';
import type { Dispatcher } from './dispatch.ts';

/** The emulated libvirtd: accepts clients on a unix socket until it is closed. */
export class Listener {
  readonly #server: Server;
  readonly #connections = new Set<ClientConnection>();

  constructor(machine: Machine, dispatcher: Dispatcher, log: (line: string) => void) {
    this.#server = createServer((socket: Socket) => {
      log('connection accepted');
      const connection = new ClientConnection(socket, machine, dispatcher, log, (closed) => {
        this.#connections.delete(closed);
        destroyOwned(machine, closed, log);
      });
      this.#connections.add(connection);
    });
  }

  /** Throws `EMULATOR_SOCKET_UNUSABLE`. */
  async listen(socketPath: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error) => reject(unusable(socketPath, error));
      this.#server.once('error', refuse);
      this.#server.listen(socketPath, () => {
        this.#server.off('error', refuse);
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    for (const connection of [...this.#connections]) connection.close('the emulated host stops');
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** VIR_DOMAIN_START_AUTODESTROY: the guest goes with the connection that started it. */
function destroyOwned(machine: Machine, owner: ClientConnection, log: (line: string) => void): void {
  for (const domain of machine.domains.active()) {
    if (domain.autodestroyOwner !== owner) continue;
    domain
      .withJob(() => destroyDomain(machine, domain))
      .catch((error) => log(`autodestroy of '${domain.name}': ${errorText(error)}`));
  }
}

function unusable(socketPath: string, error: Error) {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  const { why = errorText(error), hint } = obstacle(socketPath, code);
  return fakelibvirtError('EMULATOR_SOCKET_UNUSABLE', `cannot listen on '${socketPath}': ${why}`, {
    details: { socketPath, code },
    hint,
    cause: error,
  });
}

/** What is in the way: Node says EACCES of a folder that does not exist, and EADDRINUSE of any file. */
function obstacle(socketPath: string, code: string): { why?: string; hint: string } {
  const folder = path.dirname(path.resolve(socketPath));
  const parent = kindOf(folder);
  if (parent !== 'folder' && parent !== 'unseen') {
    const why = parent === 'nothing' ? `the folder ${folder} does not exist` : `${folder} is no folder`;
    return { why, hint: 'Name a socket path in a folder that exists.' };
  }
  const there = kindOf(socketPath);
  if (there === 'file' || there === 'folder')
    return { why: `a ${there} is there, which is no socket`, hint: 'Name another path.' };
  if (code === 'EADDRINUSE' && there === 'socket')
    return {
      hint: 'Another emulated host listens there, or left the socket behind: remove the file or name another path.',
    };
  return { hint: 'Name a socket path that is free, in a directory that is writable, at most 107 bytes long.' };
}

function kindOf(at: string): 'socket' | 'folder' | 'file' | 'nothing' | 'unseen' {
  try {
    const found = statSync(at);
    return found.isSocket() ? 'socket' : found.isDirectory() ? 'folder' : 'file';
  } catch (error) {
    return isSystemError(error, 'ENOENT') || isSystemError(error, 'ENOTDIR') ? 'nothing' : 'unseen';
  }
}
