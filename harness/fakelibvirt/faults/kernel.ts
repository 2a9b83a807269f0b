import type { KvmSevFaults, SevTeardown } from '../kernel/kvm-sev.ts';
import type { Profile } from '../profiles/profile.ts';
import type { FaultId } from './catalogue.ts';

const LEAKS: readonly (readonly [FaultId, SevTeardown])[] = [
  ['slot-leak-on-destroy', 'stopped'],
  ['slot-leak-on-failed-launch', 'failed-launch'],
  ['slot-leak-on-kill', 'killed'],
];

/** What the chosen faults change in the kernel. */
export function kvmFaults(faults: ReadonlySet<FaultId>): KvmSevFaults {
  const up = faults.has('limit-off-by-one-up') ? 1 : 0;
  const down = faults.has('limit-off-by-one-down') ? 1 : 0;
  return {
    leakOn: new Set(LEAKS.filter(([fault]) => faults.has(fault)).map(([, teardown]) => teardown)),
    forgetFlush: faults.has('df-flush-forgotten'),
    shareRanges: faults.has('es-range-shared'),
    esLimitError: faults.has('es-limit-off-by-one-up') ? 1 : faults.has('es-limit-off-by-one-down') ? -1 : 0,
    chargePlainGuests: faults.has('plain-guest-takes-slot'),
    maxAsidError: up - down,
  };
}

/** The highest ASID and the lowest one without SEV-ES as the firmware has them, where KVM's own books are not to be stopped by it. */
export function firmwareAsids(
  { memoryEncryption }: Profile,
  { maxAsidError = 0, esLimitError = 0, shareRanges }: KvmSevFaults,
): { readonly maxAsid: number; readonly minSevAsid: number } {
  const maxAsid = memoryEncryption.maxAsid + Math.max(0, maxAsidError);
  const minSevAsid = shareRanges ? maxAsid + 1 : memoryEncryption.minSevAsid + Math.max(0, esLimitError);
  return { maxAsid, minSevAsid: Math.max(1, minSevAsid) };
}
