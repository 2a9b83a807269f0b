import path from 'node:path';
import { parseLibvirtUri } from '../libvirt/index.ts';
import type { Host } from './host.ts';

/** Where libvirt keeps the pid of a guest's QEMU: the system daemon, and a user's own daemon beside its socket. */
function pidFiles(uri: string, guest: string): string[] {
  const target = parseLibvirtUri(uri);
  if (!target.session) return [`/run/libvirt/qemu/${guest}.pid`];
  const socket = target.transport === 'unix' ? target.socket : undefined;
  const folders = [
    ...(socket === undefined ? [] : [path.dirname(socket)]),
    ...(process.env.XDG_RUNTIME_DIR === undefined ? [] : [path.join(process.env.XDG_RUNTIME_DIR, 'libvirt')]),
  ];
  return folders.map((folder) => path.join(folder, 'qemu/run', `${guest}.pid`));
}

/** The QEMU process of a guest, as the host's shell sees it, or why it cannot be found. */
export async function findQemu(host: Host, guest: string): Promise<{ pid: number } | { outOfReach: string }> {
  const reasons: string[] = [];
  for (const file of pidFiles(host.connection.uri, guest)) {
    const reading = await host.shell.readFile(file);
    if (reading.outcome === 'read') {
      const pid = Number(Buffer.from(reading.bytes).toString().trim());
      if (Number.isInteger(pid) && pid > 1) return { pid };
      reasons.push(`${file} holds no pid`);
    } else reasons.push(reading.outcome === 'absent' ? `${file} is absent` : reading.because);
  }
  return { outOfReach: `the QEMU process of ${guest} cannot be found: ${reasons.join('; ')}` };
}
