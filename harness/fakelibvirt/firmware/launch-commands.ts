import { concatBytes } from '../../../core/bytes.ts';
import { forEachPiece, isBlockAddress, isBlockLength } from './addresses.ts';
import { encodeEcdsaSlot, USAGE } from './certificate.ts';
import {
  CONTEXT,
  isPacketAuthentic,
  isPacketCompressed,
  launchMeasurement,
  NONCE_BYTES,
  openPacket,
  PACKET_HEADER_BYTES,
} from './channel.ts';
import { isAllowedOnGuest } from './commands.ts';
import { type FirmwareCore, type GuestContext, isRefusal } from './core.ts';
import { type OpeningRequest, openGuest } from './opening.ts';
import { signSha256 } from './p384.ts';
import { isApiAtLeast } from './policy.ts';
import { fail, type Reply, succeed } from './status.ts';

const VMSA_BYTES = 4096;
const MEASUREMENT_BYTES = 32 + NONCE_BYTES;
const MAX_SECRET_BYTES = 16 * 1024;
const REPORT_BYTES = 0xd0;
/** Policy word for API 0.17, from which on the MAC of a secret covers the launch measurement. */
const API_0_17 = 17 << 24;

export interface SecretPacket {
  /** FLAGS, IV and MAC, 52 bytes. */
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  /** System physical address at which the guest is to find the plain text. */
  readonly address: number;
  /** GUEST_LENGTH of the command; must equal the length of the data, which it is when absent. */
  readonly guestLength?: number;
}

/** Commands that make a measured guest (SEV API, chapter 6). */
export class LaunchCommands {
  readonly #core: FirmwareCore;

  constructor(core: FirmwareCore) {
    this.#core = core;
  }

  /** LAUNCH_START: opens the owner's session with the PDH and gives the guest a handle and a memory key. */
  start(request: OpeningRequest): Reply<{ readonly handle: number }> {
    const guest = this.#core.refuseOnPlatform('LAUNCH_START') ?? openGuest(this.#core, request, 'LUPDATE');
    if (isRefusal(guest)) return guest;
    this.#core.add(guest);
    return succeed({ handle: guest.handle });
  }

  /** LAUNCH_UPDATE_DATA: measures what stands in memory and encrypts it in place. */
  updateData(handle: number, address: number, length: number): Reply {
    const guest = this.#core.admit('LAUNCH_UPDATE_DATA', handle);
    if (isRefusal(guest)) return guest;
    return this.#load(guest, address, length, (bytes, offset) => guest.digest.addData(bytes, offset));
  }

