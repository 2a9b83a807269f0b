import { type ErrorCatalogue, errorFactory } from '../../../core/errors.ts';

export const firmwareErrors = {
  FIRMWARE_OPTION_INVALID: {
    kind: 'harness',
    summary: 'The emulated Secure Processor was set up with a value it cannot have.',
  },
} as const satisfies ErrorCatalogue;

export const firmwareError = errorFactory(firmwareErrors);
