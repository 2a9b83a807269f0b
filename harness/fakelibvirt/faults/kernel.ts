import type { KvmSevFaults, SevTeardown } from '../kernel/kvm-sev.ts';
import type { Profile } from '../profiles/profile.ts';
import type { FaultId } from './catalogue.ts';
import type { Switches } from './switches.ts';

const LEAKS = {
  stopped: 'slot-leak-on-destroy',
  'failed-launch': 'slot-leak-on-failed-launch',
  killed: 'slot-leak-on-kill',
} as const satisfies Record<SevTeardown, FaultId>;

/** What the chosen faults change in the kernel, each asked for when it would show. */
export function kvmFaults(faults: Switches<FaultId>): KvmSevFaults {
  return {
    leakOn: { has: (teardown) => faults.has(LEAKS[teardown]) },
    get forgetFlush() {
      return faults.has('df-flush-forgotten');
    },
    get shareRanges() {
      return faults.has('es-range-shared');
    },
    get esLimitError() {
      return faults.has('es-limit-off-by-one-up') ? 1 : faults.has('es-limit-off-by-one-down') ? -1 : 0;
    },
    get chargePlainGuests() {
      return faults.has('plain-guest-takes-slot');
    },
    get maxAsidError() {
      return (faults.has('limit-off-by-one-up') ? 1 : 0) - (faults.has('limit-off-by-one-down') ? 1 : 0);
    },
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
