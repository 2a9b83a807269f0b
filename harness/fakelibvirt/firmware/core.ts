import { AsidTable } from './asids.ts';
import type { SevGeneration } from './ca.ts';
import type { TransportKeys } from './channel.ts';
import {
  type CommandName,
  GUEST_STATES,
  isAllowedOnGuest,
  isAllowedOnPlatform,
  type LiveGuestState,
  type PlatformState,
} from './commands.ts';
import type { LaunchDigest } from './digest.ts';
import { firmwareError } from './errors.ts';
import type { FirmwareFaultId, FirmwareFaults } from './faults.ts';
import { PlatformIdentity } from './identity.ts';
import { POLICY } from './policy.ts';
import { type RandomBytes, systemRandom } from './random.ts';
import { fail, type Refusal } from './status.ts';

/** The memory that the Secure Processor reaches: DRAM by system physical address, and the controller's key slots. */
export interface FirmwareMemory {
  loadKey(asid: number, key: Uint8Array): void;
  dropKey(asid: number): void;
  read(address: number, length: number): Uint8Array;
  write(address: number, bytes: Uint8Array): void;
  readEncrypted(asid: number, address: number, length: number): Uint8Array;
  writeEncrypted(asid: number, address: number, plain: Uint8Array): void;
}

export interface SevFirmwareBuild {
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly build: number;
}

export interface SecureProcessorOptions {
  readonly version: SevFirmwareBuild;
  readonly generation: SevGeneration;
  readonly memory: FirmwareMemory;
  /** CPUID 0x8000001F ECX and EDX: ASIDs `1..minSevAsid-1` are for SEV-ES guests. */
  readonly maxAsid: number;
  readonly minSevAsid: number;
  readonly isEsCapable: boolean;
  /** False when the BIOS leaves memory encryption off: INIT fails with HARDWARE_PLATFORM. */
  readonly isEncryptionEnabled?: boolean;
  /** Firmware after CVE-2025-48514 on a host with SEV-SNP initialised: SEV-ES guests are UNSUPPORTED. */
  readonly isEsRefusedBySnp?: boolean;
  readonly sockets?: number;
  /** Cores that must execute WBINVD before DF_FLUSH. */
  readonly cores?: number;
  /** Handles are 1 to this number; 1024 as in the Genoa firmware. */
  readonly maxGuests?: number;
  readonly random?: RandomBytes;
  readonly faults?: FirmwareFaults;
}

/** One guest as the firmware knows it. */
export interface GuestContext {
  readonly handle: number;
  readonly policy: number;
  readonly memoryKey: Uint8Array;
  readonly digest: LaunchDigest;
  state: LiveGuestState;
  keys: TransportKeys;
  asid: number | undefined;
  /** ACTIVATE while launching leaves the guest pending; it becomes active when it starts to run. */
  activation: 'inactive' | 'pending' | 'active';
  launchDigest: Uint8Array | undefined;
  measurement: Uint8Array | undefined;
}

/** State that the command groups share. */
export class FirmwareCore {
  readonly options: SecureProcessorOptions;
  readonly random: RandomBytes;
  readonly memory: FirmwareMemory;
  readonly identity: PlatformIdentity;
  readonly asids: AsidTable;
  readonly guests = new Map<number, GuestContext>();
  readonly maxGuests: number;
  platformState: PlatformState = 'UNINIT';
  isEsEnabled = false;
  /** Policy of the guest launched before the newest one, for a fault. */
  previousPolicy: number | undefined;
  newestPolicy: number | undefined;
  readonly #faults: FirmwareFaults;

  constructor(options: SecureProcessorOptions) {
    assertOptions(options);
    this.options = options;
    this.random = options.random ?? systemRandom;
    this.memory = options.memory;
    this.#faults = options.faults ?? new Set();
    this.maxGuests = options.maxGuests ?? 1024;
    this.asids = new AsidTable(options.maxAsid, options.cores ?? 1);
    this.identity = new PlatformIdentity({
      generation: options.generation,
      api: options.version,
      sockets: options.sockets ?? 1,
      random: this.random,
      faults: this.#faults,
    });
  }

  hasFault(id: FirmwareFaultId): boolean {
    return this.#faults.has(id);
  }

  get faults(): FirmwareFaults {
    return this.#faults;
  }

  /** INVALID_PLATFORM_STATE, or nothing. */
  refuseOnPlatform(command: CommandName) {
    return isAllowedOnPlatform(command, this.platformState) ? undefined : fail('INVALID_PLATFORM_STATE');
  }

  /** The guest of a handle, once the platform's state allows the command; else the refusal. */
  find(command: CommandName, handle: number): GuestContext | Refusal {
    return this.refuseOnPlatform(command) ?? this.guests.get(handle) ?? fail('INVALID_GUEST');
  }

  /** The same with the guest's state checked right after its handle, as most commands do. */
  admit(command: CommandName, handle: number): GuestContext | Refusal {
    const guest = this.find(command, handle);
    if (isRefusal(guest)) return guest;
    return isAllowedOnGuest(command, guest.state) ? guest : fail('INVALID_GUEST_STATE');
  }

  isEs(guest: GuestContext): boolean {
    return (guest.policy & POLICY.ES) !== 0;
  }

  firstFreeHandle(): number | undefined {
    for (let handle = 1; handle <= this.maxGuests; handle++) if (!this.guests.has(handle)) return handle;
    return undefined;
  }

  add(guest: GuestContext): void {
    this.guests.set(guest.handle, guest);
    this.platformState = 'WORKING';
    this.previousPolicy = this.newestPolicy;
    this.newestPolicy = guest.policy;
  }

  /** A pending guest becomes active when it starts to run. */
  startRunning(guest: GuestContext): void {
    if (guest.activation === 'pending' && guest.asid !== undefined) {
      guest.activation = 'active';
      this.asids.use(guest.asid);
    }
    guest.state = 'RUNNING';
  }
}

export function isRefusal(value: GuestContext | Refusal): value is Refusal {
  return 'status' in value;
}

export function guestStateNumber(state: LiveGuestState | undefined): number {
  return GUEST_STATES.indexOf(state ?? 'UNINIT');
}

function assertOptions({
  version,
  maxAsid,
  minSevAsid,
  sockets = 1,
  cores = 1,
  maxGuests = 1,
}: SecureProcessorOptions) {
  const bytes = [version.apiMajor, version.apiMinor, version.build];
  if (bytes.some((value) => !Number.isInteger(value) || value < 0 || value > 0xff)) {
    throw firmwareError(
      'FIRMWARE_OPTION_INVALID',
      `firmware version ${bytes.join('.')}: expected three numbers up to 255`,
    );
  }
  for (const [name, value] of Object.entries({ maxAsid, minSevAsid, sockets, cores, maxGuests })) {
    if (Number.isInteger(value) && value >= (name === 'maxAsid' ? 0 : 1)) continue;
    throw firmwareError('FIRMWARE_OPTION_INVALID', `${name} of the emulated firmware: expected a count, got ${value}`);
  }
}
