import { isSevHarnessError, SevHarnessError } from '../../core/errors.ts';
import { errorCodeName, errorDomainName } from './error-names.ts';
import { libvirtErrors } from './errors.ts';
import type { MessageError } from './protocol/libvirt.gen.ts';

/** libvirt's error as it came over the wire, with the names of its numbers. */
export interface RemoteErrorFields {
  readonly code: number;
  /** `VIR_ERR_NO_DOMAIN` and the like. */
  readonly codeName: string;
  readonly domain: number;
  /** `VIR_FROM_QEMU` and the like: the part of libvirt that raised it. */
  readonly domainName: string;
  readonly level: number;
  readonly message: string | null;
  readonly str1: string | null;
  readonly str2: string | null;
  readonly str3: string | null;
  readonly int1: number;
  readonly int2: number;
  /** Wire name of the procedure that was answered with it. */
  readonly procedure: string;
}

/** The numbers of `virErrorNumber` (virterror.h) that the harness acts on. */
export const VIR_ERR = {
  INTERNAL_ERROR: 1,
  NO_SUPPORT: 3,
  INVALID_ARG: 8,
  OPERATION_FAILED: 9,
  XML_ERROR: 27,
  SYSTEM_ERROR: 38,
  RPC: 39,
  NO_DOMAIN: 42,
  OPERATION_INVALID: 55,
  CONFIG_UNSUPPORTED: 67,
  OPERATION_UNSUPPORTED: 84,
  XML_INVALID_SCHEMA: 92,
} as const;

/** libvirt said no: code `LIBVIRT_REMOTE`, with the whole of libvirt's error in `remote`. */
export class RemoteError extends SevHarnessError {
  readonly remote: RemoteErrorFields;

  constructor(what: string, procedure: string, error: MessageError) {
    const { code, domain, level, message, str1, str2, str3, int1, int2 } = error;
    const codeName = errorCodeName(code);
    const domainName = errorDomainName(domain);
    const remote = { code, codeName, domain, domainName, level, message, str1, str2, str3, int1, int2, procedure };
    const text = `${what} failed: ${oneLine(message ?? 'libvirt gave no text')} (${codeName}, ${domainName})`;
    super('LIBVIRT_REMOTE', libvirtErrors.LIBVIRT_REMOTE.kind, text, { details: { remote } });
    this.remote = remote;
  }
}

/** QEMU's texts end in newlines and may span several. */
function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, '; ');
}

export function isRemoteError(value: unknown, code?: number): value is RemoteError {
  return isSevHarnessError(value) && value instanceof RemoteError && (code === undefined || value.remote.code === code);
}

export const isNoDomain = (error: unknown) => isRemoteError(error, VIR_ERR.NO_DOMAIN);
/** The driver has no such function. */
export const isNoSupport = (error: unknown) => isRemoteError(error, VIR_ERR.NO_SUPPORT);
/** The function does not fit the domain's present state. */
export const isOperationInvalid = (error: unknown) => isRemoteError(error, VIR_ERR.OPERATION_INVALID);
export const isOperationFailed = (error: unknown) => isRemoteError(error, VIR_ERR.OPERATION_FAILED);
export const isOperationUnsupported = (error: unknown) => isRemoteError(error, VIR_ERR.OPERATION_UNSUPPORTED);
export const isConfigUnsupported = (error: unknown) => isRemoteError(error, VIR_ERR.CONFIG_UNSUPPORTED);
/** Also what libvirt wraps around QEMU's own words when QEMU ends during start. */
export const isInternalError = (error: unknown) => isRemoteError(error, VIR_ERR.INTERNAL_ERROR);
export const isXmlError = (error: unknown) => isRemoteError(error, VIR_ERR.XML_ERROR);
/** The daemon does not know the procedure or the program at all, so it is older than the client needs or not libvirt. */
export const isNoSupportedProcedure = (error: unknown) =>
  isRemoteError(error, VIR_ERR.RPC) &&
  /^(unknown procedure|Cannot find program)/.test((error as RemoteError).remote.message ?? '');
