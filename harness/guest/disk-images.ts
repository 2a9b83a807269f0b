import type { ScenarioContext } from '../fixtures/scenario.ts';
import { parseLibvirtUri } from '../libvirt/index.ts';
import type { NonnullStoragePool } from '../libvirt/protocol/libvirt.gen.ts';
import { guestName } from './ownership.ts';

/** Where libvirt keeps images; a user's own daemon may not write there. */
const SYSTEM_FOLDER = '/var/lib/libvirt/images';
const SESSION_FOLDER = '/var/tmp';
const IMAGE_BYTES = 4 * 1024 * 1024;
const ROLE = 'images';

/** Empty disks on the host, in a storage pool of this run's own; all of it goes when the scenario ends. */
export class DiskImages {
  /** The folder on the host, where a guest may write more files. */
  readonly folder: string;
  readonly #context: ScenarioContext;
  readonly #pool: NonnullStoragePool;

  private constructor(context: ScenarioContext, folder: string, pool: NonnullStoragePool) {
    this.#context = context;
    this.folder = folder;
    this.#pool = pool;
  }

  /** Makes the pool through libvirt, so that it works on a host that is far away, and the host labels the files itself. */
  static async open(context: ScenarioContext): Promise<DiskImages> {
    const { connection } = context.host;
    const name = guestName(context.settings.owner.runId, ROLE);
    const folder = `${isSession(context.host.name) ? SESSION_FOLDER : SYSTEM_FOLDER}/${name}`;
    context.cleanup.push(`remove storage pool ${name}`, () => removePool(context, name));
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

/** Files that guests and snapshots made there go too. */
async function removePool({ host: { connection } }: ScenarioContext, name: string): Promise<void> {
  const found = await connection.call('storagePoolLookupByName', { name }).catch(() => undefined);
  if (found === undefined) return;
  const { pool } = found;
  await connection.call('storagePoolRefresh', { pool, flags: 0 });
  const { vols } = await connection.call('storagePoolListAllVolumes', { pool, needResults: 1, flags: 0 });
  for (const vol of vols) await connection.call('storageVolDelete', { vol, flags: 0 });
  await connection.call('storagePoolDestroy', { pool });
  await connection.call('storagePoolDelete', { pool, flags: 0 });
  await connection.call('storagePoolUndefine', { pool });
}

function isSession(hostName: string): boolean {
  return !hostName.startsWith('fake:') && parseLibvirtUri(hostName).session;
}
