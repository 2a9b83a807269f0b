/** Directories of the emulated host in which a file can be created. */
const WRITABLE = /^\/(?:tmp|var|root|home|srv|mnt|opt|run|dev\/shm|lab)(?:\/|$)/;

/** Flash images that the domain capabilities list: those of Debian's package ovmf. */
export const OFFERED_LOADERS: readonly string[] = [
  'OVMF_CODE_4M.ms.fd',
  'OVMF_CODE_4M.secboot.fd',
  'OVMF_CODE_4M.fd',
].map((file) => `/usr/share/OVMF/${file}`);

/** The image of Debian's package ovmf-amdsev, which libvirt 9.0 does not list; every emulated host has it. */
export const AMD_SEV_LOADER = '/usr/share/ovmf/OVMF.amdsev.fd';

/** What lies in /boot: the running kernel, and the one before it under the names of Debian's links. */
export function bootFiles(kernel: string): readonly string[] {
  return [`initrd.img-${kernel}`, 'initrd.img.old', `vmlinuz-${kernel}`, 'vmlinuz.old'];
}

export function canCreateFile(path: string): boolean {
  return WRITABLE.test(path);
}

/** The emulated host has whatever file a guest names, except below /nonexistent and /nonexist. */
export function isOnHost(path: string): boolean {
  return !path.startsWith('/nonexist');
}
