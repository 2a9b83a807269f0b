import { type ErrorCatalogue, errorFactory } from '../../core/errors.ts';

export const libvirtErrors = {
  XDR_MALFORMED: {
    kind: 'environment',
    summary: 'A peer sent bytes that are not valid XDR for the message they claim to be.',
  },
  XDR_UNENCODABLE: { kind: 'harness', summary: 'A value does not fit the protocol type it should be sent as.' },
} as const satisfies ErrorCatalogue;

export const libvirtError = errorFactory(libvirtErrors);
