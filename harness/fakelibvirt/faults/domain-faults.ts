import type { FaultEntry } from './catalogue.ts';
import { TAMPERED_LAUNCHES } from './launch-faults.ts';

/** Of what libvirt and QEMU take as a domain, and offer for one. */
export const DOMAIN_FAULTS = {
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
      { scenario: 'launch-tamper', checks: ['right-session-starts', ...TAMPERED_LAUNCHES, '!LAUNCH_REFUSED'] },
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
} as const satisfies Readonly<Record<string, FaultEntry>>;
