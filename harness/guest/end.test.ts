import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import { findQemu } from '../host/qemu-process.ts';
import { explainEnd } from './end.ts';
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

describe('a QEMU that the kernel killed', () => {
  const CRASHED = '2026-11-23 05:00:44.513+0000: shutting down, reason=crashed\n';
  const killed = (pid: number) =>
    `[25392.401212] oom-kill:constraint=CONSTRAINT_MEMCG,oom_memcg=/a,task_memcg=/a,task=qemu-system-x86,pid=${pid},uid=999
[25392.401265] Memory cgroup out of memory: Killed process ${pid} (qemu-system-x86) total-vm:1495072kB\n`;

  /** A machine with this log of the guest and this kernel log. */
  function hostWith(log: string, dmesg: string): Host {
    const bytes = (text: string) => ({ outcome: 'read', bytes: new TextEncoder().encode(text) }) as const;
    const shell = { ...host.shell, readFile: async () => bytes(log), run: async () => bytes(dmesg) };
    return { ...host, shell };
  }

  it('is told by the kernel’s words about it, and not by those about another', async () => {
    const dmesg = killed(4711) + killed(471);
    const words = await explainEnd(hostWith(CRASHED, dmesg), 'g', 471);
    expect(words).toMatch(/dmesg says '.*pid=471,uid=999': The kernel killed QEMU for lack of memory/);
    expect(words).not.toContain('4711');
    for (const pid of [47, 711, undefined]) {
      const unknown = await explainEnd(hostWith(CRASHED, dmesg), 'g', pid);
      expect(unknown).toMatch(/^guest g ended, and nobody asked it to\. /);
      expect(unknown).not.toContain('dmesg says');
    }
  });
});
