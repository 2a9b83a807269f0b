import { createECDH } from 'node:crypto';
import { concatBytes, equalBytes } from '../../../core/bytes.ts';
import { emulatedCa, type SevGeneration } from './ca.ts';
import {
  ALGORITHM,
  type ApiVersion,
  assemble,
  bodyOf,
  CERTIFICATE_BYTES,
  checkSignedBy,
  EMPTY_SLOT,
  encodeBody,
  encodeEcdsaSlot,
  isOfKind,
  pointOf,
  slotOf,
  USAGE,
} from './certificate.ts';
import type { FirmwareFaultId, FirmwareFaults } from './faults.ts';
import { generateKeyPair, type KeyPair, keyAgreement, type Point, signSha256 } from './p384.ts';
import type { RandomBytes } from './random.ts';
import { fail, type Reply, SEV_STATUS, type SevFailure, succeed } from './status.ts';

export const CHAIN_BYTES = 3 * CERTIFICATE_BYTES;
export const CHIP_ID_BYTES = 64;
/** CEKs that AMD's key server hands out say API 0.14, whatever firmware runs. */
const KDS_CEK_API: ApiVersion = { apiMajor: 0, apiMinor: 14 };

export interface IdentityOptions {
  readonly generation: SevGeneration;
  readonly api: ApiVersion;
  readonly sockets: number;
  readonly random: RandomBytes;
  readonly faults: FirmwareFaults;
}

interface Owned {
  readonly certificate: Uint8Array;
  readonly keys: KeyPair;
}

/** The keys of one machine: chip id and CEK from its fuses; OCA, PEK and PDH, which live in persistent storage. */
export class PlatformIdentity {
  readonly chipIds: readonly Uint8Array[];
  readonly #options: IdentityOptions;
  readonly #cek: KeyPair;
  #oca: Uint8Array;
  #pek: Owned;
  #pdh: Owned;
  #agreement: ReturnType<typeof keyAgreement> | undefined;
  #previousPdhKeys: KeyPair | undefined;
  #isExternallyOwned = false;

