import type { VerifierFaults } from '../qemu/guest-firmware.ts';
import type { BlobName } from '../qemu/kernel-hashes.ts';
import type { FaultId } from './catalogue.ts';
import type { Switches } from './switches.ts';

const UNCHECKED = {
  kernel: 'kernel-hash-unchecked',
  initrd: 'initrd-hash-unchecked',
  cmdline: 'cmdline-hash-unchecked',
} as const satisfies Record<BlobName, FaultId>;

/** What the chosen faults change in the guest firmware, each asked for when it would show. */
export function verifierFaults(faults: Switches<FaultId>): VerifierFaults {
  return {
    unchecked: { has: (blob) => faults.has(UNCHECKED[blob]) },
    get bootsWithoutTable() {
      return faults.has('boots-without-hashes');
    },
  };
}
