import type { ProfileName } from '../profiles/index.ts';

/** What must go red when this fault is on: a scenario and the titles of its checks. */
export interface FaultExpectation {
  readonly scenario: string;
  readonly checks: readonly string[];
}

interface FaultEntry {
  /** What is wrong with the host while this fault is on. */
  readonly breaks: string;
  readonly expected: readonly FaultExpectation[];
  /** Profiles on which the fault shows; all of them when absent. */
  readonly profiles?: readonly ProfileName[];
}

const FAULTS = {
  'slot-leak-on-destroy': {
    breaks: 'a guest that libvirt destroys keeps its ASID: KVM never frees it',
    expected: [],
  },
  'slot-leak-on-failed-launch': {
    breaks: 'a guest whose launch fails after KVM gave it an ASID keeps the ASID',
    expected: [],
  },
  'slot-leak-on-kill': {
    breaks: 'a guest whose QEMU is killed with SIGKILL keeps its ASID',
    expected: [],
  },
  'df-flush-forgotten': {
    breaks: 'freed ASIDs are never flushed, so that the range runs dry after one use of each',
    expected: [],
  },
  'limit-off-by-one-up': {
    breaks: 'KVM hands out one more SEV ASID than the hardware has',
    expected: [],
  },
  'limit-off-by-one-down': {
    breaks: 'KVM hands out one SEV ASID less than the hardware has',
    expected: [],
  },
  'es-range-shared': {
    breaks: 'SEV-ES guests draw from the range of the SEV guests',
    expected: [],
    profiles: ['naples-es', 'milan'],
  },
  'advertised-limit-wrong': {
    breaks: 'libvirt advertises one SEV guest more than CPUID and the misc cgroup say',
    expected: [],
  },
  'refusal-with-success': {
    breaks: 'the start of a guest that got no ASID is answered with success',
    expected: [],
  },
  'refused-guest-stays-defined': {
    breaks: 'a guest that got no ASID stays behind: a transient one in the list, a persistent one as paused',
    expected: [],
  },
  'running-guest-dies-at-limit': {
    breaks: 'when a guest gets no ASID, the oldest running SEV guest crashes',
    expected: [],
  },
  'stop-event-lost': {
    breaks: 'libvirt never sends the Stopped event',
    expected: [],
  },
  'connection-drops-in-mid-fill': {
    breaks: 'libvirtd drops the connection once, when half of the SEV ASIDs are taken and the next start comes in',
    expected: [],
  },
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
