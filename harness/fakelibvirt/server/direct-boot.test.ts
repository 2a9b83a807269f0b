import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { emulatorProcedures, remoteProcedures as remote } from '../../libvirt/protocol/libvirt.gen.ts';
import type { FaultId } from '../faults/catalogue.ts';
import { type EmulatedHost, startEmulatedHost } from '../index.ts';
import { TestClient } from './test-client.ts';
import { guestXml, SEV_POLICY } from './test-guests.ts';

const AMD_SEV = '/var/lib/emulated/OVMF.amdsev.fd';
const USUAL = '/var/lib/emulated/OVMF.fd';
const CMDLINE = `console=ttyS0 sevh.canary=${'c0'.repeat(8)}`;
const FAILED = (blob: string) => `VerifyBlob: Hash comparison failed for "${blob}"`;

let host: EmulatedHost;
let client: TestClient;
let count = 0;

beforeAll(async () => {
  host = await startEmulatedHost({ profile: 'milan' });
  client = await TestClient.open(host.socketPath);
});
afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await host?.close();
});

interface Shape {
  readonly loader?: string;
  readonly hashes?: boolean;
  readonly isPlain?: boolean;
  readonly swap?: Readonly<Record<string, string>>;
}

/** What the guest prints when it has been started paused, its blobs were swapped, and it was resumed. */
async function consoleOf(at: TestClient, { loader = AMD_SEV, hashes = true, isPlain, swap = {} }: Shape) {
  const name = `boot-${++count}`;
  const boot = `<kernel>/boot/vmlinuz</kernel><initrd>/boot/initrd</initrd><cmdline>${CMDLINE}</cmdline>`;
  const xmlDesc = guestXml(name, {
    devices: "<serial type='pty'/>",
    ...(isPlain ? {} : { policy: SEV_POLICY }),
  })
    .replace('</os>', `<loader readonly='yes' type='pflash' stateless='yes'>${loader}</loader>${boot}</os>`)
    .replace("<launchSecurity type='sev'>", `<launchSecurity type='sev' kernelHashes='${hashes ? 'yes' : 'no'}'>`);
  const { dom } = await at.call(remote.domainCreateXml, { xmlDesc, flags: 1 });
  const pidFile = { path: `/run/libvirt/qemu/${name}.pid`, offset: 0n, length: 99 };
  const pid = Number(Buffer.from((await at.call(emulatorProcedures.readFile, pidFile)).content).toString());
  for (const [blob, text] of Object.entries(swap)) {
    const content = new Uint8Array(Buffer.from(text));
    expect(await at.call(emulatorProcedures.swapBlob, { pid, blob, content })).toEqual({ errno: 0 });
  }
  await at.call(remote.domainResume, { dom });
  const refused = await Promise.all(
    // Fetched already; and no blob of that name.
    ['kernel', 'dtb'].map((blob) => at.call(emulatorProcedures.swapBlob, { pid, blob, content: new Uint8Array(1) })),
  );
  expect(refused).toEqual([{ errno: 22 }, { errno: 22 }]);
  const seen = at.pushed.length;
  await at.call(remote.domainOpenConsole, { dom, devName: null, flags: 1 });
  await at.call(remote.connectGetHostname, {});
  const printed = at.pushed.slice(seen).map(({ payload }) => Buffer.from(payload).toString());
  await at.call(remote.domainDestroyFlags, { dom, flags: 0 });
  return printed.join('').split('\r\n');
}

const hasBooted = (lines: readonly string[]) => lines.some((line) => line.startsWith('SEVH'));

describe('a guest whose kernel, initrd and command line are measured', () => {
  test('boots them after the guest firmware has compared all three', async () => {
    const lines = await consoleOf(client, {});
    expect(lines).toEqual(
      expect.arrayContaining(
        ['kernel', 'initrd', 'cmdline'].map((blob) => `VerifyBlob: Hash comparison succeeded for "${blob}"`),
      ),
    );
    expect(hasBooted(lines)).toBe(true);
  });

  test.each(['kernel', 'initrd', 'cmdline'])('stops at another %s, and says so', async (blob) => {
    const lines = await consoleOf(client, { swap: { [blob]: 'sevh.canary=00\0' } });
    expect(lines).toContain(FAILED(blob));
    expect(hasBooted(lines)).toBe(false);
  });
});

describe('a kernel that nobody gave hashes for', () => {
  test.each<[string, Shape]>([
    ['an SEV guest', { hashes: false }],
    ['a plain guest', { isPlain: true }],
  ])('is not started by a firmware that knows them, in %s', async (_, shape) => {
    const lines = await consoleOf(client, shape);
    expect(lines).toContain('VerifyBlob: Verifier called but no hashes table discoverd in MEMFD');
    expect(hasBooted(lines)).toBe(false);
  });

  test('is started by any other, whatever it is', async () => {
    const shape = { loader: USUAL, hashes: false, swap: { kernel: 'another', initrd: 'another' } };
    expect(hasBooted(await consoleOf(client, shape))).toBe(true);
  });
});

test('there is nothing to swap in a process that does not run', async () => {
  const content = new Uint8Array(1);
  expect(await client.call(emulatorProcedures.swapBlob, { pid: 1, blob: 'kernel', content })).toEqual({ errno: 3 });
});

test.each<[FaultId, Shape]>([
  ['kernel-hash-unchecked', { swap: { kernel: 'another' } }],
  ['initrd-hash-unchecked', { swap: { initrd: 'another' } }],
  ['cmdline-hash-unchecked', { swap: { cmdline: `${CMDLINE} another\0` } }],
  ['boots-without-hashes', { hashes: false }],
])('with fault %s it boots all the same', async (fault, shape) => {
  await using broken = await startEmulatedHost({ profile: 'milan', faults: [fault] });
  await using at = await TestClient.open(broken.socketPath);
  expect(hasBooted(await consoleOf(at, shape))).toBe(true);
});
