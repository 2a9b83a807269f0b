import { equalBytes } from '../../../core/bytes.ts';
import { HostMemory } from '../memory/host-memory.ts';
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
import type { CommandName, GuestState, PlatformState } from './commands.ts';
import type { SecureProcessorOptions } from './core.ts';
import type { OpeningRequest } from './opening.ts';
import { generateKeyPair, sharedSecret, signSha256 } from './p384.ts';
import { isApiAtLeast, POLICY } from './policy.ts';
import { SecureProcessor } from './processor.ts';
import { systemRandom } from './random.ts';
import { SEV_STATUS, type SevStatus } from './status.ts';

const ASIDS = { maxAsid: 8, minSevAsid: 5 };
const [SEV_ASID, ES_ASID] = [5, 1];
const API_0_17 = 17 << 24;
const BLOCK = new Uint8Array(16);
const NO_HANDLE = 9;

/** Where a command is to be tried; `UNINIT` of a guest means a handle that no guest has. */
export interface ProbeState {
  readonly platform: PlatformState;
  readonly guest: GuestState;
}

/**
 * A firmware of its own, driven by commands into a state, in which one command with right arguments is issued.
 *
 * It shares version and faults with the host's firmware and nothing else, so that trying a command harms no guest.
 */
export class StateProbe {
  readonly #processor: SecureProcessor;
  readonly #memory = new HostMemory({ tweak: 'per-boot', random: systemRandom });
  readonly #address: number;
  readonly #hasBoundSecrets: boolean;
  #handle = NO_HANDLE;
  #keys = NO_KEYS;
  #measurement: Uint8Array = new Uint8Array(32);
  readonly #arrivals = new Map<number, Arrival>();
  #owned: Owned | undefined;

  constructor({ version, generation, faults }: Pick<SecureProcessorOptions, 'version' | 'generation' | 'faults'>) {
    this.#address = this.#memory.dram.allocate(2 * 4096);
    this.#hasBoundSecrets = isApiAtLeast(version, API_0_17);
    this.#processor = new SecureProcessor({
      version,
      generation,
      memory: this.#memory,
      ...ASIDS,
      isEsCapable: true,
      ...(faults === undefined ? {} : { faults }),
    });
  }

  try(command: CommandName, { platform, guest }: ProbeState): SevStatus {
    this.#enter(platform, guest, command);
    return this.#issue(command);
  }

  #enter(platform: PlatformState, guest: GuestState, command: CommandName): void {
    this.#processor.platform.shutdown();
    this.#handle = NO_HANDLE;
    this.#keys = NO_KEYS;
    if (platform === 'UNINIT') return;
    this.#processor.platform.init({ es: { trustedRegion: 'allocated' } });
    this.#flush();
    if (platform === 'INIT') return;
    const isAboutRegisters = command.endsWith('VMSA');
    const policy = isAboutRegisters ? POLICY.ES : 0;
    if (guest === 'UNINIT') {
      this.#processor.launch.start({ policy });
      return;
    }
    const opened =
      guest === 'RUPDATE'
        ? this.#processor.migration.receiveStart(this.#arrival(policy))
        : this.#processor.launch.start({ policy });
    this.#handle = 'handle' in opened ? opened.handle : NO_HANDLE;
    if (command !== 'ACTIVATE' && command !== 'DECOMMISSION') {
      this.#processor.guests.activate(this.#handle, isAboutRegisters ? ES_ASID : SEV_ASID);
    }
    this.#advance(guest);
  }

  /** From LUPDATE along the life of a guest; a guest that arrives stays where it is. */
  #advance(guest: GuestState): void {
    const { launch, migration } = this.#processor;
    const order: readonly (readonly [GuestState, () => unknown])[] = [
      ['LSECRET', () => this.#measure()],
      ['RUNNING', () => launch.finish(this.#handle)],
      ['SUPDATE', () => this.#sendStart()],
      ['SENT', () => migration.sendFinish(this.#handle)],
    ];
    const last = order.findIndex(([state]) => state === guest);
    for (const [, step] of order.slice(0, last + 1)) step();
  }

  #issue(command: CommandName): SevStatus {
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
        return launch.start({ policy: 0 }).status;
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
      case 'RECEIVE_START':
        return migration.receiveStart(this.#arrival(0)).status;
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
  #arrival(policy: number): OpeningRequest {
    const pdh = this.#pdh();
    const known = this.#arrivals.get(policy);
    const arrival = known && equalBytes(known.pdh, pdh) ? known : createArrival(pdh, policy);
    this.#arrivals.set(policy, arrival);
    this.#keys = arrival.keys;
    return arrival.request;
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
