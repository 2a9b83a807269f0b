import type { ProfileName } from '../profiles/index.ts';
import { HOST_FAULTS } from './host-faults.ts';
import { LAUNCH_FAULTS } from './launch-faults.ts';
import { LIFECYCLE_FAULTS } from './lifecycle-faults.ts';
import { MEMORY_READING_FAULTS } from './memory-faults.ts';
import { PLATFORM_FAULTS } from './platform-faults.ts';

/** What must go red when this fault is on, and nothing else: ids of checks, and `!CODE` for an error that ends the scenario. */
export interface FaultExpectation {
  readonly scenario: string;
  readonly checks: readonly string[];
}

export interface FaultEntry {
  /** What is wrong with the host while this fault is on. */
  readonly breaks: string;
  readonly expected: readonly FaultExpectation[];
  /** Profiles on which the fault shows; all of them when absent. */
  readonly profiles?: readonly ProfileName[];
}

const FAULTS = {
  'slot-leak-on-destroy': {
    breaks: 'a guest that libvirt destroys keeps its ASID: KVM never frees it',
    expected: [
      {
        scenario: 'slot-limit',
        checks: [
          'stop-frees-one-slot',
          'failed-launch-frees-slot',
          'inventory-matches',
          'concurrent-starts-fill-exactly',
        ],
      },
      { scenario: 'slot-churn', checks: ['every-launch-starts', 'capacity-unchanged'] },
      { scenario: 'slot-es-split', checks: ['es-unaffected-by-sev'] },
      { scenario: 'policy-matrix', checks: ['allowed-start', 'reserved-refused', 'newer-api-refused'] },
      { scenario: 'firmware-platform', checks: ['pek-rotates', 'driver-commands-match'] },
    ],
  },
  'slot-leak-on-failed-launch': {
    breaks: 'a guest whose launch fails after KVM gave it an ASID keeps the ASID',
    expected: [
      {
        scenario: 'slot-limit',
        checks: ['failed-launch-frees-slot', 'inventory-matches', 'concurrent-starts-fill-exactly'],
      },
      { scenario: 'policy-matrix', checks: ['newer-api-refused', 'firmware-tells-as-asked'] },
    ],
  },
  'slot-leak-on-kill': {
    breaks: 'a guest whose QEMU is killed with SIGKILL keeps its ASID',
    expected: [
      {
        scenario: 'slot-limit',
        checks: ['kill-frees-one-slot', 'inventory-matches', 'concurrent-starts-fill-exactly'],
      },
    ],
  },
  'df-flush-forgotten': {
    breaks: 'freed ASIDs are never flushed, so that the range runs dry after one use of each',
    expected: [
      {
        scenario: 'slot-limit',
        checks: [
          'stop-frees-one-slot',
          'kill-frees-one-slot',
          'failed-launch-frees-slot',
          'inventory-matches',
          'concurrent-starts-fill-exactly',
        ],
      },
      { scenario: 'slot-churn', checks: ['every-launch-starts', 'capacity-unchanged'] },
      { scenario: 'slot-es-split', checks: ['es-unaffected-by-sev'] },
      { scenario: 'launch-tamper', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'policy-matrix', checks: ['allowed-start', 'reserved-refused', 'newer-api-refused'] },
    ],
  },
  'limit-off-by-one-up': {
    breaks: 'KVM hands out one more SEV ASID than the hardware has',
    expected: [
      {
        scenario: 'slot-limit',
        checks: [
          'limit-agrees',
          'refused-beyond-limit',
          'refused-guest-left-nothing',
          'refused-persistent-guest-is-off',
          'stop-frees-one-slot',
          'inventory-matches',
          'concurrent-starts-fill-exactly',
        ],
      },
      { scenario: 'slot-churn', checks: ['still-refuses'] },
      { scenario: 'slot-es-split', checks: ['sev-refused-beyond-limit'] },
    ],
  },
  'limit-off-by-one-down': {
    breaks: 'KVM hands out one SEV ASID less than the hardware has',
    expected: [
      {
        scenario: 'slot-limit',
        checks: ['limit-agrees', 'fills-to-limit', 'inventory-matches', 'concurrent-starts-fill-exactly'],
      },
      { scenario: 'slot-churn', checks: ['capacity-unchanged'] },
      { scenario: 'slot-es-split', checks: ['sev-unaffected-by-es'] },
    ],
  },
  'es-range-shared': {
    breaks: 'SEV-ES guests draw from the range of the SEV guests',
    expected: [{ scenario: 'slot-es-split', checks: ['sev-unaffected-by-es'] }],
    profiles: ['naples-es', 'milan'],
  },
  'advertised-limit-wrong': {
    breaks: 'libvirt advertises one SEV guest more than CPUID and the misc cgroup say',
    expected: [
      {
        scenario: 'slot-limit',
        checks: ['limit-agrees', 'fills-to-limit', 'inventory-matches', 'concurrent-starts-fill-exactly'],
      },
      { scenario: 'slot-churn', checks: ['capacity-unchanged'] },
      { scenario: 'slot-es-split', checks: ['sev-unaffected-by-es'] },
    ],
  },
  'refusal-with-success': {
    breaks: 'the start of a guest that got no ASID is answered with success',
    expected: [
      {
        scenario: 'slot-limit',
        checks: [
          'refused-beyond-limit',
          'refused-guest-left-nothing',
          'refused-persistent-guest-is-off',
          'stop-frees-one-slot',
          'kill-frees-one-slot',
          'failed-launch-frees-slot',
          'inventory-matches',
          'concurrent-starts-fill-exactly',
        ],
      },
      { scenario: 'slot-churn', checks: ['still-refuses'] },
      { scenario: 'slot-es-split', checks: ['es-refused-beyond-limit', 'sev-refused-beyond-limit'] },
    ],
  },
  'refused-guest-stays-defined': {
    breaks: 'a guest that got no ASID stays behind: a transient one in the list, a persistent one as paused',
    expected: [{ scenario: 'slot-limit', checks: ['refused-guest-left-nothing', 'refused-persistent-guest-is-off'] }],
  },
  'running-guest-dies-at-limit': {
    breaks: 'when a guest gets no ASID, the oldest running SEV guest crashes',
    expected: [
      {
        scenario: 'slot-limit',
        checks: [
          'refused-persistent-guest-is-off',
          'others-still-run',
          'stop-is-announced',
          'inventory-matches',
          'concurrent-starts-fill-exactly',
        ],
      },
    ],
  },
  'stop-event-lost': {
    breaks: 'libvirt never sends the Stopped event',
    expected: [{ scenario: 'slot-limit', checks: ['stop-is-announced'] }],
  },
  'connection-drops-in-mid-fill': {
    breaks: 'libvirtd drops the connection once, when half of the SEV ASIDs are taken and the next start comes in',
    expected: [
      { scenario: 'slot-limit', checks: ['!LIBVIRT_CONNECTION_LOST'] },
      { scenario: 'slot-churn', checks: ['!LIBVIRT_CONNECTION_LOST'] },
      { scenario: 'slot-es-split', checks: ['!LIBVIRT_CONNECTION_LOST'] },
    ],
  },
  'refusal-text-lost': {
    breaks: "libvirt's refusal no longer carries what QEMU printed",
    expected: [
      { scenario: 'slot-limit', checks: ['refusal-names-cause'] },
      { scenario: 'domain-conformance', checks: ['refusals-are-explained'] },
      { scenario: 'memory-pinning', checks: ['small-limits-stop', 'too-large-refused'] },
      {
        scenario: 'launch-tamper',
        checks: [
          'edited-policy-refused',
          'changed-keys-refused',
          'other-platform-refused',
          'bent-point-refused',
          'corrupted-godh-refused',
          'truncated-session-refused',
          'newer-api-refused',
          'stale-pdh-refused',
        ],
      },
      { scenario: 'policy-matrix', checks: ['reserved-refused', 'newer-api-refused'] },
      { scenario: 'firmware-platform', checks: ['old-session-refused'] },
    ],
  },
  'refused-guest-runs': {
    breaks: 'a guest that got no ASID is refused and runs all the same',
    expected: [
      {
        scenario: 'slot-limit',
        checks: ['refused-guest-left-nothing', 'refused-persistent-guest-is-off', 'inventory-matches', 'nothing-lost'],
      },
      { scenario: 'slot-churn', checks: ['nothing-lost'] },
      { scenario: 'slot-es-split', checks: ['nothing-lost'] },
    ],
  },
  'plain-guest-takes-slot': {
    breaks: 'a guest without encryption takes an ASID of the SEV range',
    expected: [
      { scenario: 'slot-limit', checks: ['plain-guest-starts'] },
      { scenario: 'slot-es-split', checks: ['plain-guest-starts'] },
    ],
  },
  'es-limit-off-by-one-up': {
    breaks: 'KVM hands out one more SEV-ES ASID than the hardware has: the first of the SEV range',
    expected: [
      { scenario: 'slot-es-split', checks: ['es-limit-agrees', 'es-refused-beyond-limit', 'sev-unaffected-by-es'] },
    ],
    profiles: ['naples-es', 'milan'],
  },
  'es-limit-off-by-one-down': {
    breaks: 'KVM hands out one SEV-ES ASID less than the hardware has',
    expected: [{ scenario: 'slot-es-split', checks: ['es-limit-agrees', 'es-fills-to-limit', 'es-unaffected-by-sev'] }],
    profiles: ['naples-es', 'milan'],
  },
  'cbitpos-unchecked': {
    breaks: "QEMU starts a guest whose cbitpos is not the host's",
    expected: [{ scenario: 'domain-conformance', checks: ['wrong-cbitpos-refused'] }],
  },
  'reduced-phys-bits-unchecked': {
    breaks: 'QEMU starts a guest whose reducedPhysBits is 0',
    expected: [{ scenario: 'domain-conformance', checks: ['zero-reduced-phys-bits-refused'] }],
  },
  'policy-optional': {
    breaks: 'libvirt takes launch security without a policy',
    expected: [{ scenario: 'domain-conformance', checks: ['missing-policy-refused'] }],
  },
  'launch-security-type-unchecked': {
    breaks: 'libvirt takes launch security of any type for SEV',
    expected: [{ scenario: 'domain-conformance', checks: ['unknown-type-refused'] }],
  },
  'es-policy-ignored': {
    breaks: 'a guest whose policy demands SEV-ES starts without it',
    expected: [{ scenario: 'domain-conformance', checks: ['es-policy-without-es-refused'] }],
    profiles: ['naples'],
  },
  'failed-start-stays-paused': {
    breaks: 'a guest whose start failed stays behind, paused for ever',
    expected: [
      { scenario: 'slot-limit', checks: ['inventory-matches', 'nothing-lost', 'plain-guests-counted'] },
      { scenario: 'domain-conformance', checks: ['refused-guests-left-nothing'] },
      { scenario: 'policy-matrix', checks: ['refused-left-nothing'] },
    ],
  },
  'cbitpos-misreported': {
    breaks: 'libvirt advertises another cbitpos than the processor has',
    expected: [
      {
        scenario: 'slot-limit',
        checks: ['fills-to-limit', 'refusal-names-cause', 'inventory-matches', 'concurrent-starts-fill-exactly'],
      },
      { scenario: 'slot-churn', checks: ['every-launch-starts', 'capacity-unchanged'] },
      { scenario: 'slot-es-split', checks: ['es-fills-to-limit', 'sev-unaffected-by-es', 'es-unaffected-by-sev'] },
      { scenario: 'domain-conformance', checks: ['our-guest-starts', 'refusals-are-explained'] },
      {
        scenario: 'launch-tamper',
        checks: [
          'right-session-starts',
          'edited-policy-refused',
          'changed-keys-refused',
          'other-platform-refused',
          'bent-point-refused',
          'corrupted-godh-refused',
          'truncated-session-refused',
          'newer-api-refused',
          '!LAUNCH_REFUSED',
        ],
      },
      { scenario: 'kernel-hashes', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'launch-measure', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'launch-secret', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'perf-overhead', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'ksm', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'memory-encryption', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'lifecycle-refused', checks: ['!LIBVIRT_REMOTE'] },
      { scenario: 'lifecycle-allowed', checks: ['starts'] },
      { scenario: 'memory-pinning', checks: ['locked-starts', 'hard-limit-starts', 'small-limits-stop'] },
      { scenario: 'policy-matrix', checks: ['allowed-start', 'reserved-refused'] },
      { scenario: 'firmware-platform', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'known-defects', checks: ['!LAUNCH_REFUSED'] },
    ],
  },
  'uefi-not-offered': {
    breaks: 'libvirt offers no UEFI image for guests',
    expected: [
      { scenario: 'domain-conformance', checks: ['our-guest-is-conformant', 'linter-agrees'] },
      { scenario: 'launch-measure', checks: ['!GUEST_FIRMWARE_UNREADABLE'] },
      { scenario: 'launch-secret', checks: ['!GUEST_FIRMWARE_UNREADABLE'] },
      { scenario: 'launch-tamper', checks: ['!GUEST_FIRMWARE_UNREADABLE'] },
    ],
  },
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
