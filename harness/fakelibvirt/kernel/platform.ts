/** Status codes of the SEV firmware (SEV API, section "Status codes") that a launch can meet. */
export const SEV_STATUS = {
  SUCCESS: 0,
  INVALID_PLATFORM_STATE: 1,
  INVALID_LENGTH: 4,
  INVALID_CERTIFICATE: 6,
  POLICY_FAILURE: 7,
  INACTIVE: 8,
  BAD_MEASUREMENT: 11,
  ASID_OWNED: 12,
  INVALID_ASID: 13,
  DFFLUSH_REQUIRED: 15,
  INVALID_GUEST: 16,
  ACTIVE: 18,
  UNSUPPORTED: 21,
} as const;

export type SevStatus = (typeof SEV_STATUS)[keyof typeof SEV_STATUS];

/** The names QEMU prints for `fw_error` (target/i386/sev.c, sev_fw_errlist). */
export function sevStatusText(status: SevStatus): string {
  return STATUS_TEXTS[status];
}

const STATUS_TEXTS: Readonly<Record<SevStatus, string>> = {
  0: '',
  1: 'Platform state is invalid',
  4: 'Buffer too small',
  6: 'Certificate is invalid',
  7: 'Policy is not allowed',
  8: 'Guest is not active',
  11: 'Bad measurement',
  12: 'ASID is already owned',
  13: 'Invalid ASID',
  15: 'DF_FLUSH is required',
  16: 'Guest handle is invalid',
  18: 'Guest is active',
  21: 'Feature not supported',
};

/** What the guest owner gave for a launch: both or neither. */
export interface LaunchMaterial {
  readonly dhCert: Uint8Array;
  readonly session: Uint8Array;
}

export type LaunchStartResult =
  | { readonly status: 0; readonly handle: number }
  | { readonly status: Exclude<SevStatus, 0> };

/** The firmware commands that KVM issues in the life of a guest. Another implementation can add the cryptography. */
export interface SevPlatform {
  init(): SevStatus;
  launchStart(policy: number, material: LaunchMaterial | undefined): LaunchStartResult;
  activate(handle: number, asid: number): SevStatus;
  /** The 48 bytes of LAUNCH_MEASURE: measurement and nonce; undefined for a handle that is not there. */
  launchMeasure(handle: number): Uint8Array | undefined;
  launchFinish(handle: number): SevStatus;
  deactivate(handle: number): SevStatus;
  dfFlush(): SevStatus;
  decommission(handle: number): SevStatus;
}
