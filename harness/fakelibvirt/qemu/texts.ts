import { isAtLeast, type Version } from '../profiles/profile.ts';

/** Why an encrypted guest is not migrated (target/i386/sev.c). */
export const MIGRATION_BLOCKER = 'SEV: Migration is not implemented';

/** What QEMU writes on stderr, by the version that writes it (target/i386/sev.c, accel/kvm). */
export interface QemuVoice {
  /** The function that reports most SEV failures; it was renamed twice. */
  readonly initFunction: string;
  /** One line of `error_report` while `-accel kvm` is being set up. */
  accelLine(text: string): string;
  /** One line of `error_report` after that. */
  line(text: string): string;
  /** What ends every failed accelerator. */
  readonly accelFailure: string;
}

export function qemuVoice(version: Version, nowMs: () => number): QemuVoice {
  const stamp = () => `${new Date(nowMs()).toISOString().slice(0, -1)}000Z`;
  return {
    initFunction: initFunction(version),
    accelLine: (text) => `${stamp()} qemu-system-x86_64: -accel kvm: ${text}`,
    line: (text) => `${stamp()} qemu-system-x86_64: ${text}`,
    accelFailure: `failed to initialize ${isAtLeast(version, [6, 0, 0]) ? 'kvm' : 'KVM'}: Operation not permitted`,
  };
}

function initFunction(version: Version): string {
  if (isAtLeast(version, [9, 1, 0])) return 'sev_common_kvm_init';
  return isAtLeast(version, [6, 0, 0]) ? 'sev_kvm_init' : 'sev_guest_init';
}

/** How libvirt wraps the stderr of a QEMU that died before its monitor answered. */
export function monitorClosedText(libvirt: Version, domainName: string, stderr: string): string {
  const prefix = isAtLeast(libvirt, [10, 0, 0])
    ? `QEMU unexpectedly closed the monitor (vm='${domainName}')`
    : 'qemu unexpectedly closed the monitor';
  return stderr === '' ? prefix : `${prefix}: ${stderr}`;
}
