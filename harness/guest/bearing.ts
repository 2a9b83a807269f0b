import type { Domain, LibvirtConnection } from '../libvirt/index.ts';
import { isRemoteError } from '../libvirt/index.ts';

/** How a guest is, from both that know: libvirt's state, and QEMU's own. */
export interface Bearing {
  readonly libvirt: string;
  readonly qemu: string;
}

export const RUNNING: Bearing = { libvirt: 'running', qemu: 'running' };
export const PAUSED: Bearing = { libvirt: 'paused', qemu: 'paused' };

/** Asks libvirt and QEMU's monitor; a guest without a QEMU has none. */
export async function bearingOf(domain: Domain): Promise<Bearing> {
  const { state } = await domain.state();
  try {
    const answer = (await domain.monitorCommand({ execute: 'query-status' })) as { status?: unknown };
    return { libvirt: state, qemu: String(answer.status) };
  } catch (error) {
    if (!isRemoteError(error)) throw error;
    return { libvirt: state, qemu: 'none' };
  }
}

const REBOOT_TIMEOUT_MS = 5000;

/** Resets a guest; false when the host never tells that it booted again. */
export async function resetAndWait(connection: LibvirtConnection, domain: Domain): Promise<boolean> {
  let heard = () => {};
  let timer: NodeJS.Timeout | undefined;
  const rebooted = new Promise<boolean>((resolve) => {
    heard = () => resolve(true);
    timer = setTimeout(() => resolve(false), REBOOT_TIMEOUT_MS);
  });
  const forget = await connection.onReboot((uuid) => {
    if (uuid === domain.uuid) heard();
  });
  try {
    await domain.reset();
    // A guest that the reset ended never tells.
    if (!(await domain.isActive())) return false;
    return await rebooted;
  } finally {
    clearTimeout(timer);
    await forget();
  }
}
