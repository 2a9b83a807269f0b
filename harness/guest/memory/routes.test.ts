import { randomBytes } from 'node:crypto';
import { afterEach, describe, expect, test } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import type { FaultId } from '../../fakelibvirt/index.ts';
import { type Host, openHost } from '../../host/host.ts';
import type { FileReading } from '../../host/shell.ts';
import { type RouteId, routes } from './routes.ts';
import { type CanaryPlaces, hitsOutside, scanGuest, surveyMemory } from './survey.ts';
import { type MemoryTarget, memoryTarget } from './target.ts';

const MiB = 2 ** 20;
const CANARY = randomBytes(32);
/** Where the model guest of an emulated host places its canary. */
const PLACES: CanaryPlaces = {
  private: [{ guestAddress: 9 * MiB, bytes: 32 * 1024 }],
  shared: [{ guestAddress: 10 * MiB, bytes: 8 * 1024 }],
};

let host: Host;
afterEach(() => host.close());

async function guest(kind: 'plain' | 'sev', ...faults: FaultId[]) {
  host = await openHost({ kind: 'emulated', profile: 'milan', text: 'fake:milan' }, { faults });
  const security =
    "<launchSecurity type='sev'><cbitpos>51</cbitpos><reducedPhysBits>1</reducedPhysBits><policy>0x0003</policy></launchSecurity>";
  const domain = await host.connection.createDomain(
    `<domain type='kvm'><name>read-me</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/boot/vmlinuz</kernel><cmdline>sevh.canary=${CANARY.toString('hex')}</cmdline></os>
    ${kind === 'sev' ? security : ''}</domain>`,
  );
  return { host, domain };
}

/** Each way with what it finds: hits in private and in shared places. */
async function hits(kind: 'plain' | 'sev', ...faults: FaultId[]): Promise<Record<string, string>> {
  const target = await guest(kind, ...faults);
  const { reached } = await surveyMemory(target.host, target, PLACES, { token: CANARY });
  return Object.fromEntries(
    reached.map(({ route, privateHits, sharedHits }) => [route.id, `${privateHits} ${sharedHits}`]),
  );
}

const everyWay = (text: string) => Object.fromEntries(routes.map(({ id }) => [id, text]));

describe('on an emulated host', () => {
  test('every way of reading finds the canary in a plain guest', async () => {
    expect(await hits('plain')).toEqual(everyWay('1024 256'));
  });

  test('every way finds it in the shared pages of an SEV guest alone, and all see the same ciphertext', async () => {
    const target = await guest('sev');
    const { reached, privatePages } = await surveyMemory(host, target, PLACES, { token: CANARY });
    expect(reached.map(({ privateHits, sharedHits }) => [privateHits, sharedHits])).toEqual(routes.map(() => [0, 256]));
    expect(new Set(reached.map(({ privateSha256 }) => privateSha256)).size).toBe(1);
    expect(new Set(privatePages).size).toBe(8);
    const scan = await scanGuest(host, target, { token: CANARY });
    expect(scan.route.id).toBe('process-memory');
    expect(scan.token?.hits).toBe(256);
    expect(hitsOutside(scan, PLACES.shared)).toEqual([]);
    expect(hitsOutside(scan, [{ guestAddress: 10 * MiB, bytes: 4096 }])).toEqual(['0xa01000']);
  });

  test.each<[FaultId, RouteId]>([
    ['peek-in-clear', 'memory-peek'],
    ['pmemsave-in-clear', 'pmemsave'],
    ['dump-in-clear', 'core-dump'],
    ['process-memory-in-clear', 'process-memory'],
  ])('%s: %s shows private pages, the other ways do not', async (fault, leaking) => {
    expect(await hits('sev', fault)).toEqual({ ...everyWay('0 256'), [leaking]: '1024 256' });
  });

  test('pmemsave-empty: pmemsave shows nothing of a plain guest, the other ways do', async () => {
    expect(await hits('plain', 'pmemsave-empty')).toEqual({ ...everyWay('1024 256'), pmemsave: '0 0' });
  });

  test('plain-guest-scrambled: no way shows the canary of a plain guest, and SEV guests read as ever', async () => {
    expect(await hits('plain', 'plain-guest-scrambled')).toEqual(everyWay('0 0'));
    await host.close();
    expect(await hits('sev', 'plain-guest-scrambled')).toEqual(everyWay('0 256'));
  });
});

