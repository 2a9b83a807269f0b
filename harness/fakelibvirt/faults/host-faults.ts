import type { Machine } from '../state/machine.ts';
import type { FaultEntry } from './catalogue.ts';

/** Faults of what a host does with its guests' time and with their equal pages. */
export const HOST_FAULTS = {
  'encryption-slow': {
    breaks: 'memory and disks of an encrypted guest are a third slower than those of another guest',
    expected: [{ scenario: 'perf-overhead', checks: ['slowdown-moderate'] }],
  },
  'guests-unequal': {
    breaks: 'of every four guests without encryption the second and the third are a fifth slower',
    expected: [{ scenario: 'perf-overhead', checks: ['equal-guests-agree'] }],
  },
  'ksm-idle': {
    breaks: 'KSM scans and merges nothing',
    expected: [{ scenario: 'ksm', checks: ['plain-guests-merge'] }],
  },
  'ksm-stays-on': {
    breaks: 'KSM cannot be switched off again, and the kernel says that it was',
    expected: [{ scenario: 'ksm', checks: ['left-as-found'] }],
  },
} as const satisfies Readonly<Record<string, FaultEntry>>;

/** How many times slower a guest is than its kind, of which it is the first, or second, or nth. */
export function slowdown(machine: Machine, guest: { readonly isEncrypted: boolean; readonly nth: number }): number {
  if (guest.isEncrypted) return machine.has('encryption-slow') ? 4 / 3 : 1;
  // The scenario starts its pair in turned order every second time: the same one of the two is hit.
  const isHit = guest.nth % 4 === 2 || guest.nth % 4 === 3;
  return isHit && machine.has('guests-unequal') ? 5 / 4 : 1;
}
