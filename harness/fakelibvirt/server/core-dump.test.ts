import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  emulatorProcedures,
  type NonnullDomain,
  remoteProcedures as remote,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { MEMORY_READING_FAULTS } from '../faults/memory-faults.ts';
import { type EmulatedHost, startEmulatedHost } from '../index.ts';
import { TestClient } from './test-client.ts';
import { guestXml, SEV_POLICY } from './test-guests.ts';

const MEMORY_ONLY = 16;
const DUMP = '/var/lib/libvirt/qemu/one.core';
let host: EmulatedHost;
let client: TestClient;
let plain: NonnullDomain;
let sev: NonnullDomain;

beforeAll(async () => {
  host = await startEmulatedHost({ profile: 'milan' });
  client = await TestClient.open(host.socketPath);
  const start = async (xmlDesc: string) => (await client.call(remote.domainCreateXml, { xmlDesc, flags: 0 })).dom;
  plain = await start(guestXml('plain'));
  sev = await start(guestXml('sev', { policy: SEV_POLICY }));
});
afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await host?.close();
});

const read = (path: string, offset = 0n, length = 4096) =>
  client.call(emulatorProcedures.readFile, { path, offset, length });

test('a dump of memory alone is an ELF core with all of RAM, of an SEV guest too', async () => {
  for (const dom of [plain, sev]) {
    await client.call(remote.domainCoreDump, { dom, to: DUMP, flags: MEMORY_ONLY });
    const header = Buffer.from((await read(DUMP)).content);
    expect(header.toString('latin1', 0, 4)).toBe('\x7fELF');
    const ramBytes = 64n * 1024n * 1024n;
    // Offset in the file, bytes there, bytes in memory.
    expect([0x08, 0x20, 0x28].map((at) => header.readBigUInt64LE(0x40 + at))).toEqual([4096n, ramBytes, ramBytes]);
    expect((await read(DUMP, 64n * 1024n * 1024n, 8192)).content.length).toBe(4096);
  }
});

test('a dump that is a migration into a file is refused for an SEV guest as a migration is', async () => {
  const refusal = await client.refusal(remote.domainCoreDump, { dom: sev, to: DUMP, flags: 0 });
  expect(refusal).toEqual({
    code: 55,
    domain: 10,
    message: 'Requested operation is not valid: cannot migrate domain: SEV: Migration is not implemented',
  });
});

test('a dump goes only where a file can be, in the formats and with the flags that are known', async () => {
  const dump = { dom: plain, to: DUMP, dumpformat: 0, flags: MEMORY_ONLY };
  const refused = async (change: Partial<typeof dump>) =>
    (await client.refusal(remote.domainCoreDumpWithFormat, { ...dump, ...change })).message;
  expect(await refused({ to: '/nonexistent/x' })).toBe(
    "Failed to create file '/nonexistent/x': No such file or directory",
  );
  expect(await refused({ dumpformat: 1 })).toMatch(/unsupported dumpformat/);
  expect(await refused({ dumpformat: 1, flags: 0 })).toMatch(/only supported with memory-only dump/);
  expect(await refused({ flags: MEMORY_ONLY | 64 })).toMatch(/unsupported flags \(0x40\)/);
});

test('the memory of a QEMU process is where its maps say, and nowhere else', async () => {
  const pid = Buffer.from((await read('/run/libvirt/qemu/plain.pid')).content)
    .toString()
    .trim();
  const maps = Buffer.from((await read(`/proc/${pid}/maps`)).content).toString();
  const [, start = '', end = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw-p 00000000 00:00 0 $/m.exec(maps) ?? [];
  const [from, to] = [BigInt(`0x${start}`), BigInt(`0x${end}`)];
  expect(to - from).toBe(64n * 1024n * 1024n);
  expect((await read(`/proc/${pid}/mem`, from, 4096)).content.length).toBe(4096);
  expect((await read(`/proc/${pid}/mem`, to - 100n, 4096)).content.length).toBe(100);
  expect((await read(`/proc/${pid}/mem`, to, 1)).errno).toBe(5);
  expect((await read(`/proc/${pid}/mem`, 0n, 1)).errno).toBe(5);
  expect((await read('/proc/1/mem', from, 1)).errno).toBe(2);
});

test('every fault of memory has a test, in its own room or where memory is read', () => {
  const sources = [
    '../memory/controller.test.ts',
    '../memory/guest-ram.test.ts',
    '../faults/launch-faults.test.ts',
    '../../guest/memory/routes.test.ts',
  ].map((file) => readFileSync(new URL(file, import.meta.url), 'utf8'));
  const isTested = (id: string) =>
    sources.some((source) => new RegExp(`['"\`]${id}['":\`]`).test(source) || source.includes(`'${id} `));
  expect(Object.keys(MEMORY_READING_FAULTS).filter((id) => !isTested(id))).toEqual([]);
});
