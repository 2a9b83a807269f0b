import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { errorText } from '../../../core/errors.ts';
import { libvirtError } from '../errors.ts';
import { openSocket } from './socket.ts';
import { failureText } from './tcp.ts';
import type { Transport } from './transport.ts';
import type { TlsTarget } from './uri.ts';

interface CredentialPaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The byte with which the daemon says that it accepts our certificate (virnetserverclient.c). */
const ACCEPTED = 0x01;

/** Where the certificates may be, in the order in which they are looked for (virnettlscontext.c). */
export function credentialPaths(pkipath: string | undefined, home: string, isRoot: boolean): CredentialPaths[] {
  const flat = (folder: string) => ({
    ca: path.join(folder, 'cacert.pem'),
    cert: path.join(folder, 'clientcert.pem'),
    key: path.join(folder, 'clientkey.pem'),
  });
  if (pkipath !== undefined) return [flat(pkipath)];
  const system = {
    ca: '/etc/pki/CA/cacert.pem',
    cert: '/etc/pki/libvirt/clientcert.pem',
    key: '/etc/pki/libvirt/private/clientkey.pem',
  };
  return isRoot ? [system] : [flat(path.join(home, '.pki', 'libvirt')), system];
}

/** Connects to a daemon's TLS port and waits until it has accepted us. Throws `LIBVIRT_CONNECT`. */
export async function connectTls(target: TlsTarget & { uri: string }, signal: AbortSignal): Promise<Transport> {
  const { host, port } = target;
  const fail = (why: string, hint: string, cause?: unknown) =>
    libvirtError('LIBVIRT_CONNECT', `cannot connect to '${target.uri}': ${why}`, { hint, cause });
  const places = credentialPaths(target.pkipath, os.homedir(), process.getuid?.() === 0);
  const ca = await firstFile(places.map((place) => place.ca));
  if (ca === undefined && target.verify) {
    const tried = places.map((place) => place.ca).join(', ');
    throw fail(`no CA certificate at ${tried}`, 'Put it there, name its folder with ?pkipath=, or add ?no_verify=1.');
  }
  const cert = await firstFile(places.map((place) => place.cert));
  const key = await firstFile(places.map((place) => place.key));
  let socket: TLSSocket;
  try {
    const wanted = connect({
      host,
      port,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
      rejectUnauthorized: target.verify,
    });
    socket = await openSocket(wanted, 'secureConnect', signal);
  } catch (error) {
    signal.throwIfAborted();
    const hint =
      'Check that libvirtd listens for TLS there, and that its certificate names this host and is signed by the CA.';
    throw fail(`${host}:${port}: ${failureText(error)}`, hint, error);
  }
  try {
    await accepted(socket, signal);
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    const sent =
      cert === undefined ? `we have none (looked at ${places.map((place) => place.cert).join(', ')})` : 'sent';
    const hint =
      'The daemon must trust the CA of the client certificate and, where it has tls_allowed_dn_list, list its name.';
    throw fail(`${host}:${port} refused our client certificate, ${sent}: ${failureText(error)}`, hint, error);
  }
  return { peer: `libvirt at tls ${host}:${port}`, input: socket, output: socket, destroy: () => socket.destroy() };
}

/** Waits for the one byte that precedes the protocol. */
function accepted(socket: TLSSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      socket.off('readable', onReadable);
      socket.off('end', onEnd);
      socket.off('error', onError);
      signal.removeEventListener('abort', onAbort);
      done();
    };
    const onReadable = () => {
      const byte: Buffer | null = socket.read(1);
      if (byte === null) return;
      if (byte[0] === ACCEPTED) settle(resolve);
      else settle(() => reject(new Error(`it sent byte ${byte[0]} where ${ACCEPTED} means accepted`)));
    };
    const onEnd = () => settle(() => reject(new Error('it closed the connection')));
    const onError = (error: Error) => settle(() => reject(error));
    const onAbort = () => settle(() => reject(signal.reason));
    socket.on('readable', onReadable);
    socket.once('end', onEnd);
    socket.once('error', onError);
    signal.addEventListener('abort', onAbort, { once: true });
    onReadable();
  });
}

async function firstFile(paths: readonly string[]): Promise<Buffer | undefined> {
  for (const candidate of paths) {
    try {
      return await readFile(candidate);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw libvirtError('LIBVIRT_CONNECT', `cannot read the certificate ${candidate}: ${errorText(error)}`, {
          cause: error,
          hint: 'Give this user the right to read it.',
        });
      }
    }
  }
  return undefined;
}
