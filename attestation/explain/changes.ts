import type { JsonValue } from '../../core/errors.ts';
import type { GuestGuess, Hypothesis, KernelGuess, VcpuGuess } from './hypothesis.ts';

/** Which input differs. Two changes of one dimension are never combined. */
export type Dimension =
  | 'measurement-encoding'
  | 'measurement-kind'
  | 'tik'
  | 'sev-firmware'
  | 'policy'
  | 'guest-firmware'
  | 'kernel-hashes'
  | 'cmdline'
  | 'initrd'
  | 'sev-es'
  | 'vcpu-count'
  | 'vcpu-order'
  | 'vcpu-reset'
  | 'cpu-signature'
  | 'vmsa-form'
  | 'sev-features';

/** One thing that may have been different at launch from what was given. */
export interface Change {
  readonly dimension: Dimension;
  /** `common`: also tried in pairs. `wide`: only in pairs with a common one. `alone`: never in pairs. */
  readonly breadth: 'common' | 'wide' | 'alone';
  /** Completes the sentence "the measurement matches if …". */
  readonly words: string;
  readonly given: JsonValue;
  readonly fits: JsonValue;
  /** `undefined` when it does not apply. */
  readonly apply: (hypothesis: Hypothesis) => Hypothesis | undefined;
}

/** What the user should do about each dimension. */
export const ADVICE: Readonly<Record<Dimension, string>> = {
  'measurement-encoding': 'Give the base64 text of query-sev-launch-measure or `virsh domlaunchsecinfo` unchanged.',
  'measurement-kind':
    'A launch digest is no evidence: anyone can compute it. Ask the host for its launch measurement, which is keyed with the TIK.',
  tik: 'Give NAME_tik.bin as TIK and NAME_tek.bin as TEK.',
  'sev-firmware':
    'Read api-major, api-minor and build-id from query-sev of the running guest, and decide whether you accept that SEV firmware.',
  policy:
    'Verify against the policy that the session was made with; if the host chose another one, do not trust the guest.',
  'guest-firmware': 'Verify with the very image that the domain names in <loader>, and check where it came from.',
  'kernel-hashes': 'Give kernel, initrd and command line exactly if the guest is started with kernel-hashes=on.',
  cmdline: 'Take the command line from the domain XML or the QEMU process, without adding or removing a character.',
  initrd: 'Give the initrd that the domain names, or none if it names none.',
  'sev-es': 'Check whether the policy asks for SEV-ES, and describe the vCPUs if so.',
  'vcpu-count': 'Give the number of vCPUs that the guest was started with (its maximum, not the current number).',
  'vcpu-order': 'Give the page of vCPU 0 as --vmsa-cpu0 and that of vCPU 1 as --vmsa-cpu1.',
  'vcpu-reset': 'The pages are of another guest firmware: build them from this one.',
  'cpu-signature': "Give family, model and stepping of the guest's CPU model (CPUID leaf 1 inside the guest).",
  'vmsa-form':
    'Choose the VMSA form by how the VM was created: legacy VM type, or KVM_SEV_INIT2 (QEMU 9.1 and Linux 6.10 or later).',
  'sev-features': 'Check for debug-swap: Linux 6.6 to 6.8 turn it on by default, later ones when QEMU asks for it.',
};

export function changeGuest(hypothesis: Hypothesis, change: (guest: GuestGuess) => GuestGuess | undefined) {
  if ('digest' in hypothesis.guest) return undefined;
  const guest = change(hypothesis.guest);
  return guest && { ...hypothesis, guest };
}

export function changeKernel(hypothesis: Hypothesis, change: (kernel: KernelGuess) => KernelGuess) {
  return changeGuest(hypothesis, (guest) => guest.kernel && { ...guest, kernel: change(guest.kernel) });
}

export function changeVcpus(hypothesis: Hypothesis, change: (vcpus: VcpuGuess) => VcpuGuess) {
  return changeGuest(hypothesis, (guest) => guest.vcpus && { ...guest, vcpus: change(guest.vcpus) });
}
