import { type FaultId, startEmulatedHost } from '../fakelibvirt/index.ts';
import { connect, isNoSupportedProcedure, type LibvirtConnection } from '../libvirt/index.ts';
import type { HostName } from './name.ts';
import { emulatedShell, type HostShell, shellOf } from './shell.ts';

/** A machine that can run guests, connected. Closing it closes the connection, and the emulated host with it. */
export interface Host extends AsyncDisposable {
  readonly name: string;
  readonly kind: 'emulated' | 'real';
  /** Profile of an emulated host, also of one that another process serves. */
  readonly profile: string | undefined;
  readonly connection: LibvirtConnection;
  readonly shell: HostShell;
  /** Faults for which an emulated host of this process was asked until now. */
  readonly askedFaults?: () => ReadonlySet<string>;
  /** A second, independent connection to the same host. */
  reconnect(): Promise<LibvirtConnection>;
  close(): Promise<void>;
}

export interface OpenHostOptions {
  readonly faults?: readonly FaultId[];
  /** An emulated host boots nothing of this machine. */
  readonly hasBuiltInImagesOnly?: boolean | undefined;
  /** Another highest ASID than that of an emulated host's profile. */
  readonly maxAsid?: number | undefined;
  readonly signal?: AbortSignal;
}

/** As virsh does: a host that is gone without a word is noticed after half a minute. */
const KEEPALIVE = { intervalMs: 5000, count: 5 };

/** Starts the emulated host or connects to the named one. Throws what `connect` throws. */
export async function openHost(name: HostName, options: OpenHostOptions = {}): Promise<Host> {
  const connectOptions = options.signal === undefined ? {} : { signal: options.signal };
  if (name.kind === 'emulated') {
    const emulated = await startEmulatedHost({
      profile: name.profile,
      faults: options.faults ?? [],
      hasBuiltInImagesOnly: options.hasBuiltInImagesOnly,
      maxAsidOverride: options.maxAsid,
    });
    try {
      const connection = await connect(emulated.uri, connectOptions);
      return host({
        name: name.text,
        uri: emulated.uri,
        kind: 'emulated',
        profile: name.profile,
        connection,
        shell: emulatedShell(connection),
        askedFaults: emulated.askedFaults,
        alsoClose: () => emulated.close(),
      });
    } catch (error) {
      await emulated.close();
      throw error;
    }
  }
  const connection = await connect(name.text, { ...connectOptions, keepalive: KEEPALIVE });
  try {
    const emulatedProfile = await identifyEmulated(connection);
    return host({
      name: name.text,
      uri: name.text,
      kind: emulatedProfile === undefined ? 'real' : 'emulated',
      profile: emulatedProfile,
      connection,
      shell: emulatedProfile === undefined ? shellOf(name.text) : emulatedShell(connection),
      alsoClose: async () => {},
    });
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** The profile when the peer is our emulated host; a real libvirtd has no such program and says so. */
async function identifyEmulated(connection: LibvirtConnection): Promise<string | undefined> {
  try {
    return (await connection.callEmulator('identify', {})).profile;
  } catch (error) {
    if (isNoSupportedProcedure(error)) return undefined;
    throw error;
  }
}

function host(parts: {
  name: string;
  uri: string;
  kind: Host['kind'];
  profile: string | undefined;
  connection: LibvirtConnection;
  shell: HostShell;
  askedFaults?: () => ReadonlySet<string>;
  alsoClose: () => Promise<void>;
}): Host {
  const { alsoClose, uri, ...visible } = parts;
  const close = async () => {
    try {
      await parts.connection.close();
    } finally {
      await parts.shell.close();
      await alsoClose();
    }
  };
  return { ...visible, reconnect: () => connect(uri, { keepalive: KEEPALIVE }), close, [Symbol.asyncDispose]: close };
}
