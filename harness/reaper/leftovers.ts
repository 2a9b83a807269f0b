import { errorText } from '../../core/errors.ts';
import { isOurName, runIdOfName } from '../guest/ownership.ts';
import type { Host } from '../host/host.ts';
import { sessionFolders } from '../host/session-folders.ts';
import { isNoSupport, isRemoteError, type LibvirtConnection } from '../libvirt/index.ts';
import type { NonnullStoragePool } from '../libvirt/protocol/libvirt.gen.ts';
import type { ReapRow } from './reap.ts';

/** A storage pool or file on a host that bears a run's name and says no more: whose it is, the host's lease must tell. */
export interface Leftover {
  readonly name: string;
  readonly runId: string;
  remove(): Promise<void>;
}

/** virConnectListAllStoragePoolsFlags. */
const LIST_ACTIVE = 2;
const SYSTEM_FOLDERS = ['/var/lib/libvirt/qemu', '/var/lib/libvirt/qemu/nvram'];
/** What QEMU wrote of its memory, and the variables of a guest firmware. */
const FILE_OF_OURS = /\.(?:monitor|core)$|_VARS(?:_4M)?\.(?:fd|qcow2)$/;

/** Storage pools and files with the name of a run, alive or dead. */
export async function listLeftovers(host: Host): Promise<Leftover[]> {
  return [...(await pools(host.connection)), ...(await files(host))];
}

/** Removes those of runs that `whyKept` knows no reason to keep. */
export async function reapLeftovers(
  leftovers: readonly Leftover[],
  options: { readonly dryRun: boolean; readonly whyKept: (runId: string) => string | undefined },
): Promise<ReapRow[]> {
  const rows: ReapRow[] = [];
  for (const leftover of leftovers) {
    const { name, runId } = leftover;
    const row = (action: ReapRow['action'], because: string) => rows.push({ name, runId, action, because });
    const kept = options.whyKept(runId);
    const because = `run ${runId} no longer has the host`;
    if (kept !== undefined) row('kept', kept);
    else if (options.dryRun) row('would-remove', because);
    else
      await leftover.remove().then(
        () => row('removed', because),
        (error: unknown) => row('failed', errorText(error)),
      );
  }
  return rows;
}

async function pools(connection: LibvirtConnection): Promise<Leftover[]> {
  const list = async (flags: number) =>
    (await connection.call('connectListAllStoragePools', { needResults: 1, flags })).pools;
  try {
    const active = new Set((await list(LIST_ACTIVE)).map((pool) => pool.name));
    return (await list(0)).flatMap((pool) => {
      const runId = runIdOfName(pool.name);
      if (runId === undefined) return [];
      const remove = () => removePool(connection, pool, active.has(pool.name));
      return [{ name: `storage pool ${pool.name}`, runId, remove }];
    });
  } catch (error) {
    if (isNoSupport(error)) return [];
    throw error;
  }
}

/** With the volumes in it; of a pool that was never built there is no folder to delete. */
async function removePool(connection: LibvirtConnection, pool: NonnullStoragePool, isActive: boolean): Promise<void> {
  if (isActive) {
    await connection.call('storagePoolRefresh', { pool, flags: 0 });
    const { vols } = await connection.call('storagePoolListAllVolumes', { pool, needResults: 1, flags: 0 });
    for (const vol of vols) await connection.call('storageVolDelete', { vol, flags: 0 });
    await connection.call('storagePoolDestroy', { pool });
  }
  try {
    await connection.call('storagePoolDelete', { pool, flags: 0 });
  } catch (error) {
    if (!isRemoteError(error) || !/No such file or directory/.test(error.remote.message ?? '')) throw error;
  }
  await connection.call('storagePoolUndefine', { pool });
}

async function files(host: Host): Promise<Leftover[]> {
  const session = (await sessionFolders(host))?.map((folder) => `${folder}/qemu/run`);
  const folders = session ?? SYSTEM_FOLDERS;
  const lists = await Promise.all(folders.map((folder) => host.shell.listFolder(folder)));
  return folders.flatMap((folder, index) => {
    const list = lists[index];
    const names = list?.outcome === 'read' ? list.names : [];
    return names
      .filter((name) => isOurName(name) && FILE_OF_OURS.test(name))
      .map((name) => ({
        name: `${folder}/${name}`,
        runId: runIdOfName(name) ?? '',
        remove: () => removeFile(host, `${folder}/${name}`),
      }));
  });
}

async function removeFile({ shell }: Host, file: string): Promise<void> {
  const removed = await shell.run(['rm', '-f', '--', file]);
  if (removed.outcome !== 'read')
    throw new Error(removed.outcome === 'absent' ? 'the host has no rm' : removed.because);
}
