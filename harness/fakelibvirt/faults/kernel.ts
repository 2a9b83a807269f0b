import type { KvmSevFaults, SevTeardown } from '../kernel/kvm-sev.ts';
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