  constructor(options: IdentityOptions) {
    this.#options = options;
    this.chipIds = Array.from({ length: options.sockets }, () => createChipId(options.random));
    this.#cek = generateKeyPair(options.random);
    ({ oca: this.#oca, pek: this.#pek } = this.#createOwner());
    this.#pdh = this.#createPdh();
  }

  get isExternallyOwned(): boolean {
    return this.#isExternallyOwned;
  }

  get pdhKeys(): KeyPair {
    return this.#pdh.keys;
  }

  /** Of the PDH before this one, for a fault. */
  get previousPdhKeys(): KeyPair | undefined {
    return this.#previousPdhKeys;
  }

  /** Z of ECDH between the PDH and a point on the curve. */
  agreeWith(point: Point): Uint8Array {
    this.#agreement ??= keyAgreement(this.#pdh.keys.secret);
    return this.#agreement(point);
  }

  get pekKeys(): KeyPair {
    return this.#pek.keys;
  }

  get pdh(): Uint8Array {
    return this.#pdh.certificate;
  }

  get oca(): Uint8Array {
    return this.#oca;
  }

  /** PEK, OCA and CEK; the CEK is unsigned, because the firmware has only its key. */
  get chain(): Uint8Array {
    return concatBytes(this.#pek.certificate, this.#oca, assemble(this.#cekBody(this.#options.api)));
  }

  /** The CEK with the signature of the emulated authority: what its key server gives for the chip id. */
  signedCek(): Uint8Array {
    const body = this.#cekBody(KDS_CEK_API);
    return assemble(body, emulatedCa(this.#options.generation).signCek(body));
  }

  /** New OCA, PEK and PDH; the platform owns itself. */
  rotatePek(): void {
    this.#isExternallyOwned = false;
    if (this.#options.faults.has('pek-not-rotated')) return;
    ({ oca: this.#oca, pek: this.#pek } = this.#createOwner('rotated-pek-signed-by-wrong-key'));
    this.#replacePdh();
  }

  rotatePdh(): void {
    if (!this.#options.faults.has('pdh-not-rotated')) this.#replacePdh();
  }

  /** The body of the PEK with both slots empty, for an owner to sign. */
  signingRequest(): Uint8Array {
    return assemble(bodyOf(this.#pek.certificate));
  }

  /** Takes a PEK that an owner's OCA has signed. */
  importPek(pek: Uint8Array, oca: Uint8Array): Reply {
    if (this.#isExternallyOwned) return fail('ALREADY_OWNED');
    if (pek.length !== CERTIFICATE_BYTES || oca.length !== CERTIFICATE_BYTES) return fail('INVALID_LENGTH');
    const owner = pointOf(oca);
    if (!owner || !isOfKind(oca, USAGE.OCA, ALGORITHM.ECDSA_SHA256)) return fail('INVALID_CERTIFICATE');
    for (const certificate of [oca, pek]) {
      const status = checkSignedBy(certificate, USAGE.OCA, owner);
      if (status !== SEV_STATUS.SUCCESS) return { status: status as SevFailure };
    }
    if (!equalBytes(bodyOf(pek), bodyOf(this.#pek.certificate))) return fail('INVALID_CERTIFICATE');
    const certificate = assemble(
      bodyOf(pek),
      slotOf(pek, USAGE.OCA),
      slotOf(this.#pek.certificate, USAGE.CEK) ?? EMPTY_SLOT,
    );
    this.#oca = Uint8Array.from(oca);
    this.#pek = { certificate, keys: this.#pek.keys };
    this.#replacePdh();
    this.#isExternallyOwned = true;
    return succeed({});
  }

  #createOwner(fault: FirmwareFaultId = 'pek-signed-by-wrong-key'): { oca: Uint8Array; pek: Owned } {
    const { api, random, faults } = this.#options;
    const ocaKeys = generateKeyPair(random);
    const ocaBody = encodeBody(api, USAGE.OCA, ALGORITHM.ECDSA_SHA256, ocaKeys.point);
    const pekKeys = generateKeyPair(random);
    const pekBody = encodeBody(api, USAGE.PEK, ALGORITHM.ECDSA_SHA256, pekKeys.point);
    const byOca = (body: Uint8Array) => encodeEcdsaSlot(USAGE.OCA, signSha256(body, ocaKeys.secret, random));
    const isWrong = faults.has('pek-signed-by-wrong-key') || faults.has(fault);
    const chipSecret = isWrong ? generateKeyPair(random).secret : this.#cek.secret;
    const byCek = encodeEcdsaSlot(USAGE.CEK, signSha256(pekBody, chipSecret, random));
    return {
      oca: assemble(ocaBody, byOca(ocaBody)),
      pek: { keys: pekKeys, certificate: assemble(pekBody, byOca(pekBody), byCek) },
    };
  }

  #replacePdh(): void {
    this.#previousPdhKeys = this.#pdh.keys;
    this.#pdh = this.#createPdh();
    this.#agreement = undefined;
  }

  #createPdh(): Owned {
    const { api, random, faults } = this.#options;
    const keys = generateKeyPair(random);
    const body = encodeBody(api, USAGE.PDH, ALGORITHM.ECDH_SHA256, keys.point);
    const secret = faults.has('pdh-signed-by-wrong-key') ? generateKeyPair(random).secret : this.#pek.keys.secret;
    return { keys, certificate: assemble(body, encodeEcdsaSlot(USAGE.PEK, signSha256(body, secret, random))) };
  }

  #cekBody(api: ApiVersion): Uint8Array {
    return encodeBody(api, USAGE.CEK, ALGORITHM.ECDSA_SHA256, this.#cek.point);
  }
}

/** The public point of a chip-unique P-256 key: x and y, 32 bytes each, big-endian. */
function createChipId(random: RandomBytes): Uint8Array {
  const ecdh = createECDH('prime256v1');
  const secret = random(32);
  // Below the order of the curve whatever was drawn, and not zero.
  secret[0] = 0;
  secret[31] = (secret[31] as number) | 1;
  ecdh.setPrivateKey(secret);
  return new Uint8Array(ecdh.getPublicKey().subarray(1));
}
