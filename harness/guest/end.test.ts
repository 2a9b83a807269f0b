import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { findQemu } from '../host/qemu-process.ts';
import { currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';

let host: Host;
let notes: string[];
let cleanup: CleanupStack;
let launcher: GuestLauncher;

beforeEach(async () => {
  host = await openHost(parseHostName('fake:naples'));
  notes = [];
  cleanup = new CleanupStack();
  launcher = new GuestLauncher({
    host,
    facts: await readSevFacts(host),
    settings: { owner: currentOwner('r') },
    signal: new AbortController().signal,
    cleanup,
    nowMs: () => 0,
    note: (text) => notes.push(text),
  });
});
afterEach(() => host.close());

async function killFromOutside(name: string): Promise<void> {
  const found = await findQemu(host, name);
  if ('pid' in found) await host.shell.kill(found.pid);
}

describe('cleaning up', () => {
  it('says of a guest whose QEMU was killed that it was, with the log’s words and where to look', async () => {
    const guest = await launcher.launchOrFail('sev', 'one');
    await killFromOutside(guest.name);
    expect(await cleanup.run()).toEqual([]);
    expect(notes).toEqual([
      expect.stringMatching(
        new RegExp(
          `^guest ${guest.name} ended, and nobody asked it to\\. /var/log/libvirt/qemu/${guest.name}\\.log says '.* reason=crashed': QEMU ended .* dmesg`,
        ),
      ),
    ]);
  });

  it('says that it cannot tell how a guest ended whose log nobody may read, and goes on', async () => {
    const guest = await launcher.launchOrFail('sev', 'one');
    await killFromOutside(guest.name);
    const denied = { outcome: 'unreadable', because: 'EACCES: permission denied' } as const;
    vi.spyOn(host.shell, 'readFile').mockResolvedValue(denied);
    expect(await cleanup.run()).toEqual([]);
    expect(notes).toEqual([
      expect.stringMatching(/ was gone before it was stopped\. .*one-1\.log: EACCES: permission denied\. .*OOM killer/),
    ]);
  });

  it('finds a guest gone that goes while it is looked for, and has nothing left behind', async () => {
    const guest = await launcher.launchOrFail('sev', 'one');
    const lookup = host.connection.lookupByName.bind(host.connection);
    vi.spyOn(host.connection, 'lookupByName').mockImplementation(async (name) => {
      const domain = await lookup(name);
      await killFromOutside(name);
      return domain;
    });
    expect(await cleanup.run()).toEqual([]);
    expect(notes).toEqual([expect.stringContaining(`guest ${guest.name} ended, and nobody asked it to`)]);
  });

  it('says nothing of guests that were stopped, destroyed, killed by the scenario, or still ran', async () => {
    const start = (role: string) => launcher.launchOrFail('sev', role);
    const [stopped, destroyed, killed] = [await start('stopped'), await start('destroyed'), await start('killed')];
    await start('running');
    await stopped.stop();
    await destroyed.domain.destroy();
    expect(await killed.kill()).toBeUndefined();
    expect(await cleanup.run()).toEqual([]);
    expect(notes).toEqual([]);
  });
});
