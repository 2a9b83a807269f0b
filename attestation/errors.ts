import { type ErrorCatalogue, errorFactory } from '../core/errors.ts';

/** Malformed input and misuse of the attestation library. A well-formed but wrong thing is a row, not an error. */
export const attestationErrors = {} as const satisfies ErrorCatalogue;

export const attestationError = errorFactory(attestationErrors);
