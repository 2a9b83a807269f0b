import { equalBytes } from '../../../core/bytes.ts';
import type { HostMemory } from '../memory/host-memory.ts';
import {
  ALGORITHM,
  assemble,
  bodyOf,
  CERTIFICATE_BYTES,
  encodeBody,
  encodeEcdsaSlot,
  pointOf,
  USAGE,
} from './certificate.ts';
import { CONTEXT, NO_KEYS, sealPacket, type TransportKeys, wrapSession } from './channel.ts';
import type { CommandName } from './commands.ts';
import type { SevFirmwareBuild } from './core.ts';
import type { OpeningRequest } from './opening.ts';
import { generateKeyPair, sharedSecret, signSha256 } from './p384.ts';
import { isApiAtLeast } from './policy.ts';
import type { SecureProcessor } from './processor.ts';
import { systemRandom } from './random.ts';
import { SEV_STATUS, type SevStatus } from './status.ts';

export const SEV_ASID = 5;
const API_0_17 = 17 << 24;
const BLOCK = new Uint8Array(16);
const NO_HANDLE = 9;

/** Issues commands by their names, about the guest that was opened last, with arguments that nothing is wrong with. */
export class CommandIssuer {
  readonly #processor: SecureProcessor;
  readonly #address: number;
  readonly #hasBoundSecrets: boolean;
  #handle = NO_HANDLE;
  #keys = NO_KEYS;
  #measurement: Uint8Array = new Uint8Array(32);
  readonly #arrivals = new Map<number, Arrival>();
  #owned: Owned | undefined;

  constructor(processor: SecureProcessor, memory: HostMemory, version: SevFirmwareBuild) {
    this.#processor = processor;
    this.#address = memory.dram.allocate(2 * 4096);
    this.#hasBoundSecrets = isApiAtLeast(version, API_0_17);
  }

  /** Of the guest that commands are about; until one was opened, a handle that no guest has. */
  get handle(): number {
    return this.#handle;
  }

  /** From here on commands are about a handle that no guest has. */
  forgetGuest(): void {
    this.#handle = NO_HANDLE;
  }

  /** LAUNCH_START without a session, or RECEIVE_START of a guest from elsewhere. */
  open(command: 'LAUNCH_START' | 'RECEIVE_START', policy: number): SevStatus {
    const { launch, migration } = this.#processor;
    const arrival = command === 'RECEIVE_START' ? this.#arrival(policy) : undefined;
    const reply = arrival === undefined ? launch.start({ policy }) : migration.receiveStart(arrival.request);
    if (reply.status === SEV_STATUS.SUCCESS) {
      this.#handle = reply.handle;
      this.#keys = arrival?.keys ?? NO_KEYS;
    }
    return reply.status;
  }