  /** LAUNCH_UPDATE_VMSA: the same for the register state of one vCPU of a SEV-ES guest. */
  updateVmsa(handle: number, address: number, length = VMSA_BYTES): Reply {
    if (length !== VMSA_BYTES) return fail('INVALID_LENGTH');
    const guest = this.#core.admit('LAUNCH_UPDATE_VMSA', handle);
    if (isRefusal(guest)) return guest;
    if (!this.#core.isEs(guest)) return fail('UNSUPPORTED');
    return this.#load(guest, address, length, (bytes) => guest.digest.addRegisters(bytes));
  }

  /** LAUNCH_MEASURE into a buffer of `bufferBytes`: the measurement and its nonce, 48 bytes. */
  measure(handle: number, bufferBytes = MEASUREMENT_BYTES): Reply<{ readonly blob: Uint8Array }> {
    const guest = this.#core.find('LAUNCH_MEASURE', handle);
    if (isRefusal(guest)) return guest;
    const isRepeated = guest.state === 'LSECRET' && this.#core.hasFault('measure-out-of-order');
    if (!isAllowedOnGuest('LAUNCH_MEASURE', guest.state) && !isRepeated)
      return fail(this.#core.hasFault('measure-status-wrong') ? 'INVALID_GUEST' : 'INVALID_GUEST_STATE');
    if (bufferBytes < MEASUREMENT_BYTES) return fail('INVALID_LENGTH', MEASUREMENT_BYTES);
    guest.launchDigest ??= guest.digest.finish();
    const nonce = this.#core.hasFault('measure-nonce-constant')
      ? new Uint8Array(NONCE_BYTES).fill(0x5a)
      : this.#core.random(NONCE_BYTES);
    guest.measurement = this.#measurement(guest, guest.launchDigest, nonce);
    guest.state = 'LSECRET';
    return succeed({ blob: concatBytes(guest.measurement, nonce) });
  }

  /** LAUNCH_SECRET: writes the plain text, encrypted with the guest's key, and says where. */
  secret(handle: number, packet: SecretPacket): Reply<{ readonly address: number; readonly length: number }> {
    const guest = this.#core.find('LAUNCH_SECRET', handle);
    if (isRefusal(guest)) return guest;
    const { header, data, address, guestLength = data.length } = packet;
    if (!isBlockAddress(address)) return fail('INVALID_ADDRESS');
    const isLengthValid = isBlockLength(data.length, address) && data.length <= MAX_SECRET_BYTES;
    if (header.length !== PACKET_HEADER_BYTES || !isLengthValid || guestLength !== data.length) {
      return fail('INVALID_LENGTH');
    }
    const isLate = guest.state === 'RUNNING' && this.#core.hasFault('secret-while-running');
    if (guest.state !== 'LSECRET' && !isLate) return fail('INVALID_GUEST_STATE');
    if (guest.asid === undefined) return fail('INACTIVE');
    const bound = this.#boundTo(guest);
    const sealed = { context: CONTEXT.SECRET, header, data, ...(bound ? { bound } : {}) };
    const isAuthentic = isPacketAuthentic(guest.keys.tik, sealed);
    if (!isAuthentic && !this.#core.hasFault('secret-mac-unchecked')) return fail('BAD_MEASUREMENT');
    if (isPacketCompressed(sealed)) return fail('UNSUPPORTED');
    this.#core.memory.writeEncrypted(guest.asid, address, openPacket(guest.keys.tek, sealed));
    return succeed({ address, length: data.length });
  }

  /** LAUNCH_FINISH: the guest may run, and nothing can be added to it any more. */
  finish(handle: number): Reply {
    const guest = this.#core.admit('LAUNCH_FINISH', handle);
    if (isRefusal(guest)) return guest;
    this.#core.startRunning(guest);
    return succeed({});
  }

  /** ATTESTATION: digest and policy of a guest, signed by the PEK over a nonce of 16 bytes (SEV API, 6.8). */
  attestation(handle: number, nonce: Uint8Array, bufferBytes = REPORT_BYTES): Reply<{ readonly report: Uint8Array }> {
    const guest = this.#core.admit('ATTESTATION', handle);
    if (isRefusal(guest)) return guest;
    if (bufferBytes < REPORT_BYTES) return fail('INVALID_LENGTH', REPORT_BYTES);
    if (nonce.length !== NONCE_BYTES) return fail('INVALID_PARAM');
    const report = new Uint8Array(REPORT_BYTES);
    report.set(nonce, 0);
    report.set(guest.launchDigest ?? new Uint8Array(32), NONCE_BYTES);
    new DataView(report.buffer).setUint32(0x30, guest.policy, true);
    const { identity, random } = this.#core;
    const slot = encodeEcdsaSlot(USAGE.PEK, signSha256(report.subarray(0, 0x34), identity.pekKeys.secret, random));
    report.set(slot.subarray(0, 8), 0x34);
    report.set(slot.subarray(8, 8 + 144), 0x40);
    return succeed({ report });
  }

  #load(guest: GuestContext, address: number, length: number, add: (bytes: Uint8Array, offset: number) => void): Reply {
    if (guest.asid === undefined) return fail('INACTIVE');
    if (!isBlockAddress(address)) return fail('INVALID_ADDRESS');
    if (!isBlockLength(length, address)) return fail('INVALID_LENGTH');
    const { asid } = guest;
    forEachPiece(length, (offset, count) => {
      const bytes = this.#core.memory.read(address + offset, count);
      add(bytes, offset);
      this.#core.memory.writeEncrypted(asid, address + offset, bytes);
    });
    return succeed({});
  }

  #measurement(guest: GuestContext, launchDigest: Uint8Array, nonce: Uint8Array): Uint8Array {
    const { version } = this.#core.options;
    const without = (fault: Parameters<FirmwareCore['hasFault']>[0], value: number) =>
      this.#core.hasFault(fault) ? 0 : value;
    return launchMeasurement(guest.keys.tik, {
      apiMajor: without('measure-ignores-api', version.apiMajor),
      apiMinor: without('measure-ignores-api', version.apiMinor),
      build: without('measure-ignores-build', version.build),
      policy: without('measure-ignores-policy', guest.policy),
      launchDigest,
      nonce: this.#core.hasFault('measure-ignores-nonce') ? new Uint8Array(NONCE_BYTES) : nonce,
    });
  }

  /** What ties a secret to this launch. */
  #boundTo(guest: GuestContext): Uint8Array | undefined {
    const isOld = !isApiAtLeast(this.#core.options.version, API_0_17);
    return isOld || this.#core.hasFault('secret-not-bound') ? undefined : guest.measurement;
  }
}
