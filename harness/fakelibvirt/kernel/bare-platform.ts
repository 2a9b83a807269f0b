import { createHash } from 'node:crypto';
import type { SevFirmwareVersion } from '../profiles/profile.ts';
import {
  type LaunchMaterial,
  type LaunchStartResult,
  SEV_STATUS,
  type SevPlatform,
  type SevStatus,
} from './platform.ts';

/** Sizes of the two buffers of LAUNCH_START (SEV API, section 6.2). */
const DH_CERT_BYTES = 2084;
const SESSION_BYTES = 128;

/**
 * Keeps the firmware's books (handles, owners of ASIDs, what waits for DF_FLUSH) and has no keys: a session of the
 * right size is taken as good.
 */
export class BarePlatform implements SevPlatform {
  readonly #version: SevFirmwareVersion;
  readonly #asidOf = new Map<number, number | undefined>();
  readonly #owners = new Map<number, number>();
  readonly #unflushed = new Set<number>();
  #lastHandle = 0;
  #isInitialized = false;

  constructor(version: SevFirmwareVersion) {
    this.#version = version;
  }

  get guestCount(): number {
    return this.#asidOf.size;
  }

  init(): SevStatus {
    this.#isInitialized = true;
    return SEV_STATUS.SUCCESS;
  }

  launchStart(policy: number, material: LaunchMaterial | undefined): LaunchStartResult {
    if (!this.#isInitialized) return { status: SEV_STATUS.INVALID_PLATFORM_STATE };
    if (!this.#meetsApiFloor(policy)) return { status: SEV_STATUS.POLICY_FAILURE };
    if (material && (material.dhCert.length !== DH_CERT_BYTES || material.session.length !== SESSION_BYTES)) {
      return { status: SEV_STATUS.INVALID_LENGTH };
    }
    this.#lastHandle++;
    this.#asidOf.set(this.#lastHandle, undefined);
    return { status: SEV_STATUS.SUCCESS, handle: this.#lastHandle };
  }

  activate(handle: number, asid: number): SevStatus {
    if (!this.#asidOf.has(handle)) return SEV_STATUS.INVALID_GUEST;
    if (asid < 1) return SEV_STATUS.INVALID_ASID;
    if (this.#owners.has(asid)) return SEV_STATUS.ASID_OWNED;
    if (this.#unflushed.has(asid)) return SEV_STATUS.DFFLUSH_REQUIRED;
    this.#owners.set(asid, handle);
    this.#asidOf.set(handle, asid);
    return SEV_STATUS.SUCCESS;
  }

  /** Stands in for a measurement: 48 bytes, the same for each guest, that prove nothing. */
  launchMeasure(handle: number): Uint8Array | undefined {
    if (!this.#asidOf.has(handle)) return undefined;
    return new Uint8Array(createHash('sha384').update(`guest ${handle}`).digest());
  }

  launchFinish(handle: number): SevStatus {
    if (!this.#asidOf.has(handle)) return SEV_STATUS.INVALID_GUEST;
    return this.#asidOf.get(handle) === undefined ? SEV_STATUS.INACTIVE : SEV_STATUS.SUCCESS;
  }

  deactivate(handle: number): SevStatus {
    const asid = this.#asidOf.get(handle);
    if (!this.#asidOf.has(handle)) return SEV_STATUS.INVALID_GUEST;
    if (asid === undefined) return SEV_STATUS.INACTIVE;
    this.#owners.delete(asid);
    this.#unflushed.add(asid);
    this.#asidOf.set(handle, undefined);
    return SEV_STATUS.SUCCESS;
  }

  dfFlush(): SevStatus {
    this.#unflushed.clear();
    return SEV_STATUS.SUCCESS;
  }

  decommission(handle: number): SevStatus {
    if (this.#asidOf.get(handle) !== undefined) return SEV_STATUS.ACTIVE;
    return this.#asidOf.delete(handle) ? SEV_STATUS.SUCCESS : SEV_STATUS.INVALID_GUEST;
  }

  /** Policy bits 31:24 and 23:16 are the lowest firmware API that the owner accepts. */
  #meetsApiFloor(policy: number): boolean {
    const floorMinor = policy >>> 24;
    const floorMajor = (policy >>> 16) & 0xff;
    const { apiMajor, apiMinor } = this.#version;
    return apiMajor > floorMajor || (apiMajor === floorMajor && apiMinor >= floorMinor);
  }
}
