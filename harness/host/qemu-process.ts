import type { Host } from './host.ts';
import { sessionFolders } from './session-folders.ts';

/** Where libvirt keeps the pid of a guest's QEMU: the system daemon, and a user's own daemon. */
async function pidFiles(host: Host, guest: string): Promise<string[]> {
  const folders = (await sessionFolders(host))?.map((folder) => `${folder}/qemu/run`) ?? ['/run/libvirt/qemu'];
  return folders.map((folder) => `${folder}/${guest}.pid`);
}

/** The QEMU process of a guest and the file that names it, as the host's shell sees them, or why they cannot be found. */
export async function findQemu(
  host: Host,
  guest: string,
): Promise<{ pid: number; pidFile: string } | { outOfReach: string }> {
  const reasons: string[] = [];
  for (const file of await pidFiles(host, guest)) {
    const reading = await host.shell.readFile(file);
    if (reading.outcome === 'read') {
      const pid = Number(Buffer.from(reading.bytes).toString().trim());
      if (Number.isInteger(pid) && pid > 1) return { pid, pidFile: file };
      reasons.push(`${file} holds no pid`);
    } else reasons.push(reading.outcome === 'absent' ? `${file} is absent` : reading.because);
  }
  return { outOfReach: `the QEMU process of ${guest} cannot be found: ${reasons.join('; ')}` };
}
