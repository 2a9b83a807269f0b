import { libvirtError } from '../errors.ts';

/** Which of a host's sockets to use: the one daemon's, the QEMU daemon's, or whichever is there. */
export type SocketMode = 'auto' | 'legacy' | 'direct';
export type SshProxy = 'auto' | 'native' | 'netcat';
/** What to do about the other side's key: it must be known, a new one is taken, or it is not looked at. */
export type HostKeyCheck = 'normal' | 'auto' | 'ignore';

/** What a connection URI asks for (libvirt's `remote_driver.c` and `remote_sockets.c` give the grammar its meaning). */
export type Target = {
  /** The URI as it was given. */
  readonly uri: string;
  /** What OPEN is sent: the URI without transport, host and the parameters that only matter on the way. */
  readonly name: string;
  /** The user's own daemon (`/session`) instead of the system's. */
  readonly session: boolean;
} & (
  | { readonly transport: 'unix'; readonly socket: string | undefined; readonly mode: SocketMode }
  | ({ readonly transport: 'ssh' } & SshTarget)
  | { readonly transport: 'tcp'; readonly host: string; readonly port: number }
  | ({ readonly transport: 'tls' } & TlsTarget)
);

export interface SshTarget {
  readonly host: string;
  readonly port: number | undefined;
  readonly user: string | undefined;
  readonly keyfile: string | undefined;
  /** File of known host keys instead of the user's own. */
  readonly knownHosts: string | undefined;
  readonly hostKeyCheck: HostKeyCheck;
  readonly batch: boolean;
  /** The program to run instead of `ssh`. */
  readonly command: string | undefined;
  readonly netcat: string | undefined;
  readonly socket: string | undefined;
  readonly mode: SocketMode;
  readonly proxy: SshProxy;
}

export interface TlsTarget {
  readonly host: string;
  readonly port: number;
  /** Folder of cacert.pem, clientcert.pem and clientkey.pem. */
  readonly pkipath: string | undefined;
  readonly verify: boolean;
}

type TransportName = Target['transport'];

/** Which parameters mean something on which way; libvirt ignores the others in silence, which hides typing mistakes. */
const PARAMETERS: Readonly<Record<TransportName, readonly string[]>> = {
  unix: ['name', 'socket', 'mode'],
  ssh: [
    ...['name', 'socket', 'mode', 'keyfile', 'known_hosts', 'known_hosts_verify'],
    ...['no_verify', 'no_tty', 'command', 'netcat', 'proxy'],
  ],
  tcp: ['name'],
  tls: ['name', 'pkipath', 'no_verify'],
};

/** LIBVIRTD_TCP_PORT and LIBVIRTD_TLS_PORT. */
const TCP_PORT = 16509;
const TLS_PORT = 16514;

const FORMS =
  'qemu:///system, qemu:///session, qemu+unix:///system?socket=PATH, qemu+ssh://[USER@]HOST[:PORT]/system, ' +
  'qemu+tcp://HOST[:PORT]/system, qemu+tls://HOST[:PORT]/system';

