import type { FaultEntry } from './catalogue.ts';

const ALLOWED = 'lifecycle-allowed';
const REFUSED = 'lifecycle-refused';
const PINNING = 'memory-pinning';
/** Whatever needs the memory of a guest to leave its QEMU. */
const EVERY_MOVE = [
  {
    scenario: REFUSED,
    checks: [
      'save-refused',
      'managed-save-refused',
      'migration-refused',
      'p2p-migration-refused',
      'memory-snapshot-refused',
    ],
  },
] as const;

/** Of what a guest that runs allows and refuses, and of the limits on its memory: of libvirt or QEMU, whatever the hardware. */
export const LIFECYCLE_FAULTS = {
  'scsi-boot-refused': {
    breaks: 'a guest does not start from a disk on virtio-scsi',
    expected: [{ scenario: ALLOWED, checks: ['starts'] }],
  },
  'suspend-ignored': {
    breaks: 'libvirt says that it paused a guest, and the guest runs on',
    expected: [
      { scenario: ALLOWED, checks: ['pauses'] },
      { scenario: 'launch-secret', checks: ['late-refused'] },
    ],
  },
  'resume-ignored': {
    breaks: 'libvirt says that it resumed a guest that ran before, and the guest stands still',
    expected: [{ scenario: ALLOWED, checks: ['resumes'] }],
  },
  'reset-kills-guest': {
    breaks: 'a reset ends a guest that has no encrypted registers',
    expected: [{ scenario: ALLOWED, checks: ['reboots'] }],
  },
  'disk-snapshot-refused': {
    breaks: 'libvirt refuses a snapshot of a disk as it refuses one of memory',
    expected: [{ scenario: ALLOWED, checks: ['disk-snapshot'] }],
  },
  'scsi-hotplug-refused': {
    breaks: 'a disk on virtio-scsi cannot be attached to a running guest',
    expected: [{ scenario: ALLOWED, checks: ['scsi-disk-attaches'] }],
  },
  'sata-refused': {
    breaks: 'libvirt takes no SATA disk into a definition',
    expected: [{ scenario: ALLOWED, checks: ['sata-disk-attaches'] }],
  },
  'console-refused': {
    breaks: 'libvirt finds no serial console where a guest has a screen as well',
    expected: [{ scenario: ALLOWED, checks: ['consoles-open'] }],
  },
  'restart-refused': {
    breaks: 'a guest of a name that ran before is not started again',
    expected: [{ scenario: ALLOWED, checks: ['sata-disk-attaches'] }],
  },
  'p2p-migration-allowed': {
    breaks: 'libvirt performs the peer-to-peer migration of an encrypted guest',
    expected: [{ scenario: REFUSED, checks: ['p2p-migration-refused'] }],
  },
  'memory-snapshot-allowed': {
    breaks: 'libvirt takes a snapshot of the memory of an encrypted guest',
    expected: [{ scenario: REFUSED, checks: ['memory-snapshot-refused'] }],
  },
  'passthrough-allowed': {
    breaks: 'libvirt attaches a PCI device of the host that is not there',
    expected: [{ scenario: REFUSED, checks: ['passthrough-refused'] }],
  },
  'refusal-text-changed': {
    breaks: "libvirt refuses to move an encrypted guest, and leaves out QEMU's reason",
    expected: EVERY_MOVE,
  },
  'refusal-code-changed': {
    breaks: 'libvirt refuses to move an encrypted guest with the code of an internal error',
    expected: EVERY_MOVE,
  },
  'refusal-pauses-guest': {
    breaks: 'a guest whose memory snapshot is refused stays paused',
    expected: [{ scenario: REFUSED, checks: ['still-runs'] }],
  },
  'locked-limit-capped': {
    breaks: 'libvirt lets guests with <locked/> lock 512 MiB at most',
    expected: [{ scenario: PINNING, checks: ['locked-starts'] }],
  },
  'locked-limit-finite': {
    breaks: 'libvirt lets guests with <locked/> lock 2 GiB and not all that they ask for',
    expected: [{ scenario: PINNING, checks: ['locked-unlimited'] }],
  },
  'memory-not-locked': {
    breaks: 'QEMU never locks the memory of a guest with <locked/>',
    expected: [{ scenario: PINNING, checks: ['locked-size'] }],
  },
  'hard-limit-is-memory': {
    breaks: 'libvirt lets a guest with a hard limit lock its RAM and nothing more',
    expected: [{ scenario: PINNING, checks: ['hard-limit-starts'] }],
  },
  'hard-limit-ignored': {
    breaks: 'libvirt does not apply <hard_limit>',
    expected: [{ scenario: PINNING, checks: ['hard-limit-applied', 'small-limits-stop'] }],
  },
  'memory-half-pinned': {
    breaks: 'half of what should be pinned is in memory',
    expected: [{ scenario: PINNING, checks: ['hard-limit-size'] }],
  },
  'outside-machine-slice': {
    breaks: 'guests run outside of machine.slice, whose limits then protect nobody',
    expected: [{ scenario: PINNING, checks: ['in-machine-slice'] }],
  },
  'overcommit-unchecked': {
    breaks: 'a guest larger than the host starts',
    expected: [
      { scenario: PINNING, checks: ['too-large-refused'] },
      { scenario: 'slot-limit', checks: ['plain-guests-counted'] },
    ],
  },
  'failed-start-kills-guests': {
    breaks: 'a start for which memory is missing costs the oldest guest its life',
    expected: [
      { scenario: PINNING, checks: ['others-survive'] },
      { scenario: 'slot-limit', checks: ['plain-guests-counted'] },
    ],
  },
} as const satisfies Readonly<Record<string, FaultEntry>>;
