import { concatBytes } from '../../../core/bytes.ts';
import { CERTIFICATE_BYTES } from './certificate.ts';
import { PLATFORM_STATES, type PlatformState } from './commands.ts';
import type { FirmwareCore } from './core.ts';
import { CHAIN_BYTES, CHIP_ID_BYTES } from './identity.ts';
import { fail, type Refusal, type Reply, succeed } from './status.ts';

export interface InitParameters {
  /** Enables SEV-ES; needs a trusted memory region, which the driver allocates. */
  readonly es?: { readonly trustedRegion: 'allocated' | 'missing' };
}

export interface PlatformStatus {
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly build: number;
  readonly state: PlatformState;
  readonly stateNumber: number;
  readonly isExternallyOwned: boolean;
  readonly isEsEnabled: boolean;
  readonly guestCount: number;
}

/** Commands about the platform: its life, its keys, its caches. */
export class PlatformCommands {
  readonly #core: FirmwareCore;

  constructor(core: FirmwareCore) {
    this.#core = core;
  }

  /** INIT: every ASID becomes dirty, so that the first ACTIVATE needs WBINVD and DF_FLUSH. */
  init({ es }: InitParameters = {}): Reply {
    const refusal = this.#core.refuseOnPlatform('INIT');
    if (refusal) return refusal;
    const { options, asids } = this.#core;
    if (options.isEncryptionEnabled === false) return fail('HARDWARE_PLATFORM');
    if (es && (!options.isEsCapable || es.trustedRegion === 'missing')) return fail('INVALID_CONFIG');
    this.#core.isEsEnabled = es !== undefined;
    this.#core.platformState = 'INIT';
    asids.markAllDirty();
    return succeed({});
  }

  /** SHUTDOWN: all guests and their keys are gone. */
  shutdown(): Reply {
    for (const { asid } of this.#core.guests.values()) if (asid !== undefined) this.#core.memory.dropKey(asid);
    this.#core.guests.clear();
    this.#core.platformState = 'UNINIT';
    this.#core.isEsEnabled = false;
    return succeed({});
  }

  /** PLATFORM_RESET: forgets OCA, PEK and PDH; the chip's own keys stay. */
  factoryReset(): Reply {
    const refusal = this.#core.refuseOnPlatform('FACTORY_RESET');
    if (refusal) return refusal;
    this.#core.identity.rotatePek();
    return succeed({});
  }

  status(): Reply<PlatformStatus> {
    const { options, platformState, identity, guests, isEsEnabled } = this.#core;
    const isUp = platformState !== 'UNINIT';
    return succeed({
      ...options.version,
      apiMinor: (options.version.apiMinor + (this.#core.hasFault('status-api-wrong') ? 1 : 0)) & 0xff,
      state: platformState,
      stateNumber: PLATFORM_STATES.indexOf(platformState),
      isExternallyOwned: isUp && identity.isExternallyOwned,
      isEsEnabled: isUp && isEsEnabled,
      guestCount: isUp ? guests.size : 0,
    });
  }

  pekGen(): Reply {
    const refusal = this.#core.refuseOnPlatform('PEK_GEN');
    const isWorking = this.#core.platformState === 'WORKING';
    if (refusal && !(isWorking && this.#core.hasFault('pek-gen-while-working'))) return refusal;
    this.#core.identity.rotatePek();
    return succeed({});
  }

  pdhGen(): Reply {
    const refusal = this.#core.refuseOnPlatform('PDH_GEN');
    if (refusal) return refusal;
    this.#core.identity.rotatePdh();
    return succeed({});
  }

  /** PEK_CSR into a buffer of `bufferBytes`. */
  pekCsr(bufferBytes = CERTIFICATE_BYTES): Reply<{ readonly csr: Uint8Array }> {
    const refusal = this.#core.refuseOnPlatform('PEK_CSR');
    if (refusal) return refusal;
    if (bufferBytes < CERTIFICATE_BYTES) return this.#tooShort(CERTIFICATE_BYTES);
    return succeed({ csr: this.#core.identity.signingRequest() });
  }

  pekCertImport(pek: Uint8Array, oca: Uint8Array): Reply {
    return this.#core.refuseOnPlatform('PEK_CERT_IMPORT') ?? this.#core.identity.importPek(pek, oca);
  }

  /** PDH_CERT_EXPORT: the PDH, and PEK, OCA and unsigned CEK in one buffer. */
  pdhCertExport(
    pdhBytes = CERTIFICATE_BYTES,
    chainBytes = CHAIN_BYTES,
  ): Reply<{ readonly pdh: Uint8Array; readonly chain: Uint8Array }> {
    const refusal = this.#core.refuseOnPlatform('PDH_CERT_EXPORT');
    if (refusal) return refusal;
    if (pdhBytes < CERTIFICATE_BYTES || chainBytes < CHAIN_BYTES) return this.#tooShort(CHAIN_BYTES);
    const { pdh, chain } = this.#core.identity;
    return succeed({ pdh: Uint8Array.from(pdh), chain });
  }

  /** GET_ID: 64 bytes per socket. */
  getId(bufferBytes?: number): Reply<{ readonly id: Uint8Array }> {
    const { chipIds } = this.#core.identity;
    const needed = chipIds.length * CHIP_ID_BYTES;
    if (bufferBytes !== undefined && bufferBytes < needed) return this.#tooShort(needed);
    return succeed({ id: concatBytes(...chipIds) });
  }

  /** DF_FLUSH: every core must have executed WBINVD since the last DEACTIVATE. */
  dfFlush(): Reply {
    return this.#core.asids.flush();
  }

  #tooShort(needed: number): Refusal {
    return this.#core.hasFault('short-buffer-status-wrong') ? fail('INVALID_PARAM') : fail('INVALID_LENGTH', needed);
  }
}
