/** Status codes of the SEV firmware (SEV API, "Status codes"; names and numbers as in Linux psp-sev.h). */
export const SEV_STATUS = {
  SUCCESS: 0x00,
  INVALID_PLATFORM_STATE: 0x01,
  INVALID_GUEST_STATE: 0x02,
  INVALID_CONFIG: 0x03,
  INVALID_LENGTH: 0x04,
  ALREADY_OWNED: 0x05,
  INVALID_CERTIFICATE: 0x06,
  POLICY_FAILURE: 0x07,
  INACTIVE: 0x08,
  INVALID_ADDRESS: 0x09,
  BAD_SIGNATURE: 0x0a,
  BAD_MEASUREMENT: 0x0b,
  ASID_OWNED: 0x0c,
  INVALID_ASID: 0x0d,
  WBINVD_REQUIRED: 0x0e,
  DF_FLUSH_REQUIRED: 0x0f,
  INVALID_GUEST: 0x10,
  INVALID_COMMAND: 0x11,
  ACTIVE: 0x12,
  HARDWARE_PLATFORM: 0x13,
  HARDWARE_UNSAFE: 0x14,
  UNSUPPORTED: 0x15,
  INVALID_PARAM: 0x16,
  RESOURCE_LIMIT: 0x17,
  SECURE_DATA_INVALID: 0x18,
} as const;

export type SevStatusName = keyof typeof SEV_STATUS;
export type SevStatus = (typeof SEV_STATUS)[SevStatusName];
export type SevFailure = Exclude<SevStatus, 0>;

/** A status that is not success; for a short buffer with the length it needs. */
export interface Refusal {
  readonly status: SevFailure;
  readonly requiredBytes?: number;
}

/** What a command answers: its outputs, or a refusal. */
export type Reply<T extends object = Record<never, never>> =
  | ({ readonly status: typeof SEV_STATUS.SUCCESS } & T)
  | Refusal;

export function succeed<T extends object>(outputs: T): Reply<T> {
  return { status: SEV_STATUS.SUCCESS, ...outputs };
}

export function fail(name: Exclude<SevStatusName, 'SUCCESS'>, requiredBytes?: number): Refusal {
  return { status: SEV_STATUS[name], ...(requiredBytes === undefined ? {} : { requiredBytes }) };
}

export function sevStatusName(status: SevStatus): SevStatusName {
  return NAMES[status] as SevStatusName;
}

/** The text that QEMU prints for `fw_error` (target/i386/sev.c, sev_fw_errlist). */
export function sevStatusText(status: SevStatus): string {
  return QEMU_TEXTS[status] as string;
}

const NAMES = Object.keys(SEV_STATUS);

const QEMU_TEXTS = [
  '',
  'Platform state is invalid',
  'Guest state is invalid',
  'Platform configuration is invalid',
  'Buffer too small',
  'Platform is already owned',
  'Certificate is invalid',
  'Policy is not allowed',
  'Guest is not active',
  'Invalid address',
  'Bad signature',
  'Bad measurement',
  'ASID is already owned',
  'Invalid ASID',
  'WBINVD is required',
  'DF_FLUSH is required',
  'Guest handle is invalid',
  'Invalid command',
  'Guest is active',
  'Hardware error',
  'Hardware unsafe',
  'Feature not supported',
  'Invalid parameter',
  'Required firmware resource depleted',
  'Part-specific integrity check failure',
];