describe('a way that does not lead there says why', () => {
  const because = async (id: RouteId, change: (target: MemoryTarget) => MemoryTarget) => {
    const { host: opened, domain } = await guest('plain');
    const target = await memoryTarget(opened, domain);
    const opening = await routes.find((route) => route.id === id)?.open(change(target));
    return opening !== undefined && 'outOfReach' in opening ? opening.outOfReach : undefined;
  };
  /** The same host, whose shell reads some files otherwise. */
  const reading = (target: MemoryTarget, path: RegExp, instead: FileReading): MemoryTarget => {
    const { shell } = target.host;
    const readFile: typeof shell.readFile = async (file, range) =>
      path.test(file) ? instead : shell.readFile(file, range);
    return { ...target, host: { ...target.host, shell: { ...shell, readFile } } };
  };
  /** Lines of /proc/PID/maps, each with a mapping of the guest's RAM size or another. */
  const maps = (...lines: readonly (readonly [start: number, bytes: number, rest: string])[]): FileReading => {
    const hex = (address: number) => address.toString(16);
    const text = lines.map(([start, bytes, rest]) => `${hex(start)}-${hex(start + bytes)} ${rest}\n`).join('');
    return { outcome: 'read', bytes: Buffer.from(text) };
  };
  const denied = { outcome: 'unreadable', because: 'EACCES: permission denied' } as const;

  test('no pid, no right to the maps, no mapping of that size, no right to the memory', async () => {
    await guest('plain');
    const why = async (change: (target: MemoryTarget) => MemoryTarget) => {
      await host.close();
      return because('process-memory', change);
    };
    expect(await why((target) => ({ ...target, name: 'another' }))).toMatch(
      /another cannot be found: .*another\.pid is absent/,
    );
    expect(await why((target) => reading(target, /maps$/, denied))).toBe('EACCES: permission denied');
    expect(await why((target) => ({ ...target, ram: [{ guestAddress: 0, bytes: 33 * MiB }] }))).toMatch(
      /no mapping of the size/,
    );
    expect(await why((target) => reading(target, /mem$/, denied))).toBe('EACCES: permission denied');
    expect(await why((target) => reading(target, /mem$/, { outcome: 'read', bytes: new Uint8Array() }))).toMatch(
      /gives no memory/,
    );
  });

  test('two mappings of that size: nobody can say which of them is the RAM', async () => {
    const ram = [0x7f0000000000, 32 * MiB, 'rw-p 00000000 00:00 0 '] as const;
    const file = [0x7e0000000000, 32 * MiB, 'rw-s 00000000 00:01 9 /memfd:pc.ram (deleted)'] as const;
    const code = [0x555500000000, 32 * MiB, 'r-xp 00000000 08:01 77 /usr/bin/qemu-system-x86_64'] as const;
    const heap = [0x555560000000, 31 * MiB, 'rw-p 00000000 00:00 0 [heap]'] as const;
    await guest('plain');
    const why = async (read: FileReading) => {
      await host.close();
      return because('process-memory', (target) => reading(target, /maps$/, read));
    };
    for (const order of [maps(ram, file), maps(file, heap, code, ram)])
      expect(await why(order)).toMatch(
        /^\/proc\/\d+\/maps has more than one mapping of the size .*\(33554432 bytes\)$/,
      );
    // One alone is taken for it and read; this emulated guest has nothing at that address.
    expect(await why(maps(code, heap, file))).toBe('errno 5');
  });
});

test('fewer than two ways are an error that names each of them', async () => {
  const { domain } = await guest('plain');
  const noFiles = { outcome: 'unreadable', because: 'no shell' } as const;
  const blind: Host = { ...host, shell: { ...host.shell, where: 'none', readFile: async () => noFiles } };
  await expect(surveyMemory(blind, { domain }, PLACES, { token: CANARY })).rejects.toSatisfy(
    (error) =>
      isSevHarnessError(error, 'MEMORY_OUT_OF_REACH') &&
      /PID\/mem.*no shell.*pmemsave.*cannot be read from here.*dump --memory-only.*cannot be read/.test(error.message),
  );
  expect((await scanGuest(blind, { domain }, { token: CANARY })).route.id).toBe('memory-peek');
});
