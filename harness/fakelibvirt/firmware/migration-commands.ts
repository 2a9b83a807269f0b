import { equalBytes } from '../../../core/bytes.ts';
import { BLOCK_BYTES, isBlockAddress, isBlockLength } from './addresses.ts';
import { emulatedCa } from './ca.ts';
import { apiOf, CERTIFICATE_BYTES, checkSignedBy, pointOf, USAGE } from './certificate.ts';
import {
  CONTEXT,
  isPacketAuthentic,
  isPacketCompressed,
  NONCE_BYTES,
  openPacket,
  PACKET_HEADER_BYTES,
  sealPacket,
  wrapSession,
} from './channel.ts';
import { type FirmwareCore, type GuestContext, isRefusal } from './core.ts';
import { CHAIN_BYTES } from './identity.ts';
import { agreeWith, type OpeningRequest, openGuest } from './opening.ts';
import { isApiAtLeast, POLICY } from './policy.ts';
import { fail, type Refusal, type Reply, SEV_STATUS, succeed } from './status.ts';

const MAX_PACKET_BYTES = 16 * 1024;

/** Who is to receive a guest. Which of these are looked at depends on the guest's policy. */
export interface SendTarget {
  readonly pdh: Uint8Array;
  /** PEK, OCA and CEK of the receiving platform; the CEK must be signed where the policy demands a SEV platform. */
  readonly platformChain: Uint8Array;
  /** ASK and ARK. */
  readonly amdChain: Uint8Array;
}

export interface TransportPacket {
  readonly header: Uint8Array;
  readonly data: Uint8Array;
}

/** SEND_* and RECEIVE_*: real, although neither QEMU nor libvirt drives them. */
export class MigrationCommands {
  readonly #core: FirmwareCore;

  constructor(core: FirmwareCore) {
    this.#core = core;
  }

