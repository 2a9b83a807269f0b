/** How long things take on a host, in milliseconds; slept on the machine's clock, which may be virtual. */
export const DELAY_MS = {
  /** `virsh start` of a small guest returned after 360 to 960 ms in measurements of libvirt 9.0 with QEMU 7.2. */
  start: 450,
  destroy: 150,
  /** From the answer to a reset that QEMU cannot do until it has ended. */
  resetToEnd: 150,
  save: 1300,
  restore: 620,
  /** From the ACPI power button to the guest's power off. */
  guestShutdown: 1500,
} as const;
