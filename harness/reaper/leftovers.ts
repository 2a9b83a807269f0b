import path from 'node:path';
import { errorText, isSevHarnessError } from '../../core/errors.ts';
import { isOurName, type Owner, runIdOfName } from '../guest/ownership.ts';
import { IMAGES_THERE } from '../host/deliver.ts';
import type { Host } from '../host/host.ts';
import { listKsmRecords, restoreFromRecord } from '../host/ksm-record.ts';
import { sessionFolders } from '../host/session-folders.ts';
import { folderNames, shellQuoted } from '../host/shell-commands.ts';
import { isNoSupport, isRemoteError, type LibvirtConnection } from '../libvirt/index.ts';
import type { NonnullStoragePool } from '../libvirt/protocol/libvirt.gen.ts';
import type { ReapRow } from './reap.ts';

/** What a run has made or changed on a host beside its domains: whether it still needs it, the host's lease must tell. */
export interface Leftover {
  readonly name: string;
  readonly runId: string;
  /** Where it says so itself. */
  readonly owner?: Owner;
  /** A setting of the whole host: another run that has the host may rely on it. */
  readonly isOfWholeHost?: true;
  /** Returns what was done where that is not plain. */
  remove(): Promise<string | undefined>;
}

/** virConnectListAllStoragePoolsFlags. */
const LIST_ACTIVE = 2;
const SYSTEM_FOLDERS = ['/var/lib/libvirt/qemu', '/var/lib/libvirt/qemu/nvram'];
/** As `DiskImages` names them. A pool carries no metadata: of a name that only begins as ours do, the volumes are somebody's. */
const POOL_OF_OURS = /^sevh-[0-9a-z]+-[0-9a-f]{4}-images$/;
/** What QEMU wrote of its memory, and the variables of a guest firmware. */
const FILE_OF_OURS = /\.(?:monitor|core)$|_VARS(?:_4M)?\.(?:fd|qcow2)$/;

/** Storage pools and files with the name of a run, alive or dead, and settings that it has written down. */
export async function listLeftovers(host: Host, images?: string): Promise<Leftover[]> {
  const lists = [pools(host.connection), files(host), imageFiles(host, images), settings(host)];
  return (await Promise.all(lists)).flat();
}

/** Removes those of runs that `whyKept` knows no reason to keep. */
export async function reapLeftovers(
  leftovers: readonly Leftover[],
  options: { readonly dryRun: boolean; readonly whyKept: (leftover: Leftover) => string | undefined },
): Promise<ReapRow[]> {
  const rows: ReapRow[] = [];
  for (const leftover of leftovers) {
    const { name, runId } = leftover;
    const row = (action: ReapRow['action'], because: string) => rows.push({ name, runId, action, because });
    const kept = options.whyKept(leftover);
    const because = `run ${runId} no longer has the host`;
    if (kept !== undefined) row('kept', kept);
    else if (options.dryRun) row('would-remove', because);
    else
      await leftover.remove().then(
        (words) => row('removed', words === undefined ? because : `${because}: ${words}`),
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
      const runId = POOL_OF_OURS.test(pool.name) ? runIdOfName(pool.name) : undefined;
      if (runId === undefined) return [];
      const remove = () => removePool(connection, pool, active.has(pool.name));
      return [{ name: `storage pool ${pool.name}`, runId, remove }];
    });
  } catch (error) {
    if (isNoSupport(error)) return [];
    throw error;
  }
}

/** With the volumes in it; of a pool that was never built there is no folder to start it on, nor to delete. */
async function removePool(
  connection: LibvirtConnection,
  pool: NonnullStoragePool,
  isActive: boolean,
): Promise<undefined> {
  // After a power cut it is defined only, and its volumes are still there.
  if (isActive || (await starts(connection, pool))) {
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

async function starts(connection: LibvirtConnection, pool: NonnullStoragePool): Promise<boolean> {
  try {
    await connection.call('storagePoolCreate', { pool, flags: 0 });
    return true;
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    return false;
  }
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

/** Copies of a guest image that are one run's own, in the folder of images on the host. */
async function imageFiles(host: Host, images: string | undefined): Promise<Leftover[]> {
  const folder = images !== undefined && host.shell.where === 'local' ? shellQuoted(images) : IMAGES_THERE;
  const script = `for f in ${folder}/*/sevh-*; do if [ -f "$f" ]; then printf '%s\\n' "$f"; fi; done`;
  const reading = await host.shell.run(['sh', '-c', script]);
  const paths = reading.outcome === 'read' ? folderNames(reading.bytes) : [];
  return paths.flatMap((file) => {
    const runId = runIdOfName(path.posix.basename(file));
    return runId === undefined ? [] : [{ name: file, runId, remove: () => removeFile(host, file) }];
  });
}

async function settings(host: Host): Promise<Leftover[]> {
  return (await listKsmRecords(host)).flatMap(({ path: file, record }): Leftover[] => {
    const name = `kernel samepage merging (${file})`;
    if (!isSevHarnessError(record)) {
      const { owner } = record;
      const remove = () => restoreFromRecord(host, record);
      return [{ name, runId: owner.runId, owner, isOfWholeHost: true, remove }];
    }
    const runId = runIdOfName(path.posix.basename(file));
    return runId === undefined ? [] : [{ name, runId, isOfWholeHost: true, remove: () => Promise.reject(record) }];
  });
}

async function removeFile({ shell }: Host, file: string): Promise<undefined> {
  const removed = await shell.run(['rm', '-f', '--', file]);
  if (removed.outcome !== 'read')
    throw new Error(removed.outcome === 'absent' ? 'the host has no rm' : removed.because);
}
