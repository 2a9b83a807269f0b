import { type ErrorCatalogue, errorFactory } from '../../../core/errors.ts';

export const memoryErrors = {
  MEMORY_KEY_MISSING: {
    kind: 'harness',
    summary: 'Encrypted memory of an ASID was touched while no key is installed for it.',
  },
  MEMORY_KEY_SIZE: { kind: 'harness', summary: 'A memory encryption key is not 16 bytes long.' },
  MEMORY_ADDRESS_INVALID: {
    kind: 'harness',
    summary: 'An emulated memory access lies outside the memory, or is not aligned as it must be.',
  },
} as const satisfies ErrorCatalogue;

export const memoryError = errorFactory(memoryErrors);
