import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { currentOwner, METADATA_NAMESPACE } from '../guest/ownership.ts';
import { type Host, openHost } from '../host/host.ts';
import type { KsmSettings } from '../host/ksm.ts';
import { formatKsmRecord } from '../host/ksm-record.ts';
import { formatLease } from '../host/leases/record.ts';
import { parseHostName } from '../host/name.ts';
import { type HostShell, shellOf } from '../host/shell.ts';
import { LibvirtConnection } from '../libvirt/index.ts';
import { reapAll } from './all.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'sevh-reap-'));
  vi.stubEnv('SEV_HARNESS_LEASES', path.join(folder, 'leases'));
  vi.stubEnv('SEV_HARNESS_IMAGES', path.join(folder, 'images'));
  // What runs of this machine's own session daemon left is not for a test to remove.
  vi.stubEnv('XDG_RUNTIME_DIR', path.join(folder, 'runtime'));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true, force: true });
});

/** A host without domains, on which these storage pools lie; `asked` hears what is done to them. */
function hostWith(
  pools: readonly string[],
  asked: string[],
  uri = 'qemu+unix:///session?socket=/x/libvirt-sock',
  shell: HostShell = shellOf(uri),
): Host {
  const all = pools.map((name) => ({ name, uuid: '' }));
  const connection: LibvirtConnection = Object.create(LibvirtConnection.prototype, {
    uri: { value: uri },
    listDomains: { value: async () => [] },
    hostname: { value: async () => 'lab7' },
    call: {
      configurable: true,
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
  return { name: uri, kind: 'real', connection, shell, ...rest };
}

async function lease(text: string): Promise<void> {
  await mkdir(path.join(folder, 'leases'), { recursive: true });
  await writeFile(path.join(folder, 'leases/host.lease'), text);
}

const heldBy = (runId: string, change = {}) =>
  formatLease({ owner: { ...currentOwner(runId), ...change }, user: 'u', sinceMs: 0, host: 'h' });
const actions = (rows: Awaited<ReturnType<typeof reapAll>>) => rows.map(({ name, action }) => [name, action]);

/** What a run writes into a domain, with something of it changed or left out. */
function metadata(change: Readonly<Record<string, string | undefined>> = {}, namespace = METADATA_NAMESPACE): string {
  const { runId: id, pid, ...rest } = currentOwner('dead');
  const written = { id, pid, ...rest, startTicks: '1', ...change };
  const attributes = Object.entries(written).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}='${value}'`,
  );
  return `<metadata><sevh:run xmlns:sevh='${namespace}' ${attributes.join(' ')}/></metadata>`;
}

describe('domains', () => {
  const NOT_OURS = 'it has our name but not our metadata';
  const { startTicks } = currentOwner('r');

  it.each<[string, string, string, string | undefined]>([
    ['that somebody named as we name ours, without metadata', 'sevh-dead-database', '', NOT_OURS],
    ['with nothing but our prefix', 'sevh-', '', NOT_OURS],
    ["with somebody's metadata of the same form", 'sevh-dead-x', metadata({}, 'https://example.com/run'), NOT_OURS],
    [
      "with somebody's metadata of the same form beside a mention of our namespace",
      'sevh-dead-x',
      `<description>${METADATA_NAMESPACE}</description>${metadata({}, 'https://example.com/run')}`,
      NOT_OURS,
    ],
    ['whose metadata names no run', 'sevh-dead-x', metadata({ id: undefined }), NOT_OURS],
    [
      'whose metadata does not say when its process started',
      'sevh-dead-x',
      metadata({ startTicks: undefined }),
      NOT_OURS,
    ],
    ['whose metadata names no process', 'sevh-dead-x', metadata({ pid: 'many' }), NOT_OURS],
    [
      'with a copy of our metadata under another run',
      'sevh-mine-x',
      metadata(),
      'its name does not belong to run dead',
    ],
    ['with a copy of our metadata under a name of theirs', 'database', metadata(), undefined],
    ['of a run that is alive', 'sevh-dead-x', metadata({ startTicks }), `its run is alive (process ${process.pid})`],
  ])('%s are never touched', async (_, name, inside, because) => {
    await using host = await openHost(parseHostName('fake:no-sev'));
    const define = (other: string, more: string) =>
      host.connection.defineDomain(
        `<domain type='kvm'><name>${other}</name>${more}<memory unit='MiB'>16</memory><os><type>hvm</type></os></domain>`,
      );
    const theirs = await define(name, inside);
    await theirs.start();
    await define(`${name}-off`, inside);
    // Without one of a dead run beside them, nothing might have been removed at all.
    await define('sevh-dead-guest', metadata());
    for (const options of [{ dryRun: false }, { dryRun: false, runId: 'dead' }]) {
      const rows = (await reapAll(host, options)).filter((row) => row.name !== 'sevh-dead-guest');
      expect(rows.map((row) => [row.name, row.action, row.because]).toSorted()).toEqual(
        because === undefined ? [] : [name, `${name}-off`].map((one) => [one, 'kept', because]),
      );
    }
    expect((await host.connection.listDomains()).map((domain) => domain.name).toSorted()).toEqual([
      name,
      `${name}-off`,
    ]);
    expect(await theirs.isActive()).toBe(true);
  });
});

const POOLS = ['sevh-live-0a1b-images', 'sevh-dead-0a1b-images', 'default', 'sevh-backup-vms'];

describe('storage pools of runs', () => {
  it('go when their run has lost the host, and stay while it has it; those of others are never touched', async () => {
    await lease(heldBy('live'));
    const asked: string[] = [];
    expect(actions(await reapAll(hostWith(POOLS, asked), { dryRun: false }))).toEqual([
      ['storage pool sevh-live-0a1b-images', 'kept'],
      ['storage pool sevh-dead-0a1b-images', 'removed'],
      [path.join(folder, 'leases/host.lease'), 'kept'],
    ]);
    expect(asked).toEqual(
      ['Refresh', 'Destroy', 'Delete', 'Undefine'].map((verb) => `storagePool${verb} sevh-dead-0a1b-images`),
    );
  });

  it.each([
    ['that a power cut stopped go with their volumes', true],
    ['that were never built, so that they cannot start, are undefined', false],
  ])('%s', async (_, isBuilt) => {
    await using emulated = await openHost(parseHostName('fake:no-sev'));
    const { connection } = emulated;
    const name = 'sevh-dead-0a1b-images';
    const xml = `<pool type='dir'><name>${name}</name><target><path>/var/tmp/${name}</path></target></pool>`;
    const { pool } = await connection.call('storagePoolDefineXml', { xml, flags: 0 });
    if (isBuilt) {
      await connection.call('storagePoolBuild', { pool, flags: 0 });
      await connection.call('storagePoolCreate', { pool, flags: 0 });
      const volume = '<volume><name>disk</name><capacity>1</capacity></volume>';
      await connection.call('storageVolCreateXml', { pool, xml: volume, flags: 0 });
      await connection.call('storagePoolDestroy', { pool });
    }
    // An emulated host lists no pools; of this one it refuses to delete the folder while a volume is in it.
    const asked: string[] = [];
    const call = async (procedure: string, args: { flags?: number }) => {
      if (procedure === 'connectListAllStoragePools') return { pools: args.flags === 0 ? [pool] : [] };
      asked.push(procedure);
      return connection.call(procedure as 'storagePoolUndefine', args as { pool: typeof pool });
    };
    // Over TCP nothing but the connection is asked, so that no file of this machine is looked at.
    const host = hostWith([], [], 'qemu+tcp://lab7/system');
    Object.defineProperty(host.connection, 'call', { value: call });
    const rows = await reapAll(host, { dryRun: false, runId: 'dead' });
    expect(rows).toMatchObject([{ name: `storage pool ${name}`, action: 'removed' }]);
    await expect(connection.call('storagePoolLookupByName', { name })).rejects.toMatchObject({ remote: { code: 49 } });
    const emptied = ['storagePoolRefresh', 'storagePoolListAllVolumes', 'storageVolDelete', 'storagePoolDestroy'];
    expect(asked).toEqual([
      'storagePoolCreate',
      ...(isBuilt ? emptied : []),
      ...['storagePoolDelete', 'storagePoolUndefine'],
    ]);
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

describe("a copy of a guest image that was one run's own", () => {
  it('goes with its run, wherever images were kept, and nothing else there', async () => {
    await lease(heldBy('live'));
    const images = path.join(folder, 'other images');
    const place = path.join(images, 'digest');
    await mkdir(place, { recursive: true });
    const names = ['initrd.gz', 'sevh-dead-initrd.gz', 'sevh-live-initrd.gz', 'vmlinuz'];
    for (const name of names) await writeFile(path.join(place, name), '');
    const rows = await reapAll(hostWith([], []), { dryRun: false, images });
    expect(actions(rows)).toEqual([
      [path.join(place, 'sevh-dead-initrd.gz'), 'removed'],
      [path.join(place, 'sevh-live-initrd.gz'), 'kept'],
      [path.join(folder, 'leases/host.lease'), 'kept'],
    ]);
    expect(await readdir(place)).toEqual(['initrd.gz', 'sevh-live-initrd.gz', 'vmlinuz']);
  });
});

describe('kernel samepage merging that a run has changed', () => {
  const BEFORE: KsmSettings = { run: 0, pages_to_scan: 100, sleep_millisecs: 20 };
  const DURING: KsmSettings = { run: 1, pages_to_scan: 20_000, sleep_millisecs: 1 };
  const dead = { ...currentOwner('dead'), pid: 0 };

  async function record(change: { bootId?: string; owner?: typeof dead; runId?: string } = {}): Promise<string> {
    const { owner = dead, runId = owner.runId } = change;
    const bootId = change.bootId ?? (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    const file = path.join(folder, 'leases', `sevh-${runId}-ksm`);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, formatKsmRecord({ owner, bootId, before: BEFORE, during: DURING }));
    return file;
  }

  /** This machine, but for the settings, which are these. */
  function hostWithKsm(start: KsmSettings, written: object[], refuses?: string): Host {
    let now = start;
    const here = shellOf('qemu:///system');
    const shell: HostShell = {
      ...here,
      readFile: async (file, range) => {
        const name = /^\/sys\/kernel\/mm\/ksm\/(\w+)$/.exec(file)?.[1];
        if (name === undefined) return here.readFile(file, range);
        return { outcome: 'read', bytes: new TextEncoder().encode(`${now[name as keyof KsmSettings]}\n`) };
      },
      run: async (words) => {
        if (words[0] !== 'python3') return here.run(words);
        const settings: Partial<KsmSettings> = JSON.parse(words.at(-1) ?? '');
        written.push(settings);
        if (refuses === undefined) now = { ...now, ...settings };
        const refused = refuses === undefined ? [] : [refuses];
        return { outcome: 'read', bytes: new TextEncoder().encode(JSON.stringify({ refused })) };
      },
    };
    return hostWith([], [], undefined, shell);
  }

  async function reaped(now: KsmSettings, options: { dryRun?: boolean; runId?: string; refuses?: string } = {}) {
    const written: object[] = [];
    const { refuses, dryRun = false, ...rest } = options;
    const rows = await reapAll(hostWithKsm(now, written, refuses), { dryRun, ...rest });
    const [row] = rows.filter(({ name }) => name.startsWith('kernel samepage merging'));
    return { row, written, left: await readdir(path.join(folder, 'leases')).catch(() => []) };
  }

  it.each<[string, KsmSettings, object[], RegExp]>([
    [
      'as the run left it: all of it, and what was merged since is taken apart',
      DURING,
      [{ run: 2 }, BEFORE],
      /put back to run=0, pages_to_scan=100, sleep_millisecs=20$/,
    ],
    ['that the run was about to put back', { ...DURING, run: 2 }, [BEFORE], /put back to run=0/],
    [
      'of which somebody has set one thing since: the others',
      { ...DURING, run: 0 },
      [{ pages_to_scan: 100, sleep_millisecs: 20 }],
      /put back to pages_to_scan=100, sleep/,
    ],
    [
      'that somebody has set since: nothing',
      { run: 1, pages_to_scan: 500, sleep_millisecs: 5 },
      [],
      /somebody else has set it/,
    ],
    ['that is as it was: nothing', BEFORE, [], /as it was, or somebody else/],
  ])('is put back where its run is dead, %s', async (_, now, expected, words) => {
    await record();
    const { row, written, left } = await reaped(now);
    expect(row).toMatchObject({ action: 'removed', runId: 'dead', because: expect.stringMatching(words) });
    expect(written).toEqual(expected);
    expect(left).toEqual([]);
  });

  it('stays where the host has been started anew since', async () => {
    await record({ bootId: 'another' });
    const { row, written, left } = await reaped(DURING);
    expect(row).toMatchObject({ action: 'removed', because: expect.stringContaining('started anew') });
    expect([written, left]).toEqual([[], []]);
  });

  it('stays while its run lives, also when that has lost the host', async () => {
    await record({ owner: currentOwner('dead') });
    expect(await reaped(DURING)).toMatchObject({ row: { action: 'kept' }, written: [] });
  });

  it('stays while another run has the host, which may rely on it, and is put back after that', async () => {
    await record();
    await lease(heldBy('live'));
    const { row, written } = await reaped(DURING);
    expect(row).toMatchObject({ action: 'kept', because: expect.stringContaining('run live has the host') });
    expect(written).toEqual([]);
    await rm(path.join(folder, 'leases/host.lease'));
    expect((await reaped(DURING)).row).toMatchObject({ action: 'removed' });
  });

  it('that cannot be read is told, and all else is removed', async () => {
    await mkdir(path.join(folder, 'leases'), { recursive: true });
    await symlink('/nowhere', path.join(folder, 'leases/sevh-gone-ksm'));
    await record();
    const rows = await reapAll(hostWithKsm(DURING, []), { dryRun: false });
    expect(rows.map(({ runId, action }) => [runId, action])).toEqual([
      ['dead', 'removed'],
      ['gone', 'failed'],
    ]);
    expect(rows[1]?.because).toMatch(/sevh-gone-ksm is not a plain file/);
  });

  it('of two runs is put back by each only where it is as that run had set it', async () => {
    await record();
    await record({ owner: { ...dead, runId: 'dead2' } });
    const { written, left } = await reaped(DURING);
    expect(written).toEqual([{ run: 2 }, BEFORE]);
    expect(left).toEqual([]);
  });

  it('stays in a dry run, and when another run was named', async () => {
    await record();
    expect(await reaped(DURING, { dryRun: true })).toMatchObject({ row: { action: 'would-remove' }, written: [] });
    expect(await reaped(DURING, { runId: 'other' })).toMatchObject({ row: { action: 'kept' }, written: [] });
  });

  it('that the host refuses to take back stays written down, and reap says so', async () => {
    const file = await record();
    const { row, left } = await reaped(DURING, { refuses: 'run=2: Permission denied' });
    expect(row).toMatchObject({ action: 'failed', because: expect.stringContaining('run=2: Permission denied') });
    expect(left).toEqual([path.basename(file)]);
  });

  it.each([
    ['no JSON', '{'],
    ['another file', '{"format":"sev-harness lease 1"}'],
    [
      'more than numbers',
      JSON.stringify({
        format: 'sev-harness ksm 1',
        ...dead,
        bootId: 'b',
        before: { ...BEFORE, run: '0; x' },
        during: DURING,
      }),
    ],
    ['null', 'null'],
  ])('is left alone where the record is none: %s', async (_, text) => {
    await mkdir(path.join(folder, 'leases'));
    await writeFile(path.join(folder, 'leases/sevh-dead-ksm'), text);
    expect(await reaped(DURING)).toEqual({ row: undefined, written: [], left: ['sevh-dead-ksm'] });
  });

  it('is left alone where the record bears the name of another run', async () => {
    await record({ runId: 'elsewhere' });
    expect(await reaped(DURING)).toMatchObject({ row: undefined, written: [] });
  });
});
