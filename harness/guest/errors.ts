import { type ErrorCatalogue, errorFactory } from '../../core/errors.ts';

/** Errors of guests that boot: their image, their boot, their console. */
export const guestErrors = {
  CONSOLE_LINE_MALFORMED: {
    kind: 'harness',
    summary: "A line of a guest's console begins as the agent's lines do and breaks their grammar.",
  },
  GUEST_BOOT_FAILED: { kind: 'product', summary: 'A guest did not boot, and its console says why.' },
  GUEST_CONSOLE_ENDED: { kind: 'product', summary: "A guest's console ended before it printed what was waited for." },
  GUEST_CONSOLE_TIMEOUT: { kind: 'product', summary: 'A guest did not print in time what was waited for.' },
  GUEST_IMAGE_BUILD: { kind: 'harness', summary: 'The agent of the guest image does not compile on this machine.' },
  GUEST_IMAGE_FOLDER: {
    kind: 'environment',
    summary: 'The folder for guest images cannot be written, or belongs to somebody else.',
  },
  GUEST_IMAGE_TOOL: {
    kind: 'environment',
    summary: 'A program that a guest image is built with is missing: busybox-static, a C compiler, or an unpacker.',
  },
  GUEST_KERNEL_FORM: { kind: 'usage', summary: 'What was given as kernel is no x86 kernel image (bzImage).' },
  GUEST_KERNEL_MISSING: {
    kind: 'environment',
    summary: 'There is no kernel to boot guests with, or it is unreadable.',
  },
  GUEST_WORKLOAD_FAILED: { kind: 'product', summary: 'A guest could not run a workload, and says why.' },
} as const satisfies ErrorCatalogue;

export const guestError = errorFactory(guestErrors);
