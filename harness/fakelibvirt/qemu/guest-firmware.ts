import type { GuestRam } from '../memory/guest-ram.ts';
import { BLOB_GUIDS, type BlobName, type BootBlobs, readHashTable, sha256 } from './kernel-hashes.ts';
import { type FirmwareArea, guid } from './ovmf-table.ts';

/** In the order in which the guest firmware fetches them (QemuKernelLoaderFsDxe). */
const FETCH_ORDER: readonly BlobName[] = ['kernel', 'initrd', 'cmdline'];

/** What can be wrong with the guest firmware. */
export interface VerifierFaults {
  /** Blobs that it starts without comparing their hashes. */
  readonly unchecked: Pick<ReadonlySet<BlobName>, 'has'>;
  /** It starts a kernel that nobody gave it hashes for. */
  readonly bootsWithoutTable: boolean;
}

export interface BlobVerdict {
  /** What it prints on the serial port. */
  readonly lines: readonly string[];
  readonly boots: boolean;
}

/**
 * OVMF's look at a kernel, initrd and command line that QEMU hands over (OvmfPkg/AmdSev/BlobVerifierLibSevHashes).
 *
 * An AmdSev build, one that names an area for the hashes, starts only what is in a table in encrypted memory; any other
 * build starts what it gets. The words are those of a DEBUG build with DEBUG_ON_SERIAL_PORT; a RELEASE build stops in
 * silence.
 */
export function verifyBlobs(
  ram: GuestRam,
  area: FirmwareArea | undefined,
  blobs: BootBlobs,
  faults: VerifierFaults,
): BlobVerdict {
  if (area === undefined || area.base === 0) return { lines: [], boots: true };
  const hashes = readHashTable(ram.read(area.base, area.size));
  if (hashes === undefined) {
    const lines = ['VerifyBlob: Verifier called but no hashes table discoverd in MEMFD'];
    return { lines, boots: faults.bootsWithoutTable };
  }
  const lines = ['BlobVerifierLibSevHashesConstructor: Found injected hashes table in secure location'];
  for (const name of FETCH_ORDER) {
    const blob = blobs[name];
    if (blob.length > 0) lines.push(`FetchBlob: loading ${blob.length} bytes for "${name}"`);
    const expected = hashes.get(guid(BLOB_GUIDS[name]).toString('hex'));
    // The file system that it makes of them has no place for a blob that nobody vouches for.
    if (expected === undefined) return { lines, boots: false };
    lines.push(`VerifyBlob: Found GUID ${BLOB_GUIDS[name].toUpperCase()} in table`);
    const isSame = sha256(blob).equals(expected) || faults.unchecked.has(name);
    lines.push(`VerifyBlob: Hash comparison ${isSame ? 'succeeded' : 'failed'} for "${name}"`);
    // CpuDeadLoop; in older versions of OVMF the next boot option instead, which is not this kernel either.
    if (!isSame) return { lines, boots: false };
  }
  return { lines, boots: true };
}
