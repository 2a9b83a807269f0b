import { type ErrorCatalogue, errorFactory } from '../../core/errors.ts';

export const libvirtErrors = {
  XDR_MALFORMED: {
    kind: 'environment',
    summary: 'A peer sent bytes that are not valid XDR for the message they claim to be.',
  },
  XDR_UNENCODABLE: { kind: 'harness', summary: 'A value does not fit the protocol type it should be sent as.' },
  LIBVIRT_URI: { kind: 'usage', summary: 'A connection URI is not of a form that the client supports.' },
  LIBVIRT_CONNECT: { kind: 'environment', summary: 'No libvirt daemon could be reached at the given URI.' },
  LIBVIRT_AUTH_SASL: { kind: 'environment', summary: 'The daemon insists on SASL, which the client does not speak.' },
  LIBVIRT_AUTH_POLKIT: { kind: 'environment', summary: 'polkit on the host does not let this user use libvirt.' },
  LIBVIRT_AUTH_UNKNOWN: {
    kind: 'environment',
    summary: 'The daemon offers no way to authenticate that the client knows.',
  },
  LIBVIRT_CALL_TIMEOUT: { kind: 'environment', summary: 'The daemon did not answer a call before its deadline.' },
  LIBVIRT_CONNECTION_LOST: {
    kind: 'environment',
    summary: 'The connection to the daemon ended while something still depended on it.',
  },
  LIBVIRT_CLOSED: { kind: 'harness', summary: 'A connection was used after we closed it.' },
  LIBVIRT_PROTOCOL: { kind: 'environment', summary: 'The peer broke the rules of libvirt’s RPC protocol.' },
  LIBVIRT_REMOTE: { kind: 'product', summary: 'libvirt answered a call with an error; the whole of it is kept.' },
  LIBVIRT_STREAM_OVERFLOW: {
    kind: 'harness',
    summary: 'More stream data arrived than may wait to be read, so the stream was given up.',
  },
  LIBVIRT_ARGUMENT: { kind: 'usage', summary: 'An argument of a libvirt call is outside what the protocol allows.' },
  QEMU_MONITOR: { kind: 'product', summary: 'QEMU answered a monitor command with an error.' },
} as const satisfies ErrorCatalogue;

export const libvirtError = errorFactory(libvirtErrors);
