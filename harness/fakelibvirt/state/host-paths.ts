/** Directories of the emulated host in which a file can be created. */
const WRITABLE = /^\/(?:tmp|var|root|home|srv|mnt|opt|run|dev\/shm|lab)(?:\/|$)/;

export function canCreateFile(path: string): boolean {
  return WRITABLE.test(path);
}

/** The emulated host has whatever file a guest names, except below /nonexistent and /nonexist. */
export function isOnHost(path: string): boolean {
  return !path.startsWith('/nonexist');
}
