import { isSevHarnessError, type SevHarnessError } from '../../core/errors.ts';
import { fakelibvirtError } from './errors.ts';

/** libvirt's error codes with the sentence that wraps the detail (include/libvirt/virterror.h, src/util/virerror.c). */
const CODES = {
  INTERNAL_ERROR: [1, 'internal error: %s'],
  NO_CONNECT: [5, 'no connection driver available for %s'],
  NO_SUPPORT: [3, 'this function is not supported by the connection driver: %s'],
  INVALID_ARG: [8, 'invalid argument: %s'],
  OPERATION_FAILED: [9, 'operation failed: %s'],
  NO_TARGET: [20, 'missing target information for device %s'],
  NO_NAME: [21, 'missing name information'],
  XML_ERROR: [27, 'XML error: %s'],
  XML_DETAIL: [35, '%s'],
  SYSTEM_ERROR: [38, '%s'],
  RPC: [39, '%s'],
  NO_DOMAIN: [42, 'Domain not found: %s'],
  OPERATION_DENIED: [29, 'operation forbidden: %s'],
  OPERATION_INVALID: [55, 'Requested operation is not valid: %s'],
  NO_STORAGE_POOL: [49, 'Storage pool not found: %s'],
  NO_STORAGE_VOL: [50, 'Storage volume not found: %s'],
  CONFIG_UNSUPPORTED: [67, 'unsupported configuration: %s'],
  NO_DOMAIN_SNAPSHOT: [72, 'Domain snapshot not found: %s'],
  ARGUMENT_UNSUPPORTED: [74, 'argument unsupported: %s'],
  OPERATION_UNSUPPORTED: [84, 'Operation not supported: %s'],
  OVERFLOW: [82, 'numerical overflow: %s'],
  AGENT_UNRESPONSIVE: [86, 'Guest agent is not responding: %s'],
  DEVICE_MISSING: [99, 'device not found: %s'],
  MIGRATE_UNSAFE: [81, 'Unsafe migration: %s'],
  STORAGE_VOL_EXIST: [90, '%s'],
  XML_INVALID_SCHEMA: [92, 'XML document failed to validate against schema: %s'],
} as const satisfies Record<string, readonly [number, string]>;

/** virErrorDomain of the parts that report something here. */
const ERROR_DOMAINS = {
  NONE: 0,
  XML: 5,
  RPC: 7,
  QEMU: 10,
  STORAGE: 18,
  NETWORK: 19,
  DOMAIN: 20,
  NODEDEV: 22,
  INTERFACE: 26,
  SECRET: 30,
  NWFILTER: 33,
  DOMAIN_SNAPSHOT: 35,
  STREAMS: 38,
  CGROUP: 54,
  DOMAIN_CHECKPOINT: 69,
} as const;

export type RefusalCode = keyof typeof CODES;
export type ErrorDomain = keyof typeof ERROR_DOMAINS;

/** What a client receives: the fields of `remote_error` that libvirt fills. */
export interface RefusalFields {
  readonly code: number;
  readonly domain: number;
  readonly message: string;
  readonly str1: string | null;
  readonly str2: string | null;
  readonly int1: number;
}

/** A libvirt error: `detail` is put into the sentence of the code, as `virReportError` does. Code `LIBVIRT_REFUSAL`. */
export function refusal(code: RefusalCode, errorDomain: ErrorDomain, detail = ''): SevHarnessError {
  const [number, sentence] = CODES[code];
  const takesDetail = sentence.includes('%s');
  return fromFields({
    code: number,
    domain: ERROR_DOMAINS[errorDomain],
    message: takesDetail ? sentence.replace('%s', () => detail) : sentence,
    str1: sentence,
    str2: takesDetail ? detail : null,
    int1: -1,
  });
}

/** A libvirt error that carries an errno, as `virReportSystemError` does: the text ends with the errno's own. */
export function systemRefusal(errno: number, errorDomain: ErrorDomain, what: string): SevHarnessError {
  const text = `${what}: ${errnoText(errno)}`;
  return fromFields({
    code: 38,
    domain: ERROR_DOMAINS[errorDomain],
    message: text,
    str1: '%s',
    str2: text,
    int1: errno,
  });
}

/** `virCheckFlags`: the driver's function knows none of these bits. */
export function unsupportedFlags(flags: number, driverFunction: string): SevHarnessError {
  const text = `unsupported flags (0x${flags.toString(16)}) in function ${driverFunction}`;
  return invalidArgument('QEMU', text, driverFunction, 'flags');
}

/** `virReportInvalidArg`: an argument of a function, in words of its own. */
export function invalidArgument(errorDomain: ErrorDomain, message: string, of: string, argument: string) {
  const [code] = CODES.INVALID_ARG;
  return fromFields({ code, domain: ERROR_DOMAINS[errorDomain], message, str1: of, str2: argument, int1: 0 });
}

export function refusalFields(error: unknown): RefusalFields | undefined {
  return isSevHarnessError(error, 'LIBVIRT_REFUSAL') ? (error.details as unknown as RefusalFields) : undefined;
}

/** strerror of the errnos that occur here. */
export function errnoText(errno: number): string {
  return ERRNO_TEXTS[errno] ?? `Unknown error ${errno}`;
}

const ERRNO_TEXTS: Readonly<Record<number, string>> = {
  1: 'Operation not permitted',
  2: 'No such file or directory',
  3: 'No such process',
  5: 'Input/output error',
  13: 'Permission denied',
  16: 'Device or resource busy',
  22: 'Invalid argument',
  25: 'Inappropriate ioctl for device',
  39: 'Directory not empty',
  104: 'Connection reset by peer',
};

function fromFields(fields: RefusalFields): SevHarnessError {
  return fakelibvirtError('LIBVIRT_REFUSAL', fields.message, { details: { ...fields } });
}