  issue(command: CommandName): SevStatus {
    const { platform, guests, launch, debug, migration } = this.#processor;
    const handle = this.#handle;
    const address = this.#address;
    switch (command) {
      case 'INIT':
        return platform.init().status;
      case 'SHUTDOWN':
        return platform.shutdown().status;
      case 'FACTORY_RESET':
        return platform.factoryReset().status;
      case 'PLATFORM_STATUS':
        return platform.status().status;
      case 'PEK_GEN':
        return platform.pekGen().status;
      case 'PEK_CSR':
        return platform.pekCsr().status;
      case 'PEK_CERT_IMPORT':
        return platform.pekCertImport(...this.#ownedPek()).status;
      case 'PDH_CERT_EXPORT':
        return platform.pdhCertExport().status;
      case 'PDH_GEN':
        return platform.pdhGen().status;
      case 'DF_FLUSH':
        return this.#flush();
      case 'GET_ID':
        return platform.getId().status;
      case 'DECOMMISSION':
        return guests.decommission(handle).status;
      case 'ACTIVATE':
        return guests.activate(handle, SEV_ASID).status;
      case 'DEACTIVATE':
        return guests.deactivate(handle).status;
      case 'GUEST_STATUS':
        return guests.status(handle).status;
      case 'LAUNCH_START':
      case 'RECEIVE_START':
        return this.open(command, 0);
      case 'LAUNCH_UPDATE_DATA':
        return launch.updateData(handle, address, BLOCK.length).status;
      case 'LAUNCH_UPDATE_VMSA':
        return launch.updateVmsa(handle, address).status;
      case 'LAUNCH_MEASURE':
        return this.#measure();
      case 'LAUNCH_SECRET':
        return launch.secret(handle, { ...this.#secret(), address }).status;
      case 'LAUNCH_FINISH':
        return launch.finish(handle).status;
      case 'ATTESTATION':
        return launch.attestation(handle, BLOCK).status;
      case 'SEND_START':
        return this.#sendStart();
      case 'SEND_UPDATE_DATA':
        return migration.sendUpdateData(handle, address, BLOCK.length).status;
      case 'SEND_UPDATE_VMSA':
        return migration.sendUpdateVmsa(handle, address, BLOCK.length).status;
      case 'SEND_FINISH':
        return migration.sendFinish(handle).status;
      case 'SEND_CANCEL':
        return migration.sendCancel(handle).status;
      case 'RECEIVE_UPDATE_DATA':
        return migration.receiveUpdateData(handle, this.#packet(), address).status;
      case 'RECEIVE_UPDATE_VMSA':
        return migration.receiveUpdateVmsa(handle, this.#packet(), address).status;
      case 'RECEIVE_FINISH':
        return migration.receiveFinish(handle).status;
      case 'DBG_DECRYPT':
        return debug.decrypt(handle, address, address + 4096, BLOCK.length).status;
      case 'DBG_ENCRYPT':
        return debug.encrypt(handle, address + 4096, address, BLOCK.length).status;
    }
  }

  #flush(): SevStatus {
    this.#processor.writeBack();
    return this.#processor.platform.dfFlush().status;
  }

  #measure(): SevStatus {
    const reply = this.#processor.launch.measure(this.#handle);
    if (reply.status === SEV_STATUS.SUCCESS) this.#measurement = reply.blob.subarray(0, 32);
    return reply.status;
  }

  #secret() {
    const bound = this.#hasBoundSecrets ? this.#measurement : undefined;
    return sealPacket(this.#keys, CONTEXT.SECRET, BLOCK, BLOCK, bound);
  }

  #packet() {
    return sealPacket(this.#keys, CONTEXT.DATA, BLOCK, BLOCK);
  }

  /** To this very machine: its PDH is as good as another's. */
  #sendStart(): SevStatus {
    const none = new Uint8Array();
    const target = { pdh: this.#pdh(), platformChain: none, amdChain: none };
    return this.#processor.migration.sendStart(this.#handle, target).status;
  }

  /** What a guest that comes from elsewhere brings along: the same for the same PDH, because making it takes time. */
  #arrival(policy: number): Arrival {
    const pdh = this.#pdh();
    const known = this.#arrivals.get(policy);
    const arrival = known && equalBytes(known.pdh, pdh) ? known : createArrival(pdh, policy);
    this.#arrivals.set(policy, arrival);
    return arrival;
  }

  #pdh(): Uint8Array {
    const exported = this.#processor.platform.pdhCertExport();
    return exported.status === SEV_STATUS.SUCCESS ? exported.pdh : new Uint8Array(CERTIFICATE_BYTES);
  }

  /** PEK and OCA of an owner who signed this machine's request: the same for the same request. */
  #ownedPek(): Owned['certificates'] {
    const reply = this.#processor.platform.pekCsr();
    const request = reply.status === SEV_STATUS.SUCCESS ? reply.csr : new Uint8Array(CERTIFICATE_BYTES);
    if (this.#owned === undefined || !equalBytes(this.#owned.request, request)) this.#owned = createOwned(request);
    return this.#owned.certificates;
  }
}

interface Owned {
  readonly request: Uint8Array;
  readonly certificates: readonly [pek: Uint8Array, oca: Uint8Array];
}

function createOwned(request: Uint8Array): Owned {
  const keys = generateKeyPair(systemRandom);
  const oca = encodeBody({ apiMajor: 0, apiMinor: 0 }, USAGE.OCA, ALGORITHM.ECDSA_SHA256, keys.point);
  const sign = (body: Uint8Array) => encodeEcdsaSlot(USAGE.OCA, signSha256(body, keys.secret, systemRandom));
  return { request, certificates: [assemble(bodyOf(request), sign(bodyOf(request))), assemble(oca, sign(oca))] };
}

interface Arrival {
  readonly pdh: Uint8Array;
  readonly keys: TransportKeys;
  readonly request: OpeningRequest;
}

function createArrival(pdh: Uint8Array, policy: number): Arrival {
  const peer = generateKeyPair(systemRandom);
  const point = pointOf(pdh);
  const dhCert = assemble(encodeBody({ apiMajor: 0, apiMinor: 0 }, USAGE.PDH, ALGORITHM.ECDH_SHA256, peer.point));
  const z = point ? sharedSecret(peer.secret, point) : BLOCK;
  const keys = { tek: systemRandom(16), tik: systemRandom(16) };
  const session = wrapSession(z, keys, policy, systemRandom(16), systemRandom(16));
  return { pdh, keys, request: { policy, dhCert, session } };
}
