import type { Host } from './host.ts';

/** The lines of the host's /proc/meminfo in KiB; undefined where it cannot be read. */
export async function readMeminfo(host: Host): Promise<ReadonlyMap<string, number> | undefined> {
  const reading = await host.shell.readFile('/proc/meminfo');
  if (reading.outcome !== 'read') return undefined;
  const lines = Buffer.from(reading.bytes)
    .toString()
    .matchAll(/^(\S+):\s+(\d+) kB$/gm);
  return new Map([...lines].map(([, name = '', kiB]) => [name, Number(kiB)]));
}

/** Memory that guests can have, and which figure says so. */
export interface AvailableMemory {
  readonly memoryMiB: number;
  readonly figure: string;
}

/** What libvirt calls free is without the page cache, which holds most of the memory of a host that is up for days. */
export async function availableMemory(host: Host): Promise<AvailableMemory> {
  const availableKiB = (await readMeminfo(host))?.get('MemAvailable');
  if (availableKiB !== undefined)
    return { memoryMiB: Math.floor(availableKiB / 1024), figure: 'MemAvailable of its /proc/meminfo' };
  const { freeMem } = await host.connection.call('nodeGetFreeMemory', {});
  return {
    memoryMiB: Number(freeMem / 1048576n),
    figure: "free by libvirt's count, which leaves out the page cache; its /proc/meminfo cannot be read from here",
  };
}
