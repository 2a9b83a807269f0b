import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { currentOwner } from '../guest/ownership.ts';
import type { Host } from '../host/host.ts';
import { formatLease } from '../host/leases/record.ts';
import { shellOf } from '../host/shell.ts';
import { LibvirtConnection } from '../libvirt/index.ts';
import { reapAll } from './all.ts';

let folder: string;
const before = process.env.SEV_HARNESS_LEASES;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-reap-'));
  process.env.SEV_HARNESS_LEASES = path.join(folder, 'leases');
});
afterEach(async () => {
  if (before === undefined) delete process.env.SEV_HARNESS_LEASES;
  else process.env.SEV_HARNESS_LEASES = before;
  await rm(folder, { recursive: true, force: true });
});

/** A host without domains, on which these storage pools lie; `asked` hears what is done to them. */
function hostWith(
  pools: readonly string[],
  asked: string[],
  uri = 'qemu+unix:///session?socket=/x/libvirt-sock',
): Host {
  const all = pools.map((name) => ({ name, uuid: '' }));
  const connection: LibvirtConnection = Object.create(LibvirtConnection.prototype, {
    uri: { value: uri },
    listDomains: { value: async () => [] },
    hostname: { value: async () => 'lab7' },
    call: {
      value: async (name: string, args: { pool?: { name: string } }) => {
        if (name === 'connectListAllStoragePools') return { pools: all };
        if (name === 'storagePoolListAllVolumes') return { vols: [] };
        asked.push(`${name} ${args.pool?.name}`);
        return {};
      },
    },
  });
  const close = async () => {};
  const rest = { profile: undefined, reconnect: async () => connection, close, [Symbol.asyncDispose]: close };
  return { name: uri, kind: 'real', connection, shell: shellOf(uri), ...rest };
}

async function lease(text: string): Promise<void> {
  await mkdir(path.join(folder, 'leases'), { recursive: true });
  await writeFile(path.join(folder, 'leases/host.lease'), text);
}

const heldBy = (runId: string, change = {}) =>
  formatLease({ owner: { ...currentOwner(runId), ...change }, user: 'u', sinceMs: 0, host: 'h' });
const actions = (rows: Awaited<ReturnType<typeof reapAll>>) => rows.map(({ name, action }) => [name, action]);
const POOLS = ['sevh-live-images', 'sevh-dead-images', 'default'];

describe('storage pools of runs', () => {
  it('go when their run has lost the host, and stay while it has it; those of others are never touched', async () => {
    await lease(heldBy('live'));
    const asked: string[] = [];
    expect(actions(await reapAll(hostWith(POOLS, asked), { dryRun: false }))).toEqual([
      ['storage pool sevh-live-images', 'kept'],
      ['storage pool sevh-dead-images', 'removed'],
      [path.join(folder, 'leases/host.lease'), 'kept'],
    ]);
    expect(asked).toEqual(
      ['Refresh', 'Destroy', 'Delete', 'Undefine'].map((verb) => `storagePool${verb} sevh-dead-images`),
    );
  });

  it('stay while a run of another machine has the host', async () => {
    await lease(heldBy('live', { place: 'elsewhere' }));
    const rows = await reapAll(hostWith(POOLS, []), { dryRun: false });
    expect(rows.map(({ action }) => action)).toEqual(['kept', 'removed', 'kept']);
  });

  it('all go when nobody has the host, and in a dry run none', async () => {
    const asked: string[] = [];
    const dry = await reapAll(hostWith(POOLS, asked), { dryRun: true });
    expect(dry.map(({ action }) => action)).toEqual(['would-remove', 'would-remove']);
    expect(asked).toEqual([]);
    const rows = await reapAll(hostWith(POOLS, asked), { dryRun: false });
    expect(rows.map(({ action }) => action)).toEqual(['removed', 'removed']);
  });

  it('stay when somebody has the host and nobody knows who', async () => {
    await lease('{');
    const rows = await reapAll(hostWith(POOLS, []), { dryRun: false });
    expect(rows.map(({ action }) => action)).toEqual(['kept', 'kept', 'kept']);
  });

  it('of a run that was named go alone, and stay if it is alive', async () => {
    await lease(heldBy('live'));
    const named = async (runId: string) =>
      (await reapAll(hostWith(POOLS, []), { dryRun: false, runId })).map(({ action }) => action);
    expect(await named('dead')).toEqual(['kept', 'removed', 'kept']);
    expect(await named('live')).toEqual(['kept', 'kept', 'kept']);
    await lease(heldBy('live', { place: 'elsewhere' }));
    expect(await named('live')).toEqual(['removed', 'kept', 'removed']);
  });

  it('stay where the lease of others cannot be seen', async () => {
    const rows = await reapAll(hostWith(POOLS, [], 'qemu+tcp://lab7/system'), { dryRun: false });
    expect(rows).toMatchObject([
      { action: 'kept' },
      { action: 'kept', because: expect.stringContaining('--run dead') },
    ]);
  });
});
