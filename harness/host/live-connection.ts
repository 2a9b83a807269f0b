import { isSevHarnessError } from '../../core/errors.ts';
import type { LibvirtConnection } from '../libvirt/index.ts';
import type { Host } from './host.ts';

/** For cleaning up, which must work when the host's own connection is what broke: then on a new one. */
export async function onLiveConnection<T>(host: Host, work: (connection: LibvirtConnection) => Promise<T>): Promise<T> {
  try {
    return await work(host.connection);
  } catch (error) {
    if (!isSevHarnessError(error, 'LIBVIRT_CONNECTION_LOST')) throw error;
    await using connection = await host.reconnect();
    return await work(connection);
  }
}
