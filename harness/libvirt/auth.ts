import { libvirtError } from './errors.ts';
import { remoteProcedures } from './protocol/libvirt.gen.ts';
import { isRemoteError } from './remote-error.ts';
import type { CallOptions, RpcConnection } from './rpc/connection.ts';

/** remote_auth_type (remote_protocol.x). */
const AUTH_NONE = 0;
const AUTH_SASL = 1;
const AUTH_POLKIT = 2;

/**
 * Gets past the daemon's authentication where it asks for none or for polkit.
 *
 * Throws `LIBVIRT_AUTH_SASL`, `LIBVIRT_AUTH_POLKIT` or `LIBVIRT_AUTH_UNKNOWN`.
 */
export async function authenticate(rpc: RpcConnection, uri: string, options: CallOptions): Promise<void> {
  const { types } = await rpc.call(remoteProcedures.authList, {}, { ...options, what: 'list ways to authenticate' });
  if (types.length === 0 || types.includes(AUTH_NONE)) return;
  if (types.includes(AUTH_POLKIT)) return polkit(rpc, uri, options);
  if (types.includes(AUTH_SASL)) return refuseSasl(rpc, uri, options);
  throw libvirtError(
    'LIBVIRT_AUTH_UNKNOWN',
    `cannot connect to '${uri}': the daemon offers authentication of type ${types.join(', ')} only, expected 0 (none) or 2 (polkit)`,
  );
}

async function polkit(rpc: RpcConnection, uri: string, options: CallOptions): Promise<void> {
  const hint =
    "Let polkit allow 'org.libvirt.unix.manage' to this user (on most systems: membership of the group libvirt), or run as root.";
  try {
    const what = 'authenticate with polkit';
    const { complete } = await rpc.call(remoteProcedures.authPolkit, {}, { ...options, what });
    if (complete === 1) return;
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    const text = `cannot connect to '${uri}': polkit refused: ${error.remote.message}`;
    throw libvirtError('LIBVIRT_AUTH_POLKIT', text, { hint, cause: error, details: error.details });
  }
  throw libvirtError('LIBVIRT_AUTH_POLKIT', `cannot connect to '${uri}': polkit did not complete`, { hint });
}

async function refuseSasl(rpc: RpcConnection, uri: string, options: CallOptions): Promise<never> {
  const { mechlist } = await rpc.call(
    remoteProcedures.authSaslInit,
    {},
    { ...options, what: 'ask for SASL mechanisms' },
  );
  throw libvirtError(
    'LIBVIRT_AUTH_SASL',
    `cannot connect to '${uri}': the daemon insists on SASL (mechanisms: ${mechlist}), which sev-harness does not speak`,
    {
      details: { mechanisms: mechlist.split(/[ ,]+/) },
      hint: 'Use qemu+ssh:// or qemu+tls://, or set auth_tcp="none" or auth_unix_rw="none" in the daemon’s configuration.',
    },
  );
}
