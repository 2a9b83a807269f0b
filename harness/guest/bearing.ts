import type { Domain } from '../libvirt/index.ts';
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