const URI_PATTERN =
  /^(?<driver>[a-z][a-z0-9.-]*)(?:\+(?<transport>[a-z0-9]+))?:\/\/(?<authority>[^/?#]*)(?<path>\/[^?#]*)?(?:\?(?<query>[^#]*))?$/i;

/** Parses a libvirt connection URI. Throws `LIBVIRT_URI` for every form that the client does not support, with the reason. */
export function parseLibvirtUri(uri: string): Target {
  const refuse = refusal(uri);
  const parts = URI_PATTERN.exec(uri)?.groups;
  if (parts === undefined) throw refuse('it is not of the form driver[+transport]://[host]/path[?parameters]');
  const driver = (parts.driver ?? '').toLowerCase();
  if (driver === 'test') {
    throw refuse("libvirt's test driver lives inside libvirt.so and has no socket that a client could speak to");
  }
  if (driver !== 'qemu') throw refuse(`the driver is '${driver}', only qemu is supported`);
  const authority = parseAuthority(parts.authority ?? '', refuse);
  const transport = transportName(parts.transport?.toLowerCase(), authority.host, refuse);
  const path = parts.path ?? '/';
  if (path !== '/system' && path !== '/session' && path !== '/embed') {
    throw refuse(`the path is '${path}', expected /system or /session`);
  }
  if (path === '/embed') throw refuse('an embedded driver lives inside the calling process and has no socket');
  const query = parseQuery(parts.query ?? '', PARAMETERS[transport], transport, refuse);
  const name = query.get('name') ?? `${driver}://${path}`;
  const common = { uri, name, session: path === '/session' };
  const socket = nonEmpty(query.get('socket'), 'socket', refuse);
  const verify = !flag(query, 'no_verify', refuse);
  const mode = oneOf(query, 'mode', ['auto', 'legacy', 'direct'] as const, refuse) ?? 'auto';
  const host = authority.host === '' ? 'localhost' : authority.host;
  if (transport !== 'ssh' && authority.user !== undefined) {
    throw refuse(`a user name means nothing to ${transport}, it needs qemu+ssh://`);
  }
  switch (transport) {
    case 'unix':
      return { ...common, transport, socket, mode };
    case 'tcp':
      return { ...common, transport, host, port: authority.port ?? TCP_PORT };
    case 'tls': {
      const pkipath = nonEmpty(query.get('pkipath'), 'pkipath', refuse);
      return { ...common, transport, host, port: authority.port ?? TLS_PORT, pkipath, verify };
    }
    case 'ssh': {
      const netcat = nonEmpty(query.get('netcat'), 'netcat', refuse);
      const asked = oneOf(query, 'proxy', ['auto', 'native', 'netcat'] as const, refuse);
      if (asked === 'native' && netcat !== undefined) throw refuse('netcat= cannot be used with proxy=native');
      if (asked === 'native' && socket !== undefined) throw refuse('virt-ssh-helper cannot be told a socket=');
      const check = oneOf(query, 'known_hosts_verify', ['normal', 'auto', 'ignore'] as const, refuse);
      if (!verify && check !== undefined && check !== 'ignore')
        throw refuse(`no_verify=1 and known_hosts_verify=${check} contradict each other`);
      // As libvirt chooses: an explicit socket or netcat needs nc, a session daemon can only be found by the helper.
      const fallback = socket !== undefined || netcat !== undefined ? 'netcat' : common.session ? 'native' : 'auto';
      return {
        ...common,
        transport,
        host,
        port: authority.port,
        user: authority.user,
        keyfile: nonEmpty(query.get('keyfile'), 'keyfile', refuse),
        knownHosts: nonEmpty(query.get('known_hosts'), 'known_hosts', refuse),
        hostKeyCheck: verify ? (check ?? 'normal') : 'ignore',
        batch: flag(query, 'no_tty', refuse),
        command: nonEmpty(query.get('command'), 'command', refuse),
        netcat,
        socket,
        mode,
        proxy: asked === undefined || (asked === 'auto' && netcat !== undefined) ? fallback : asked,
      };
    }
  }
}

type Refuse = (why: string) => Error;

function refusal(uri: string): Refuse {
  return (why) =>
    libvirtError('LIBVIRT_URI', `cannot connect to '${uri}': ${why}`, {
      details: { uri },
      hint: `Supported are ${FORMS}.`,
    });
}

function transportName(given: string | undefined, host: string, refuse: Refuse): TransportName {
  switch (given) {
    case undefined:
      // libvirt's rule: a host without a transport means TLS.
      return host === '' ? 'unix' : 'tls';
    case 'unix':
      if (host !== '') throw refuse(`a unix socket is on this machine, but the URI names the host '${host}'`);
      return 'unix';
    case 'ssh':
    case 'tcp':
    case 'tls':
      return given;
    case 'libssh':
    case 'libssh2':
      throw refuse(`the transport ${given} is not supported, use qemu+ssh:// which runs the ssh command`);
    case 'ext':
      throw refuse('the transport ext is not supported, use qemu+ssh:// with ?command=');
    default:
      throw refuse(`the transport '${given}' is unknown`);
  }
}

function parseAuthority(text: string, refuse: Refuse) {
  const match = /^(?:(?<user>[^@]*)@)?(?<host>\[[0-9a-f:.]+(?:%[^\][@/?#\s]+)?\]|[^:@[\]]*)(?::(?<port>.*))?$/i.exec(
    text,
  )?.groups;
  if (match === undefined) throw refuse(`'${text}' is not of the form [user@]host[:port]`);
  const user = match.user === undefined ? undefined : decode(match.user, refuse);
  if (user === '') throw refuse('the user name before @ is empty');
  if (user?.startsWith('-')) throw refuse(`the user name '${user}' begins with a dash`);
  // A link-local address names its interface behind % (RFC 6874: %25).
  const host = (match.host ?? '').replace(/^\[|\]$/g, '').replace('%25', '%');
  if (host.startsWith('-')) throw refuse(`the host name '${host}' begins with a dash`);
  if (match.port === undefined) return { user, host, port: undefined };
  const port = /^\d{1,5}$/.test(match.port) ? Number(match.port) : 0;
  if (port < 1 || port > 65535) throw refuse(`the port is '${match.port}', expected 1 to 65535`);
  if (host === '') throw refuse('there is a port but no host');
  return { user, host, port };
}

function parseQuery(text: string, allowed: readonly string[], transport: TransportName, refuse: Refuse) {
  const values = new Map<string, string>();
  for (const part of text.split(/[&;]/)) {
    if (part === '') continue;
    const [rawKey = '', ...rest] = part.split('=');
    const key = decode(rawKey, refuse).toLowerCase();
    if (!allowed.includes(key)) {
      throw refuse(`the parameter '${key}' is not supported for ${transport}, known are ${allowed.join(', ')}`);
    }
    if (values.has(key)) throw refuse(`the parameter '${key}' is given twice`);
    values.set(key, decode(rest.join('='), refuse));
  }
  return values;
}

function decode(text: string, refuse: Refuse): string {
  let plain: string;
  try {
    plain = decodeURIComponent(text);
  } catch {
    throw refuse(`'${text}' holds a broken % escape`);
  }
  // No part of a URI has a use for these, and they would end up in file names and command lines.
  if (/[\0\n\r]/.test(plain)) throw refuse(`'${text}' holds a line break or a NUL`);
  return plain;
}

function nonEmpty(value: string | undefined, key: string, refuse: Refuse): string | undefined {
  if (value === '') throw refuse(`the parameter '${key}' is empty`);
  return value;
}

function flag(query: ReadonlyMap<string, string>, key: string, refuse: Refuse): boolean {
  const value = query.get(key);
  if (value === undefined) return false;
  if (!/^-?\d+$/.test(value)) throw refuse(`the parameter '${key}' is '${value}', expected 0 or 1`);
  return Number(value) !== 0;
}

function oneOf<const T extends string>(
  query: ReadonlyMap<string, string>,
  key: string,
  values: readonly T[],
  refuse: Refuse,
): T | undefined {
  const value = query.get(key);
  if (value === undefined) return undefined;
  const found = values.find((candidate) => candidate === value);
  if (found === undefined) throw refuse(`the parameter '${key}' is '${value}', expected ${values.join(' or ')}`);
  return found;
}