  sendStart(handle: number, target: SendTarget): Reply<{ readonly session: Uint8Array; readonly policy: number }> {
    const guest = this.#core.admit('SEND_START', handle);
    if (isRefusal(guest)) return guest;
    const refusal = this.#refuseTarget(guest.policy, target);
    if (refusal) return refusal;
    if (target.pdh.length !== CERTIFICATE_BYTES) return fail('INVALID_LENGTH');
    const z = agreeWith(this.#core, target.pdh);
    if (!z) return fail('INVALID_CERTIFICATE');
    const { random } = this.#core;
    guest.keys = { tek: random(16), tik: random(16) };
    guest.state = 'SUPDATE';
    const session = wrapSession(z, guest.keys, guest.policy, random(NONCE_BYTES), random(NONCE_BYTES));
    return succeed({ session, policy: guest.policy });
  }

  sendUpdateData(handle: number, address: number, length: number): Reply<TransportPacket> {
    return this.#send('SEND_UPDATE_DATA', handle, address, length);
  }

  sendUpdateVmsa(handle: number, address: number, length: number): Reply<TransportPacket> {
    return this.#send('SEND_UPDATE_VMSA', handle, address, length);
  }

  sendFinish(handle: number): Reply {
    return this.#endSending('SEND_FINISH', handle, 'SENT');
  }

  sendCancel(handle: number): Reply {
    return this.#endSending('SEND_CANCEL', handle, 'RUNNING');
  }

  receiveStart(request: OpeningRequest): Reply<{ readonly handle: number }> {
    const refusal = this.#core.refuseOnPlatform('RECEIVE_START');
    if (refusal) return refusal;
    // Unlike a launch, a guest cannot arrive without a session.
    const guest = request.dhCert ? openGuest(this.#core, request, 'RUPDATE') : fail('INVALID_LENGTH');
    if (isRefusal(guest)) return guest;
    this.#core.add(guest);
    return succeed({ handle: guest.handle });
  }

  receiveUpdateData(handle: number, packet: TransportPacket, address: number): Reply {
    return this.#receive('RECEIVE_UPDATE_DATA', handle, packet, address);
  }

  receiveUpdateVmsa(handle: number, packet: TransportPacket, address: number): Reply {
    return this.#receive('RECEIVE_UPDATE_VMSA', handle, packet, address);
  }

  receiveFinish(handle: number): Reply {
    const guest = this.#core.admit('RECEIVE_FINISH', handle);
    if (isRefusal(guest)) return guest;
    this.#core.startRunning(guest);
    return succeed({});
  }

  /** What the policy says about the receiving platform. */
  #refuseTarget(policy: number, target: SendTarget): Refusal | undefined {
    if ((policy & POLICY.NOSEND) !== 0) return fail('POLICY_FAILURE');
    if ((policy & (POLICY.SEV | POLICY.DOMAIN)) === 0) return undefined;
    if (target.platformChain.length !== CHAIN_BYTES || target.pdh.length !== CERTIFICATE_BYTES) {
      return fail('INVALID_LENGTH');
    }
    const [pek, oca, cek] = [0, 1, 2].map((index) =>
      target.platformChain.subarray(index * CERTIFICATE_BYTES, (index + 1) * CERTIFICATE_BYTES),
    ) as [Uint8Array, Uint8Array, Uint8Array];
    if ((policy & POLICY.SEV) !== 0) {
      const ca = emulatedCa(this.#core.options.generation);
      if (!ca.isOwnChain(target.amdChain)) return fail('INVALID_CERTIFICATE');
      if (!ca.hasSignedCek(cek)) return fail('BAD_SIGNATURE');
      const refusal = firstFailure([pek, USAGE.CEK, cek], [target.pdh, USAGE.PEK, pek]);
      if (refusal) return refusal;
      if (!isApiAtLeast(apiOf(pek), policy)) return fail('POLICY_FAILURE');
    }
    if ((policy & POLICY.DOMAIN) !== 0) {
      const refusal = firstFailure([oca, USAGE.OCA, oca], [pek, USAGE.OCA, oca], [target.pdh, USAGE.PEK, pek]);
      if (refusal) return refusal;
      if (!equalBytes(oca, this.#core.identity.oca)) return fail('POLICY_FAILURE');
    }
    return undefined;
  }

  #send(
    command: 'SEND_UPDATE_DATA' | 'SEND_UPDATE_VMSA',
    handle: number,
    address: number,
    length: number,
  ): Reply<TransportPacket> {
    const ready = this.#ready(command, handle);
    if ('status' in ready) return ready;
    if (!isPacketLength(length, address)) return fail('INVALID_LENGTH');
    if (!isBlockAddress(address)) return fail('INVALID_ADDRESS');
    const plain = this.#core.memory.readEncrypted(ready.asid, address, length);
    return succeed(sealPacket(ready.guest.keys, CONTEXT.DATA, plain, this.#core.random(BLOCK_BYTES)));
  }

  #receive(
    command: 'RECEIVE_UPDATE_DATA' | 'RECEIVE_UPDATE_VMSA',
    handle: number,
    { header, data }: TransportPacket,
    address: number,
  ): Reply {
    const ready = this.#ready(command, handle);
    if ('status' in ready) return ready;
    if (header.length !== PACKET_HEADER_BYTES || !isPacketLength(data.length, address)) return fail('INVALID_LENGTH');
    if (!isBlockAddress(address)) return fail('INVALID_ADDRESS');
    const packet = { context: CONTEXT.DATA, header, data };
    if (isPacketCompressed(packet)) return fail('UNSUPPORTED');
    if (!isPacketAuthentic(ready.guest.keys.tik, packet)) return fail('BAD_MEASUREMENT');
    this.#core.memory.writeEncrypted(ready.asid, address, openPacket(ready.guest.keys.tek, packet));
    return succeed({});
  }

  /** A guest in the state of the command that has an ASID; registers travel only for SEV-ES guests. */
  #ready(
    command: 'SEND_UPDATE_DATA' | 'SEND_UPDATE_VMSA' | 'RECEIVE_UPDATE_DATA' | 'RECEIVE_UPDATE_VMSA',
    handle: number,
  ): { readonly guest: GuestContext; readonly asid: number } | Refusal {
    const guest = this.#core.admit(command, handle);
    if (isRefusal(guest)) return guest;
    if (command.endsWith('VMSA') && !this.#core.isEs(guest)) return fail('UNSUPPORTED');
    return guest.asid === undefined ? fail('INACTIVE') : { guest, asid: guest.asid };
  }

  #endSending(command: 'SEND_FINISH' | 'SEND_CANCEL', handle: number, state: 'SENT' | 'RUNNING'): Reply {
    const guest = this.#core.admit(command, handle);
    if (isRefusal(guest)) return guest;
    guest.state = state;
    return succeed({});
  }
}

function firstFailure(...links: readonly (readonly [Uint8Array, number, Uint8Array])[]) {
  for (const [certificate, signerUsage, signer] of links) {
    const point = pointOf(signer);
    if (!point) return fail('INVALID_CERTIFICATE');
    const status = checkSignedBy(certificate, signerUsage, point);
    if (status !== SEV_STATUS.SUCCESS) return { status };
  }
  return undefined;
}

function isPacketLength(length: number, address: number): boolean {
  return isBlockLength(length, address) && length <= MAX_PACKET_BYTES;
}
