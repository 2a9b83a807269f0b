import { emulatedCa } from './ca.ts';
import { FirmwareCore, type SecureProcessorOptions } from './core.ts';
import { DebugCommands } from './debug-commands.ts';
import { GuestCommands } from './guest-commands.ts';
import { LaunchCommands } from './launch-commands.ts';
import { MigrationCommands } from './migration-commands.ts';
import { PlatformCommands } from './platform-commands.ts';

/** What the emulated key server has for this machine; none of it comes from AMD. */
export interface EmulatedEndorsements {
  /** The CEK with its signature, 2084 bytes. */
  readonly cek: Uint8Array;
  /** ASK, then ARK, in binary form. */
  readonly ask: Uint8Array;
  readonly ark: Uint8Array;
}

/**
 * The AMD Secure Processor of one emulated host, with keys of its own (SEV API, document 55766).
 *
 * Every command answers with the status code that the specification gives it. A wrong argument of a guest, an owner or
 * the host is such a status and never an exception.
 */
export class SecureProcessor {
  readonly platform: PlatformCommands;
  readonly guests: GuestCommands;
  readonly launch: LaunchCommands;
  readonly debug: DebugCommands;
  readonly migration: MigrationCommands;
  readonly #core: FirmwareCore;

  /** Throws FIRMWARE_OPTION_INVALID. */
  constructor(options: SecureProcessorOptions) {
    this.#core = new FirmwareCore(options);
    this.platform = new PlatformCommands(this.#core);
    this.guests = new GuestCommands(this.#core);
    this.launch = new LaunchCommands(this.#core);
    this.debug = new DebugCommands(this.#core);
    this.migration = new MigrationCommands(this.#core);
  }

  /** The instruction WBINVD on one core of the host, or on all of them; not a command of the firmware. */
  writeBack(core?: number): void {
    this.#core.asids.writeBack(core);
  }

  /** Signed CEK, ASK and ARK. The first call in a process makes RSA keys, which takes up to seconds. */
  endorsements(): EmulatedEndorsements {
    const { ask, ark } = emulatedCa(this.#core.options.generation);
    return { cek: this.#core.identity.signedCek(), ask, ark };
  }
}
