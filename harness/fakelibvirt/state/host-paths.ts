/** Directories of the emulated host in which a file can be created. */
const WRITABLE = /^\/(?:tmp|var|root|home|srv|mnt|opt|run|dev\/shm|lab)(?:\/|$)/;

/** Flash images that the domain capabilities list: those of Debian's package ovmf. */
export const OFFERED_LOADERS: readonly string[] = [
  'OVMF_CODE_4M.ms.fd',
  'OVMF_CODE_4M.secboot.fd',
  'OVMF_CODE_4M.fd',
].map((file) => `/usr/share/OVMF/${file}`);

export function canCreateFile(path: string): boolean {
  return WRITABLE.test(path);
}

/** The emulated host has whatever file a guest names, except below /nonexistent and /nonexist. */
export function isOnHost(path: string): boolean {
  return !path.startsWith('/nonexist');
}
