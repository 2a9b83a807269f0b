import path from 'node:path';
import { parseLibvirtUri } from '../libvirt/index.ts';
import type { Host } from './host.ts';

/** Where libvirt keeps the pid of a guest's QEMU: the system daemon, and a user's own daemon beside its socket. */
async function pidFiles(host: Host, guest: string): Promise<string[]> {
  const target = parseLibvirtUri(host.connection.uri);
  if (!target.session) return [`/run/libvirt/qemu/${guest}.pid`];
  const socket = target.transport === 'unix' || target.transport === 'ssh' ? target.socket : undefined;
  // The host's own environment, which behind ssh is not ours.
  const environment = await host.shell.run(['printenv', 'XDG_RUNTIME_DIR']);
  const runtime = environment.outcome === 'read' ? Buffer.from(environment.bytes).toString().trim() : '';
  const folders = [
    ...(socket === undefined ? [] : [path.dirname(socket)]),
    ...(runtime === '' ? [] : [path.join(runtime, 'libvirt')]),
  ];
  return folders.map((folder) => path.join(folder, 'qemu/run', `${guest}.pid`));
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
