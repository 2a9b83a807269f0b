import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Host, openHost } from '../../host/host.ts';
import { parseHostName } from '../../host/name.ts';
import { findQemu } from '../../host/qemu-process.ts';
import { type Domain, isNoDomain } from '../../libvirt/index.ts';
import { fileOffsetOf } from './extents.ts';
import { type RouteId, routes } from './routes.ts';
import { scanMemory } from './scan.ts';
import { type MemoryTarget, memoryTarget, type OpenMemory } from './target.ts';

const PAGE_BYTES = 4096;
const token = randomBytes(32);
let host: Host;
let folder: string;

beforeAll(async () => {
  host = await openHost(parseHostName(process.env.SEV_HARNESS_REAL_URI ?? ''));
  folder = mkdtempSync(path.join(tmpdir(), 'sevh-memory-'));
  chmodSync(folder, 0o755);
});
afterAll(async () => {
  await host?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A guest that never ran, with `content` at an address of its RAM: QEMU's generic loader puts it there. */
async function pausedGuest(memoryMiB: number, content: Uint8Array, address: number): Promise<Domain> {
  const name = `sevh-memory-${process.pid}-${memoryMiB}`;
  const file = path.join(folder, `${name}.bin`);
  writeFileSync(file, content, { mode: 0o644 });
  const loader = `loader,file=${file},addr=0x${address.toString(16)},force-raw=on`;
  const domain = await host.connection.createDomain(
    `<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>${name}</name>
    <memory unit='MiB'>${memoryMiB}</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os>
    <devices><memballoon model='none'/></devices>
    <qemu:commandline><qemu:arg value='-device'/><qemu:arg value='${loader}'/></qemu:commandline></domain>`,
    { paused: true },
  );
  onTestFinished(async () => {
    try {
      await domain.destroy();
    } catch (error) {
      if (!isNoDomain(error)) throw error;
    }
  });
  return domain;
}

async function open(target: MemoryTarget, id: RouteId): Promise<OpenMemory> {
  const opening = await routes.find((route) => route.id === id)?.open(target);
  if (opening === undefined || 'outOfReach' in opening) throw new Error(`${id}: ${opening?.outOfReach}`);
  return opening;
}

describe('a guest of a real QEMU', () => {
  const AT = 0x0100_0000;
  // A page full of the token, a page of noise with one at an odd place and half of one at its end.
  const content = Buffer.concat([Buffer.alloc(PAGE_BYTES, token), randomBytes(PAGE_BYTES)]);
  token.copy(content, PAGE_BYTES + 1001);
  token.copy(content, 2 * PAGE_BYTES - 16);

  test('shows the token by every way of reading, in the same pages and with the same bytes, and nothing is left on the host', async () => {
    const domain = await pausedGuest(64, content, AT);
    const target = await memoryTarget(host, domain);
    const found = await findQemu(host, domain.name);
    if ('outOfReach' in found) throw new Error(found.outOfReach);
    const filesBefore = readdirSync(path.dirname(found.pidFile)).sort();
    const seen: Record<string, unknown> = {};
    for (const { id } of routes) {
      await using memory = await open(target, id);
      const { token: hits } = await scanMemory(memory, { token });
      const bytes = Buffer.from(await memory.read(AT, 2 * PAGE_BYTES));
      seen[id] = { hits: hits?.hits, runs: hits?.runs, isSame: bytes.equals(content) };
    }
    const expected = { hits: 129, runs: [{ guestAddress: AT, bytes: 2 * PAGE_BYTES, hits: 129 }], isSame: true };
    expect(seen).toEqual(Object.fromEntries(routes.map(({ id }) => [id, expected])));
    expect(readdirSync(path.dirname(found.pidFile)).sort()).toEqual(filesBefore);
  });

  test('of 3 GiB has its RAM in two parts, and both ways of addressing find the same bytes in the upper one', async () => {
    const at = 0x1_0000_0000 + 0x0200_0000;
    const domain = await pausedGuest(3072, content, at);
    const target = await memoryTarget(host, domain);
    const tree = String(await domain.monitorCommand('info mtree -f', { hmp: true }));
    const end = (0x1_0000_0000 + 3072 * 2 ** 20 - 2048 * 2 ** 20 - 1).toString(16).padStart(16, '0');
    expect(tree).toContain(`0000000100000000-${end}`);
    for (const id of ['process-memory', 'pmemsave', 'memory-peek'] as const) {
      await using memory = await open(target, id);
      expect(Buffer.from(await memory.read(at, content.length)).equals(content)).toBe(true);
      expect(fileOffsetOf(memory.file?.extents ?? [], 0x8000_0000, PAGE_BYTES)).toBeUndefined();
    }
  });

  test('that ends in the middle of a scan ends it with an error', async () => {
    const domain = await pausedGuest(65, content, AT);
    await using memory = await open(await memoryTarget(host, domain), 'memory-peek');
    const scan = scanMemory(memory, {
      token,
      onProgress: ({ scannedBytes }) => {
        if (scannedBytes === memory.windowBytes) void domain.destroy();
      },
    });
    await expect(scan).rejects.toThrow();
  });
});
