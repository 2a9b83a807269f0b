import type { ProfileName } from '../profiles/index.ts';
import { DOMAIN_FAULTS } from './domain-faults.ts';
import { HOST_FAULTS } from './host-faults.ts';
import { LAUNCH_FAULTS } from './launch-faults.ts';
import { LIFECYCLE_FAULTS } from './lifecycle-faults.ts';
import { MEMORY_READING_FAULTS } from './memory-faults.ts';
import { PLATFORM_FAULTS } from './platform-faults.ts';
import { SLOT_FAULTS } from './slot-faults.ts';

/** What must go red when this fault is on, and nothing else: ids of checks, and `!CODE` for an error that ends the scenario. */
export interface FaultExpectation {
  readonly scenario: string;
  readonly checks: readonly string[];
  /** Profiles on which these go red as well, beside what is named without profiles. */
  readonly profiles?: readonly ProfileName[];
}

export interface FaultEntry {
  /** What is wrong with the host while this fault is on. */
  readonly breaks: string;
  readonly expected: readonly FaultExpectation[];
  /** Profiles on which the fault shows; all of them when absent. */
  readonly profiles?: readonly ProfileName[];
}

const FAULTS = {
  ...SLOT_FAULTS,
  ...DOMAIN_FAULTS,
  ...LAUNCH_FAULTS,
  ...LIFECYCLE_FAULTS,
  ...PLATFORM_FAULTS,
  ...MEMORY_READING_FAULTS,
  ...HOST_FAULTS,
} as const satisfies Record<string, FaultEntry>;

export type FaultId = keyof typeof FAULTS;

export interface Fault extends FaultEntry {
  readonly id: FaultId;
}

export const faultCatalogue: readonly Fault[] = Object.entries(FAULTS).map(([id, entry]) => ({
  id: id as FaultId,
  ...entry,
}));

export function isFaultId(text: string): text is FaultId {
  return Object.hasOwn(FAULTS, text);
}
