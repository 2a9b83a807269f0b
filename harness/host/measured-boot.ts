import type { SevFacts } from './facts.ts';
import { readWholeFile } from './files.ts';
import type { Host } from './host.ts';
import { hasHashesArea } from './loaders.ts';
import { findTooOld } from './preflight/minimums.ts';

/** Where Debian and Ubuntu (package ovmf-amdsev) and Fedora (edk2-ovmf) put the AmdSev build of OVMF. */
const AMD_SEV_IMAGES = ['/usr/share/ovmf/OVMF.amdsev.fd', '/usr/share/edk2/ovmf/OVMF.amdsev.fd'];
/** First versions with `kernel-hashes` and `kernelHashes`. */
const FIRST_VERSIONS = { qemu: '6.2.0', libvirt: '8.0.0' } as const;

export interface GuestFirmwareImage {
  readonly path: string;
  readonly image: Uint8Array;
}

/** A guest firmware of the host that starts only a kernel whose hash was measured, or why there is none. */
export async function findMeasuredBootImage(
  host: Host,
  facts: SevFacts,
): Promise<GuestFirmwareImage | { readonly because: string }> {
  const old = findTooOld(facts.versions, FIRST_VERSIONS);
  if (old !== undefined)
    return { because: `${old.name} ${old.found} knows no kernel hashes, which came with ${old.first}` };
  for (const path of [...AMD_SEV_IMAGES, ...facts.loaders]) {
    const reading = await readWholeFile(host.shell, path);
    if (reading.outcome === 'read' && hasHashesArea(reading.bytes)) return { path, image: reading.bytes };
  }
  return {
    because: `no guest firmware of this host has a place for kernel hashes, as AmdSev builds of OVMF have (looked at ${[...AMD_SEV_IMAGES, ...facts.loaders].join(', ')})`,
  };
}
