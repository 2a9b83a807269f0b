import type { FaultEntry } from './catalogue.ts';
import { TAMPERED_LAUNCHES } from './launch-faults.ts';

/** Where SEV-ES has slots left when those of SEV have run out, some launches without QEMU succeed, and the others are judged. */
const MANY_ES_SLOTS = {
  scenario: 'policy-matrix',
  checks: ['firmware-tells-as-asked'],
  profiles: ['milan'],
} as const;

const WITH_ES = ['naples-es', 'milan'] as const;
const WITHOUT_ES = ['naples', 'rome', 'genoa', 'turin'] as const;
/** Naples' fifteen slots last until a scenario is further than on hosts with fewer. */
const FEWER_SLOTS = ['naples-es', 'rome', 'milan', 'genoa', 'turin'] as const;
/** Where there is no SEV-ES, launches that ask for it take turns at the slots of SEV, and end with EBUSY when these are full. */
const FULL_BEFORE_POLICY = {
  scenario: 'policy-matrix',
  checks: ['es-without-es-refused'],
  profiles: WITHOUT_ES,
} as const;

/** Where the host takes one SEV guest less than libvirt promises. */
const ONE_SLOT_SHORT = [
  {
    scenario: 'slot-limit',
    checks: ['limit-agrees', 'fills-to-limit', 'inventory-matches', 'concurrent-starts-fill-exactly'],
  },
  { scenario: 'slot-churn', checks: ['capacity-unchanged'] },
  { scenario: 'slot-es-split', checks: ['sev-unaffected-by-es'] },
] as const;

/** Of the slots: who gets one, who gives it back, what a refusal says and leaves. */
export const SLOT_FAULTS = {
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
      MANY_ES_SLOTS,
      FULL_BEFORE_POLICY,
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
      { scenario: 'policy-matrix', checks: ['newer-api-refused'], profiles: FEWER_SLOTS },
      { scenario: 'policy-matrix', checks: ['firmware-tells-as-asked'], profiles: WITH_ES },
      FULL_BEFORE_POLICY,
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
      { scenario: 'launch-tamper', checks: ['!LAUNCH_REFUSED'], profiles: FEWER_SLOTS },
      { scenario: 'launch-tamper', checks: ['stale-pdh-refused'], profiles: ['naples'] },
      { scenario: 'policy-matrix', checks: ['allowed-start', 'reserved-refused', 'newer-api-refused'] },
      MANY_ES_SLOTS,
      FULL_BEFORE_POLICY,
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
    expected: ONE_SLOT_SHORT,
  },
  'es-range-shared': {
    breaks: 'SEV-ES guests draw from the range of the SEV guests',
    expected: [{ scenario: 'slot-es-split', checks: ['sev-unaffected-by-es'] }],
    profiles: ['naples-es'],
  },
  'advertised-limit-wrong': {
    breaks: 'libvirt advertises one SEV guest more than CPUID and the misc cgroup say',
    expected: ONE_SLOT_SHORT,
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
      { scenario: 'launch-tamper', checks: [...TAMPERED_LAUNCHES, 'stale-pdh-refused'] },
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
} as const satisfies Readonly<Record<string, FaultEntry>>;
