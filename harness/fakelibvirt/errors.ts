import { type ErrorCatalogue, errorFactory } from '../../core/errors.ts';

export const fakelibvirtErrors = {
  LIBVIRT_REFUSAL: {
    kind: 'product',
    summary:
      'The emulated libvirt refuses a call; the client receives it as a remote error with code, domain and text.',
  },
  EMULATOR_SOCKET_UNUSABLE: { kind: 'environment', summary: 'The emulated host cannot listen on its socket path.' },
  EMULATOR_FAULT_UNKNOWN: { kind: 'usage', summary: 'The fault catalogue has no fault of that id.' },
  EMULATOR_OPTION_INVALID: { kind: 'usage', summary: 'An option of the emulated host has a value it cannot take.' },
  FRAME_MALFORMED: { kind: 'environment', summary: 'A client sent bytes that are not a frame of the RPC protocol.' },
} as const satisfies ErrorCatalogue;

export const fakelibvirtError = errorFactory(fakelibvirtErrors);
