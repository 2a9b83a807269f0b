/** Domain XML for the tests of this room. */
export interface GuestOptions {
  readonly uuid?: string;
  /** Guest policy in hex; a plain guest without it. */
  readonly policy?: string;
  /** More children of `<launchSecurity>`. */
  readonly security?: string;
  readonly devices?: string;
  readonly extra?: string;
}

export const SEV_POLICY = '0x0003';
export const ES_POLICY = '0x0007';

export function guestXml(name: string, options: GuestOptions = {}): string {
  const uuid = options.uuid === undefined ? '' : `<uuid>${options.uuid}</uuid>`;
  const security =
    options.policy === undefined
      ? ''
      : `<launchSecurity type='sev'><policy>${options.policy}</policy>${options.security ?? ''}</launchSecurity>`;
  // Encrypted memory is pinned, and more of it than a QEMU may lock unless libvirt lets it.
  const backing = options.policy === undefined ? '' : '<memoryBacking><locked/></memoryBacking>';
  return `<domain type='kvm'><name>${name}</name>${uuid}<memory unit='MiB'>64</memory>${backing}<vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>${options.extra ?? ''}
    <devices>${options.devices ?? ''}</devices>${security}</domain>`;
}

export function testUuid(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}
