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

const RESET_TIMEOUT_MS = 15_000;

/**
 * Resets a guest and waits for what the host tells of it: true when it booted again, false when it ended or nothing is
 * told. QEMU answers before it does either.
 */
export async function resetAndWait(connection: LibvirtConnection, domain: Domain): Promise<boolean> {
  let told = (_booted: boolean) => {};
  let timer: NodeJS.Timeout | undefined;
  const booted = new Promise<boolean>((resolve) => {
    told = resolve;
    timer = setTimeout(() => resolve(false), RESET_TIMEOUT_MS);
  });
  const forget = [
    await connection.onReboot((uuid) => {
      if (uuid === domain.uuid) told(true);
    }),
    await connection.onLifecycle(({ domain: { uuid }, event }) => {
      if (uuid === domain.uuid && event === 'stopped') told(false);
    }),
  ];
  try {
    await domain.reset();
    return await booted;
  } finally {
    clearTimeout(timer);
    for (const stop of forget) await stop();
  }
}
