import type { VerifierFaults } from '../qemu/guest-firmware.ts';
import type { BlobName } from '../qemu/kernel-hashes.ts';
import type { FaultId } from './catalogue.ts';

const UNCHECKED: readonly (readonly [FaultId, BlobName])[] = [
  ['kernel-hash-unchecked', 'kernel'],
  ['initrd-hash-unchecked', 'initrd'],
  ['cmdline-hash-unchecked', 'cmdline'],
];

/** What the chosen faults change in the guest firmware. */
export function verifierFaults(faults: ReadonlySet<FaultId>): VerifierFaults {
  return {
    unchecked: new Set(UNCHECKED.filter(([fault]) => faults.has(fault)).map(([, blob]) => blob)),
    bootsWithoutTable: faults.has('boots-without-hashes'),
  };
}
