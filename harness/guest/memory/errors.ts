import { type ErrorCatalogue, errorFactory } from '../../../core/errors.ts';

export const guestMemoryErrors = {
  MEMORY_DUMP_MALFORMED: {
    kind: 'environment',
    summary: "A core dump of a guest's memory is not a 64-bit ELF core file, or is cut off.",
  },
  MEMORY_OUT_OF_REACH: {
    kind: 'environment',
    summary: "The host allows fewer than two ways of reading a guest's memory, so that none can be compared.",
  },
  MEMORY_READ_FAILED: { kind: 'environment', summary: "A way of reading a guest's memory stopped working half-way." },
  MEMORY_TOKEN: { kind: 'usage', summary: 'A byte string to be searched for in memory is shorter than 20 bytes.' },
} as const satisfies ErrorCatalogue;

export const guestMemoryError = errorFactory(guestMemoryErrors);
