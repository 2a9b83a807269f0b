import { connect, type LibvirtConnection } from '../index.ts';
import { encodeValue } from '../protocol/codec.ts';
import { remoteProcedures } from '../protocol/libvirt.gen.ts';
import { isCall, listenScripted, type PeerSession, type RawMessage } from './scripted-peer.ts';

const { connectGetHostname } = remoteProcedures;

/** Connects to a peer that answers `hostname` as told, asks it, and hands over what came of it. */
export async function askHostname(
  answer: (call: Required<RawMessage>, session: PeerSession) => void,
  use: (
    outcome: { error: unknown; hostname: string | undefined },
    connection: LibvirtConnection,
  ) => Promise<void> | void,
  timeoutMs = 5000,
): Promise<void> {
  await using peer = await listenScripted((message, session) => {
    if (!isCall(message, connectGetHostname)) return 'default';
    answer(message, session);
    return undefined;
  });
  await using connection = await connect(peer.uri);
  const outcome = await connection.call('connectGetHostname', {}, { timeoutMs, what: 'read the host name' }).then(
    ({ hostname }) => ({ error: undefined, hostname }),
    (error: unknown) => ({ error, hostname: undefined }),
  );
  await use(outcome, connection);
}

/** The body of the answer to `hostname`. */
export function hostname(name: string): Uint8Array {
  return encodeValue(connectGetHostname.ret, { hostname: name });
}
