import { connectSsh } from './ssh.ts';
import { connectTcp } from './tcp.ts';
import { connectTls } from './tls.ts';
import type { Transport } from './transport.ts';
import { connectUnix } from './unix.ts';
import type { Target } from './uri.ts';

/** Opens the way that a URI asks for. Throws `LIBVIRT_CONNECT`, or the signal's reason. */
export function openTransport(target: Target, options: { signal: AbortSignal; readOnly: boolean }): Promise<Transport> {
  switch (target.transport) {
    case 'unix':
      return connectUnix(target, { ...options, env: process.env });
    case 'ssh':
      return connectSsh(target, options);
    case 'tcp':
      return connectTcp(target, options.signal);
    case 'tls':
      return connectTls(target, options.signal);
  }
}
