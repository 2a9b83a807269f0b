import { FIRMWARE_FAULTS as FIRMWARE } from '../firmware/faults.ts';
import type { FaultEntry } from './catalogue.ts';

const POLICY = 'policy-matrix';
const PLATFORM = 'firmware-platform';
const DEFECTS = 'known-defects';

/** Faults of what the firmware makes of policies, keys and states, and of how old it is. */
export const PLATFORM_FAULTS = {
  'nosend-refused': {
    breaks: FIRMWARE['nosend-refused'],
    expected: [
      { scenario: POLICY, checks: ['allowed-start', 'firmware-tells-as-asked'] },
      { scenario: POLICY, checks: ['es-without-es-refused'], profiles: ['naples', 'rome', 'genoa', 'turin'] },
    ],
  },
  'nosend-forgotten': {
    breaks: 'QEMU tells every policy without its bit NOSEND',
    expected: [{ scenario: POLICY, checks: ['told-as-asked'] }],
  },
  'policy-readback-stale': {
    breaks: FIRMWARE['policy-readback-stale'],
    expected: [{ scenario: POLICY, checks: ['firmware-tells-as-asked'] }],
  },
  'policy-reserved-ignored': {
    breaks: FIRMWARE['policy-reserved-ignored'],
    expected: [{ scenario: POLICY, checks: ['reserved-refused'] }],
  },
  'es-without-support': {
    breaks: FIRMWARE['es-without-support'],
    expected: [{ scenario: POLICY, checks: ['es-without-es-refused'] }],
    profiles: ['naples'],
  },
  'debug-ignores-nodbg': {
    breaks: FIRMWARE['debug-ignores-nodbg'],
    expected: [
      { scenario: POLICY, checks: ['debug-refused'] },
      { scenario: DEFECTS, checks: ['active-tests'] },
    ],
  },
  'debug-always-refused': {
    breaks: FIRMWARE['debug-always-refused'],
    expected: [
      { scenario: POLICY, checks: ['debug-works'] },
      { scenario: PLATFORM, checks: ['state-table-matches'] },
    ],
  },
  'pdh-not-rotated': {
    breaks: FIRMWARE['pdh-not-rotated'],
    expected: [
      { scenario: PLATFORM, checks: ['pdh-rotates', 'old-session-refused'] },
      { scenario: 'launch-tamper', checks: ['stale-pdh-refused'] },
    ],
  },
  'old-pdh-still-opens': {
    breaks: FIRMWARE['old-pdh-still-opens'],
    expected: [
      { scenario: PLATFORM, checks: ['old-session-refused'] },
      { scenario: 'launch-tamper', checks: ['stale-pdh-refused'] },
    ],
  },
  'pek-not-rotated': {
    breaks: FIRMWARE['pek-not-rotated'],
    expected: [{ scenario: PLATFORM, checks: ['pek-rotates'] }],
  },
  'rotated-pek-signed-by-wrong-key': {
    breaks: FIRMWARE['rotated-pek-signed-by-wrong-key'],
    expected: [{ scenario: PLATFORM, checks: ['rotated-chain-verifies'] }],
  },
  'pek-gen-while-working': {
    breaks: FIRMWARE['pek-gen-while-working'],
    expected: [{ scenario: PLATFORM, checks: ['driver-commands-match', 'state-table-matches'] }],
  },
  'measure-status-wrong': {
    breaks: FIRMWARE['measure-status-wrong'],
    expected: [{ scenario: PLATFORM, checks: ['state-table-matches'] }],
  },
  'measure-out-of-order': {
    breaks: FIRMWARE['measure-out-of-order'],
    expected: [{ scenario: PLATFORM, checks: ['state-table-matches'] }],
  },
  'short-buffer-status-wrong': {
    breaks: FIRMWARE['short-buffer-status-wrong'],
    expected: [{ scenario: PLATFORM, checks: ['short-buffers-refused'] }],
  },
  'kernel-log-build-stale': {
    breaks: 'the kernel log tells the build that the firmware had before it was updated',
    expected: [{ scenario: PLATFORM, checks: ['versions-agree'] }],
  },
  'chip-id-misreported': {
    breaks: 'libvirt tells the id of another chip',
    expected: [{ scenario: PLATFORM, checks: ['identity-agrees'] }],
  },
  'small-order-point-accepted': {
    breaks: FIRMWARE['small-order-point-accepted'],
    expected: [{ scenario: DEFECTS, checks: ['active-tests'] }],
  },
  'firmware-outdated': {
    breaks: 'the SEV firmware is one with a defect that is public',
    expected: [{ scenario: DEFECTS, checks: ['version-floors'] }],
    profiles: ['naples-es', 'milan'],
  },
  'microcode-outdated': {
    breaks: 'the microcode is one with a defect that is public',
    expected: [{ scenario: DEFECTS, checks: ['version-floors'] }],
    profiles: ['milan'],
  },
  'microcode-hidden': {
    breaks: 'the kernel does not say which microcode runs',
    expected: [{ scenario: DEFECTS, checks: ['every-defect-judged'] }],
    profiles: ['milan'],
  },
} as const satisfies Readonly<Record<string, FaultEntry>>;
