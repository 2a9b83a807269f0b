import { FIRMWARE_FAULTS as FIRMWARE } from '../firmware/faults.ts';
import type { FaultEntry } from './catalogue.ts';

/** Checks that compare a measurement with what it should be. */
const EVERY_DIGEST = [
  'measurement-verifies',
  'es-measurement-verifies',
  'guest-firmware-measured',
  'policy-measured',
  'boot-files-measured',
] as const;
const EVERYWHERE_ELSE = [
  { scenario: 'kernel-hashes', checks: ['measurement-covers-boot', 'unmeasured-swap-goes-through'] },
  { scenario: 'launch-tamper', checks: ['wrong-guest-firmware-seen', 'swapped-kernel-seen', 'replay-gains-nothing'] },
] as const;
/** What every measurement shows that was made by a wrong formula. */
const WRONG_FORMULA = [
  {
    scenario: 'launch-measure',
    checks: ['nothing-left-out', ...EVERY_DIGEST],
  },
  ...EVERYWHERE_ELSE,
] as const;
/** A measurement that says something else than the owner's formula, without leaving one of its inputs out. */
const WRONG_VALUE = [{ scenario: 'launch-measure', checks: EVERY_DIGEST }, ...EVERYWHERE_ELSE] as const;
/** What shows wherever the keys of a host are followed to their root. */
const WRONG_SIGNATURE = [
  { scenario: 'launch-measure', checks: ['chain-verifies'] },
  { scenario: 'launch-tamper', checks: ['forged-chain-refused'] },
  { scenario: 'firmware-platform', checks: ['rotated-chain-verifies'] },
] as const;
/** Launches that a host tampered with, as long as nobody made a new PDH. */
export const TAMPERED_LAUNCHES = [
  'edited-policy-refused',
  'changed-keys-refused',
  'other-platform-refused',
  'bent-point-refused',
  'corrupted-godh-refused',
  'truncated-session-refused',
  'newer-api-refused',
] as const;
/** Where SEV-ES takes part. */
const WITH_ES = ['naples-es'] as const;

