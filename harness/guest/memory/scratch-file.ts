import path from 'node:path';
import { harnessError } from '../../errors.ts';
import { findQemu } from '../../host/qemu-process.ts';
import type { HostShell } from '../../host/shell.ts';
import { parseLibvirtUri } from '../../libvirt/index.ts';
import type { MemoryTarget } from './target.ts';

/** What the system daemon gives its QEMUs to write in. */
const SYSTEM_FOLDER = '/var/lib/libvirt/qemu';

/**
 * A file that QEMU or libvirtd can write and the host's shell can read, named after the guest; or why there is none.
 *
 * Under AppArmor a QEMU of the system daemon may write `<guest>.monitor` below /var/lib/libvirt and little else
 * (libvirt, src/security/virt-aa-helper.c). A user's own daemon keeps its guests' pid files where QEMU can write too.
 */
export async function scratchFile(
  { host, name }: MemoryTarget,
  extension: 'monitor' | 'core',
): Promise<{ readonly path: string } | { readonly outOfReach: string }> {
  if (host.shell.where === 'none') return { outOfReach: 'a file that the host writes cannot be read from here' };
  if (!parseLibvirtUri(host.connection.uri).session) return { path: path.join(SYSTEM_FOLDER, `${name}.${extension}`) };
  const found = await findQemu(host, name);
  return 'outOfReach' in found ? found : { path: path.join(path.dirname(found.pidFile), `${name}.${extension}`) };
}

/** Removes what was written there. The emulated host's files go with it. Throws `HOST_SHELL`. */
export async function removeFile(shell: HostShell, file: string): Promise<void> {
  if (shell.where === 'emulated') return;
  const removed = await shell.run(['rm', '-f', '--', file]);
  if (removed.outcome === 'read') return;
  const why = removed.outcome === 'absent' ? 'the host has no rm' : removed.because;
  throw harnessError('HOST_SHELL', `cannot remove ${file} from the host: ${why}`);
}
