import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CleanupStack } from '../../core/cleanup.ts';
import { readSevFacts } from '../host/facts.ts';
import { type Host, openHost } from '../host/host.ts';
import { parseHostName } from '../host/name.ts';
import type { FileReading } from '../host/shell.ts';
import { currentOwner } from './ownership.ts';
import { GuestLauncher } from './running.ts';

let host: Host;
let launcher: GuestLauncher;
beforeEach(async () => {
  host = await openHost(parseHostName('fake:naples'));
  const facts = await readSevFacts(host);
  const { signal } = new AbortController();
  const settings = { owner: currentOwner('r') };
  launcher = new GuestLauncher({ host, facts, settings, signal, cleanup: new CleanupStack(), nowMs: () => 0 });
});
afterEach(() => host.close());

describe('memory for guests', () => {
  const GUEST_MIB = 320;
  const FREE_MIB = 3 * GUEST_MIB;

  /** Whether a number of guests may begin, where libvirt counts memory for three free. */
  function begin(guests: number, meminfo: FileReading, guestMiB?: number): Promise<void> {
    vi.spyOn(host.shell, 'readFile').mockResolvedValue(meminfo);
    vi.spyOn(host.connection, 'call').mockResolvedValue({ freeMem: BigInt(FREE_MIB) << 20n });
    return launcher.assertMemoryFor(guests, guestMiB);
  }
  const meminfo = (availableMiB: number): FileReading => ({
    outcome: 'read',
    bytes: Buffer.from(`MemTotal:  16000000 kB\nMemAvailable:  ${availableMiB * 1024} kB\nHugePages_Total:  0\n`),
  });

  it('is what the kernel has available, with the page cache, not what libvirt calls free', async () => {
    await begin(5, meminfo(5 * GUEST_MIB));
    await expect(begin(2, meminfo(GUEST_MIB))).rejects.toMatchObject({
      code: 'HOST_MEMORY',
      message: '2 guests need 640 MiB of memory, and the host has 320 MiB (MemAvailable of its /proc/meminfo)',
    });
  });

  it('is counted by the size of the guests, with what QEMU needs for itself', async () => {
    await begin(2, meminfo(2 * (512 + 64)), 512);
    await expect(begin(2, meminfo(2 * 512), 512)).rejects.toMatchObject({
      message: expect.stringMatching(/^2 guests need 1152 MiB of memory, /),
    });
  });

  it("is libvirt's count where the host's files are out of sight, which the error says", async () => {
    await begin(3, { outcome: 'unreadable', because: 'TCP' });
    await expect(begin(4, { outcome: 'unreadable', because: 'TCP' })).rejects.toMatchObject({
      message: expect.stringContaining(
        "the host has 960 MiB (free by libvirt's count, which leaves out the page cache",
      ),
    });
  });
});
