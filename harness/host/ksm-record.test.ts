import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { currentOwner } from '../guest/ownership.ts';
import { LibvirtConnection } from '../libvirt/index.ts';
import type { Host } from './host.ts';
import { type KsmSettings, waitForScans } from './ksm.ts';
import { borrowKsm } from './ksm-record.ts';
import { type HostShell, localShell } from './shell.ts';

const OFF: KsmSettings = { run: 0, pages_to_scan: 100, sleep_millisecs: 20 };
let leases: string;

beforeEach(async () => {
  leases = await mkdtemp(path.join(tmpdir(), 'sevh-ksm-'));
  vi.stubEnv('SEV_HARNESS_LEASES', leases);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(leases, { recursive: true, force: true });
});

/** This machine, but for the settings of merging, of which it lets nobody write those that are named. */
function hostThatRefuses(refused: readonly string[], now: Record<string, number>): Host {
  const shell: HostShell = {
    ...localShell,
    readFile: async (file, range) => {
      const [, name] = /^\/sys\/kernel\/mm\/ksm\/(\w+)$/.exec(file) ?? [];
      if (name === undefined) return localShell.readFile(file, range);
      return { outcome: 'read', bytes: new TextEncoder().encode(`${now[name]}\n`) };
    },
    run: async (words) => {
      if (words[0] !== 'python3') return localShell.run(words);
      const wanted: [string, number][] = Object.entries(JSON.parse(words.at(-1) ?? ''));
      const first = wanted.findIndex(([name]) => refused.includes(name));
      const taken = first < 0 ? wanted : wanted.slice(0, first);
      Object.assign(now, Object.fromEntries(taken));
      const answer = { refused: wanted.slice(taken.length, taken.length + 1).map(([name]) => `${name}: denied`) };
      return { outcome: 'read', bytes: new TextEncoder().encode(JSON.stringify(answer)) };
    },
  };
  const connection: LibvirtConnection = Object.create(LibvirtConnection.prototype);
  const close = async () => {};
  const rest = { profile: undefined, reconnect: async () => connection, close, [Symbol.asyncDispose]: close };
  return { name: 'lab7', kind: 'real', connection, shell, ...rest };
}

async function borrow(refused: readonly string[]) {
  const now = { ...OFF };
  const cleanup = new CleanupStack();
  const settings = { owner: currentOwner('run1'), allowDestructive: true } as Parameters<
    typeof borrowKsm
  >[0]['settings'];
  const ksm = await borrowKsm({ host: hostThatRefuses(refused, now), settings, cleanup });
  const during = await readdir(leases);
  return { ksm, now, during, failures: await cleanup.run(), left: await readdir(leases) };
}

it('is written down while it is borrowed, and forgotten when it is back', async () => {
  const { ksm, now, during, failures, left } = await borrow([]);
  expect(ksm).toEqual({ found: OFF, isRunning: false });
  expect(during).toEqual(['sevh-run1-ksm']);
  expect({ now, failures, left }).toEqual({ now: OFF, failures: [], left: [] });
});

it.each([
  ['all of it', ['run']],
  ['the second setting', ['pages_to_scan']],
])('that a host refuses, %s, is out of reach and leaves nothing to be put back', async (_, refused) => {
  const { ksm, now, during, failures, left } = await borrow(refused);
  expect(ksm).toEqual({ outOfReach: expect.stringContaining(`${refused}: denied`) });
  expect({ now, during, failures, left }).toEqual({ now: OFF, during: [], failures: [], left: [] });
});

it('that scans too slowly is out of reach, with how far it came', async () => {
  const host = hostThatRefuses([], { ...OFF, full_scans: 3 });
  const options = { timeoutMs: 50, signal: new AbortController().signal };
  expect(await waitForScans(host, 4, options)).toEqual({
    outOfReach: expect.stringMatching(/^KSM did 0 of 4 full scans in 0\.05 s; /),
  });
  expect(await waitForScans(host, 0, options)).toBeUndefined();
});
