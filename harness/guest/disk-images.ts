import type { ScenarioContext } from '../fixtures/scenario.ts';
import { onLiveConnection } from '../host/live-connection.ts';
import { isRemoteError, type LibvirtConnection, parseLibvirtUri } from '../libvirt/index.ts';
import type { NonnullStoragePool } from '../libvirt/protocol/libvirt.gen.ts';
import { guestName } from './ownership.ts';
import { randomBytesHex } from './shortcuts.ts';

/** Where libvirt keeps images; a user's own daemon may not write there. */
const SYSTEM_FOLDER = '/var/lib/libvirt/images';
const SESSION_FOLDER = '/var/tmp';
const IMAGE_BYTES = 4 * 1024 * 1024;
/** VIR_ERR_NO_STORAGE_POOL and VIR_ERR_OPERATION_INVALID */
const NO_POOL = 49;
const NOT_ACTIVE = 55;

/** What of a scenario's context disks need. */
export interface ImagesContext extends Pick<ScenarioContext, 'host' | 'cleanup'> {
  readonly settings: Pick<ScenarioContext['settings'], 'owner'>;
}

/** Empty disks on the host, in a storage pool of this run's own; all of it goes when the scenario ends. */
export class DiskImages {
  /** The folder on the host, where a guest may write more files. */
  readonly folder: string;
  readonly #context: ImagesContext;
  readonly #pool: NonnullStoragePool;

  private constructor(context: ImagesContext, folder: string, pool: NonnullStoragePool) {
    this.#context = context;
    this.folder = folder;
    this.#pool = pool;
  }

  /** Makes the pool through libvirt, so that it works on a host that is far away, and the host labels the files itself. */
  static async open(context: ImagesContext): Promise<DiskImages> {
    const { connection } = context.host;
    const name = guestName(context.settings.owner.runId, `${randomBytesHex(2)}-images`);
    const folder = `${isSession(context.host.name) ? SESSION_FOLDER : SYSTEM_FOLDER}/${name}`;
    context.cleanup.push(`remove storage pool ${name}`, () =>
      onLiveConnection(context.host, (live) => removePool(live, name)),
    );
    const xml = `<pool type='dir'><name>${name}</name><target><path>${folder}</path></target></pool>`;
    const { pool } = await connection.call('storagePoolDefineXml', { xml, flags: 0 });
    await connection.call('storagePoolBuild', { pool, flags: 0 });
    await connection.call('storagePoolCreate', { pool, flags: 0 });
    return new DiskImages(context, folder, pool);
  }

  /** Makes an empty qcow2 image and returns its path. */
  async create(name: string): Promise<string> {
    const { connection } = this.#context.host;
    const xml = `<volume><name>${name}.qcow2</name><capacity>${IMAGE_BYTES}</capacity><target><format type='qcow2'/></target></volume>`;
    const { vol } = await connection.call('storageVolCreateXml', { pool: this.#pool, xml, flags: 0 });
    return (await connection.call('storageVolGetPath', { vol })).name;
  }
}

/** Files that guests and snapshots made there go too; a pool that was never defined or started is no error. */
async function removePool(connection: LibvirtConnection, name: string): Promise<void> {
  const found = await unless(NO_POOL, connection.call('storagePoolLookupByName', { name }));
  if (found === undefined) return;
  const { pool } = found;
  const refreshed = await unless(NOT_ACTIVE, connection.call('storagePoolRefresh', { pool, flags: 0 }));
  if (refreshed !== undefined) {
    const { vols } = await connection.call('storagePoolListAllVolumes', { pool, needResults: 1, flags: 0 });
    for (const vol of vols) await connection.call('storageVolDelete', { vol, flags: 0 });
    await connection.call('storagePoolDestroy', { pool });
    await connection.call('storagePoolDelete', { pool, flags: 0 });
  }
  await connection.call('storagePoolUndefine', { pool });
}

/** The answer; undefined when the host refuses with this code. */
async function unless<T>(code: number, asking: Promise<T>): Promise<T | undefined> {
  try {
    return await asking;
  } catch (error) {
    if (isRemoteError(error) && error.remote.code === code) return undefined;
    throw error;
  }
}

function isSession(hostName: string): boolean {
  return !hostName.startsWith('fake:') && parseLibvirtUri(hostName).session;
}
