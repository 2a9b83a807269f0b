import type { SevDriver } from '../firmware/driver.ts';

export { SEV_STATUS, type SevStatus, sevStatusText } from '../firmware/status.ts';

/** What the guest owner gave for a launch: both or neither. */
export interface LaunchMaterial {
  readonly dhCert: Uint8Array;
  readonly session: Uint8Array;
}

/** The firmware commands that KVM issues in the life of a guest. */
export type SevPlatform = Pick<
  SevDriver,
  | 'init'
  | 'launchStart'
  | 'activate'
  | 'launchUpdateData'
  | 'launchUpdateVmsa'
  | 'launchMeasure'
  | 'launchSecret'
  | 'launchFinish'
  | 'deactivate'
  | 'dfFlush'
  | 'decommission'
>;