/** Faults of launches, secrets and what a running guest refuses. */
export const LAUNCH_FAULTS = {
  'measure-ignores-policy': { breaks: FIRMWARE['measure-ignores-policy'], expected: WRONG_FORMULA, profiles: WITH_ES },
  'measure-ignores-nonce': {
    breaks: FIRMWARE['measure-ignores-nonce'],
    // Two launches of one session then have one measurement, and a packet fits both.
    expected: [...WRONG_FORMULA, { scenario: 'launch-secret', checks: ['bad-packets-refused'] }],
    profiles: WITH_ES,
  },
  'measure-ignores-build': { breaks: FIRMWARE['measure-ignores-build'], expected: WRONG_FORMULA, profiles: WITH_ES },
  'measure-ignores-api': { breaks: FIRMWARE['measure-ignores-api'], expected: WRONG_FORMULA, profiles: WITH_ES },
  'digest-skips-page': { breaks: FIRMWARE['digest-skips-page'], expected: WRONG_FORMULA, profiles: WITH_ES },
  'digest-reversed': { breaks: FIRMWARE['digest-reversed'], expected: WRONG_FORMULA, profiles: WITH_ES },
  'status-api-wrong': {
    breaks: FIRMWARE['status-api-wrong'],
    expected: [
      ...WRONG_VALUE,
      { scenario: 'policy-matrix', checks: ['allowed-start'] },
      { scenario: 'firmware-platform', checks: ['versions-agree'] },
    ],
    profiles: WITH_ES,
  },
  'vmsa-not-measured': {
    breaks: FIRMWARE['vmsa-not-measured'],
    expected: [{ scenario: 'launch-measure', checks: ['es-measurement-verifies'] }],
    profiles: WITH_ES,
  },
  'measure-nonce-constant': {
    breaks: FIRMWARE['measure-nonce-constant'],
    expected: [
      { scenario: 'launch-measure', checks: ['nonce-fresh'] },
      { scenario: 'launch-secret', checks: ['bad-packets-refused'] },
      { scenario: 'launch-tamper', checks: ['replay-gains-nothing'] },
    ],
  },
  'measurement-changes-when-run': {
    breaks: 'QEMU tells another measurement once the guest has run',
    expected: [{ scenario: 'launch-measure', checks: ['measurement-stays'] }],
  },
  'session-ignored': {
    breaks: FIRMWARE['session-ignored'],
    expected: [
      ...WRONG_VALUE,
      { scenario: 'launch-secret', checks: ['accepted'] },
      { scenario: 'firmware-platform', checks: ['state-table-matches'] },
    ],
    profiles: WITH_ES,
  },
  'pek-signed-by-wrong-key': {
    breaks: FIRMWARE['pek-signed-by-wrong-key'],
    expected: WRONG_SIGNATURE,
  },
  'pdh-signed-by-wrong-key': {
    breaks: FIRMWARE['pdh-signed-by-wrong-key'],
    expected: WRONG_SIGNATURE,
  },
  'session-mac-unchecked': {
    breaks: FIRMWARE['session-mac-unchecked'],
    expected: [
      {
        scenario: 'launch-tamper',
        checks: ['edited-policy-refused', 'changed-keys-refused', 'other-platform-refused', 'stale-pdh-refused'],
      },
      { scenario: 'firmware-platform', checks: ['old-session-refused'] },
    ],
  },
  'godh-point-unchecked': {
    breaks: FIRMWARE['godh-point-unchecked'],
    expected: [
      { scenario: 'launch-tamper', checks: ['bent-point-refused'] },
      { scenario: 'known-defects', checks: ['active-tests'] },
    ],
  },
  'policy-api-floor-ignored': {
    breaks: FIRMWARE['policy-api-floor-ignored'],
    expected: [
      { scenario: 'launch-tamper', checks: ['newer-api-refused'] },
      { scenario: 'policy-matrix', checks: ['newer-api-refused'] },
    ],
  },
  'sessions-refused': {
    breaks: 'LAUNCH_START takes no session of any owner',
    expected: [
      { scenario: 'launch-tamper', checks: ['right-session-starts', 'newer-api-refused', '!LAUNCH_REFUSED'] },
      { scenario: 'kernel-hashes', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'launch-measure', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'launch-secret', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'policy-matrix', checks: ['allowed-start', 'reserved-refused'] },
      { scenario: 'firmware-platform', checks: ['old-session-refused'] },
      { scenario: 'lifecycle-allowed', checks: ['moves-cold'] },
    ],
  },
  'kernel-hash-unchecked': {
    breaks: 'the guest firmware starts a kernel whose hash is not the measured one',
    expected: [{ scenario: 'kernel-hashes', checks: ['swapped-kernel-stops'] }],
  },
  'initrd-hash-unchecked': {
    breaks: 'the guest firmware takes an initrd whose hash is not the measured one',
    expected: [{ scenario: 'kernel-hashes', checks: ['swapped-initrd-stops'] }],
  },
  'cmdline-hash-unchecked': {
    breaks: 'the guest firmware takes a command line whose hash is not the measured one',
    expected: [{ scenario: 'kernel-hashes', checks: ['swapped-cmdline-stops'] }],
  },
  'boots-without-hashes': {
    breaks: 'the guest firmware that knows kernel hashes starts a kernel for which there are none',
    expected: [{ scenario: 'kernel-hashes', checks: ['unhashed-boot-stops'] }],
  },
  'kernel-hashes-ignored': {
    breaks: 'QEMU gives the guest no kernel hashes although it was asked to',
    expected: [
      { scenario: 'kernel-hashes', checks: ['measurement-covers-boot', 'right-files-boot'] },
      { scenario: 'launch-measure', checks: ['boot-files-measured'] },
      { scenario: 'launch-tamper', checks: ['swapped-kernel-seen'] },
      { scenario: 'launch-secret', checks: ['!GUEST_BOOT_FAILED'] },
    ],
  },
  'first-kernel-measured': {
    breaks: 'QEMU measures the hashes of the first kernel that the host booted, whatever it boots',
    expected: [
      { scenario: 'launch-measure', checks: ['boot-files-measured'] },
      { scenario: 'launch-tamper', checks: ['swapped-kernel-seen'] },
    ],
  },
  'swap-ignored': {
    breaks: 'what the host swaps in the memory of QEMU never reaches the guest, so that nothing was attacked',
    expected: [
      {
        scenario: 'kernel-hashes',
        checks: [
          'swapped-kernel-stops',
          'swapped-initrd-stops',
          'swapped-cmdline-stops',
          'unmeasured-swap-goes-through',
        ],
      },
    ],
  },
  'loader-ignored': {
    breaks: 'QEMU runs the usual guest firmware, whichever the domain names',
    expected: [
      { scenario: 'launch-measure', checks: ['guest-firmware-measured', 'boot-files-measured'] },
      { scenario: 'launch-tamper', checks: ['wrong-guest-firmware-seen', '!LAUNCH_REFUSED'] },
      { scenario: 'kernel-hashes', checks: ['!LAUNCH_REFUSED'] },
      { scenario: 'launch-secret', checks: ['!LAUNCH_REFUSED'] },
    ],
  },
  'measurement-of-stopped-domain': {
    breaks: 'libvirt gives a measurement of a domain that does not run',
    expected: [{ scenario: 'launch-measure', checks: ['early-refused'] }],
  },
  'sev-state-stale': {
    breaks: 'QEMU says of a guest that has run that it still waits for its secret',
    expected: [{ scenario: 'launch-measure', checks: ['late-told'] }],
  },
  'short-material-dropped': {
    breaks: 'QEMU launches without a session when the session or its certificate is too short',
    expected: [
      { scenario: 'launch-tamper', checks: ['truncated-session-refused', 'corrupted-godh-refused'] },
      { scenario: 'slot-limit', checks: ['failed-launch-frees-slot', 'inventory-matches'] },
    ],
  },
  'cek-signature-wrong': {
    breaks: 'the CEK carries a signature that is not the one of the ASK',
    expected: WRONG_SIGNATURE,
  },
  'ark-signature-wrong': {
    breaks: 'the root certificate carries a signature that is not its own',
    expected: [...WRONG_SIGNATURE, { scenario: 'launch-tamper', checks: ['wrong-root-refused'] }],
  },
  'short-secret-dropped': {
    breaks: 'QEMU answers with success to a secret that is too short, and the firmware never sees it',
    expected: [{ scenario: 'launch-secret', checks: ['short-refused'] }],
  },
  'second-secret-refused': {
    breaks: 'QEMU refuses every secret after the first',
    expected: [{ scenario: 'launch-secret', checks: ['again-before-run'] }],
  },
  'secret-mac-unchecked': {
    breaks: FIRMWARE['secret-mac-unchecked'],
    expected: [
      { scenario: 'launch-secret', checks: ['bad-packets-refused'] },
      { scenario: 'launch-tamper', checks: ['replay-gains-nothing'] },
    ],
  },
  'secret-not-bound': {
    breaks: FIRMWARE['secret-not-bound'],
    expected: [
      { scenario: 'launch-secret', checks: ['accepted'] },
      { scenario: 'firmware-platform', checks: ['state-table-matches'] },
    ],
  },
  'secret-while-running': {
    breaks: `${FIRMWARE['secret-while-running']}, and neither libvirt nor QEMU looks at the state of the guest`,
    expected: [
      { scenario: 'launch-secret', checks: ['late-refused'] },
      { scenario: 'firmware-platform', checks: ['state-table-matches'] },
    ],
  },
  'secret-misplaced': {
    breaks: 'QEMU puts an injected secret 16 bytes behind the place that was asked for',
    expected: [{ scenario: 'launch-secret', checks: ['arrives'] }],
  },
  'save-allowed': {
    breaks: 'the memory of an encrypted guest is saved like that of any other',
    expected: [{ scenario: 'lifecycle-refused', checks: ['save-refused', 'managed-save-refused', 'still-runs'] }],
  },
  'migration-allowed': {
    breaks: 'libvirt begins the migration of an encrypted guest',
    expected: [{ scenario: 'lifecycle-refused', checks: ['migration-refused'] }],
  },
  'refusal-kills-guest': {
    breaks: 'a guest whose save or migration is refused dies of it',
    expected: [{ scenario: 'lifecycle-refused', checks: ['still-runs'] }],
  },
  'es-reset-allowed': {
    breaks: 'a reset leaves an SEV-ES guest running',
    expected: [{ scenario: 'lifecycle-refused', checks: ['es-reset-ends'] }],
    profiles: WITH_ES,
  },
} as const satisfies Readonly<Record<string, FaultEntry>>;
