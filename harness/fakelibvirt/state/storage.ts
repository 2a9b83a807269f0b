import { randomUUID } from 'node:crypto';
import { refusal, systemRefusal } from '../refusal.ts';
import { parseXml } from './xml/parse.ts';
import { child, find, text } from './xml/tree.ts';

interface Pool {
  readonly name: string;
  readonly uuid: string;
  readonly folder: string;
  isBuilt: boolean;
  isActive: boolean;
  /** Volumes by name, with their paths. */
  readonly volumes: Map<string, string>;
}

type PoolHandle = Pick<Pool, 'name' | 'uuid'>;
interface VolumeHandle {
  readonly pool: string;
  readonly name: string;
  readonly key: string;
}

/**
 * Storage pools of type `dir`, with what libvirt 9.0 says of each misuse.
 *
 * A volume is a name and a path: guests of the emulated host never look into their disks.
 */
export class StoragePools {
  readonly #pools = new Map<string, Pool>();

  define(xml: string): Pool {
    const root = parseXml(xml, 'storage_definition');
    const name = text(child(root, 'name')) ?? '';
    const folder = text(find(root, 'target', 'path')) ?? '';
    const known = this.#pools.get(name);
    if (known) throw refusal('OPERATION_FAILED', 'STORAGE', `pool '${name}' already exists with uuid ${known.uuid}`);
    const rival = [...this.#pools.values()].find((pool) => pool.folder === folder);
    if (rival) throw refusal('OPERATION_FAILED', 'STORAGE', `Storage source conflict with pool: '${rival.name}'`);
    const pool = { name, uuid: randomUUID(), folder, isBuilt: false, isActive: false, volumes: new Map() };
    this.#pools.set(name, pool);
    return pool;
  }

  byName(name: string): Pool {
    const pool = this.#pools.get(name);
    if (pool) return pool;
    throw refusal('NO_STORAGE_POOL', 'STORAGE', `no storage pool with matching name '${name}'`);
  }

  build(handle: PoolHandle): void {
    this.#inactive(handle).isBuilt = true;
  }

  start(handle: PoolHandle): void {
    const pool = this.#resolve(handle);
    if (pool.isActive) throw misuse(pool, 'already active');
    if (!pool.isBuilt) throw systemRefusal(2, 'NONE', `cannot open directory '${pool.folder}'`);
    pool.isActive = true;
  }

  stop(handle: PoolHandle): void {
    this.#active(handle).isActive = false;
  }

  deleteFolder(handle: PoolHandle): void {
    const pool = this.#inactive(handle);
    if (pool.volumes.size > 0) throw systemRefusal(39, 'STORAGE', `failed to remove pool '${pool.folder}'`);
    pool.isBuilt = false;
  }

  undefine(handle: PoolHandle): void {
    this.#pools.delete(this.#inactive(handle).name);
  }

  createVolume(handle: PoolHandle, xml: string): VolumeHandle {
    const pool = this.#active(handle);
    const name = text(child(parseXml(xml, 'storage_volume_definition'), 'name'));
    if (!name) throw refusal('XML_ERROR', 'STORAGE', 'missing volume name element');
    if (pool.volumes.has(name))
      throw refusal('STORAGE_VOL_EXIST', 'STORAGE', `storage volume '${name}' exists already`);
    pool.volumes.set(name, `${pool.folder}/${name}`);
    return volumeHandle(pool, name);
  }

  /** A file that appears in a pool's folder, as a snapshot's new disk, is a volume of the pool. */
  notice(path: string): void {
    for (const pool of this.#pools.values()) {
      if (path.startsWith(`${pool.folder}/`)) pool.volumes.set(path.slice(pool.folder.length + 1), path);
    }
  }

  volumes(handle: PoolHandle): VolumeHandle[] {
    const pool = this.#active(handle);
    return [...pool.volumes.keys()].map((name) => volumeHandle(pool, name));
  }

  volumePath({ pool, name }: VolumeHandle): string {
    const path = this.byName(pool).volumes.get(name);
    if (path) return path;
    throw refusal('NO_STORAGE_VOL', 'STORAGE', `no storage vol with matching name '${name}'`);
  }

  deleteVolume(handle: VolumeHandle): void {
    this.volumePath(handle);
    this.#active(this.byName(handle.pool)).volumes.delete(handle.name);
  }

  #resolve({ name, uuid }: PoolHandle): Pool {
    const pool = [...this.#pools.values()].find((one) => one.uuid === uuid);
    if (pool) return pool;
    throw refusal('NO_STORAGE_POOL', 'STORAGE', `no storage pool with matching uuid '${uuid}' (${name})`);
  }

  #active(handle: PoolHandle): Pool {
    const pool = this.#resolve(handle);
    if (!pool.isActive) throw misuse(pool, 'not active');
    return pool;
  }

  #inactive(handle: PoolHandle): Pool {
    const pool = this.#resolve(handle);
    if (pool.isActive) throw misuse(pool, 'still active');
    return pool;
  }
}

function volumeHandle(pool: Pool, name: string): VolumeHandle {
  return { pool: pool.name, name, key: pool.volumes.get(name) ?? '' };
}

function misuse({ name }: Pool, words: string) {
  return refusal('OPERATION_INVALID', 'STORAGE', `storage pool '${name}' is ${words}`);
}
