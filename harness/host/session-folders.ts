import path from 'node:path';
import { parseLibvirtUri } from '../libvirt/index.ts';
import type { Host } from './host.ts';

/**
 * Where a daemon of one user keeps what it runs with: beside the socket that the URI names, and in the runtime folder of
 * the host's own environment, which behind ssh is not ours. Undefined for the system's daemon.
 */
export async function sessionFolders(host: Host): Promise<string[] | undefined> {
  const target = parseLibvirtUri(host.connection.uri);
  if (!target.session) return undefined;
  const socket = target.transport === 'unix' || target.transport === 'ssh' ? target.socket : undefined;
  const environment = await host.shell.run(['printenv', 'XDG_RUNTIME_DIR']);
  const runtime = environment.outcome === 'read' ? Buffer.from(environment.bytes).toString().trim() : '';
  return [
    ...(socket === undefined ? [] : [path.posix.dirname(socket)]),
    ...(runtime === '' ? [] : [path.posix.join(runtime, 'libvirt')]),
  ];
}
