import { randomBytes as osRandom } from 'node:crypto';
import { Secret } from '../../core/secret.ts';
import type { AmdCaKeyBits } from '../abi/amd-ca-certificate.ts';
import type { Usage } from '../abi/codes.ts';
import { type AmdCaCertificate, encodeAmdCaCertificate, signedCaBytes } from '../certs/amd-ca.ts';
import { encodeCertChain } from '../certs/chain-files.ts';
import { type DeniedChip, ecSpkiSha256Hex } from '../certs/denied-chips.ts';
import { type EcKeyPair, generateEcKeyPair, type RandomSource } from '../certs/p384.ts';
import {
  encodeSevCertificate,
  type SevCertificate,
  type SignatureSlot,
  signedBytes,
} from '../certs/sev-certificate.ts';
import { type DefectKnobs, PLATFORM_DEFECTS, type PlatformDefect } from './platform-defects.ts';
import { amdPss, type ForgedCaKey, forgedCaKey, type PssSettings, signEcdsa, signRsa } from './signing.ts';

export interface ForgeOptions {
  /** The one thing that is wrong with the platform; nothing when absent. */
  readonly defect?: PlatformDefect | undefined;
  /** 2048 with SHA-256 as Naples has it, which is fast, or 4096 with SHA-384 as all others. */
  readonly caKeyBits?: AmdCaKeyBits | undefined;
  /** Where the platform's own keys come from; the RSA keys of its CA are made by `node:crypto`. */
  readonly random?: RandomSource | undefined;
  readonly apiMajor?: number | undefined;
  readonly apiMinor?: number | undefined;
}

/** A platform under a certificate authority of our own: everything about it is real but AMD. */
export interface ForgedPlatform {
  readonly chain: {
    readonly pdh: SevCertificate;
    readonly pek: SevCertificate;
    readonly oca: SevCertificate;
    readonly cek: SevCertificate;
    readonly ask: AmdCaCertificate;
    readonly ark: AmdCaCertificate;
  };
  /** What a verifier must be told to accept this platform. */
  readonly verification: { readonly trustedRoot: AmdCaCertificate; readonly deniedChips: readonly DeniedChip[] };
  /** Private keys of the platform, 48 bytes each, big-endian. */
  readonly privateKeys: Readonly<Record<'pdh' | 'pek' | 'oca' | 'cek', Secret<Uint8Array>>>;
  /** The same certificates as files. */
  readonly files: PlatformFiles;
}

export interface PlatformFiles {
  readonly pdh: Uint8Array;
  /** As PDH_CERT_EXPORT gives it: PEK, OCA and the CEK without AMD's signature. */
  readonly certChain: Uint8Array;
  /** The CEK signed by the ASK, as AMD's Key Distribution Service gives it. */
  readonly cek: Uint8Array;
  readonly askArk: Uint8Array;
  /** `sevctl export --full`: PDH, PEK, OCA, signed CEK, ASK, ARK. */
  readonly fullExport: Uint8Array;
}

/** Forges a whole platform, sound or with one named defect. */
export function forgePlatform(options: ForgeOptions = {}): ForgedPlatform {
  const random = options.random ?? osRandom;
  const bits = options.caKeyBits ?? 2048;
  const knobs: DefectKnobs = options.defect === undefined ? {} : PLATFORM_DEFECTS[options.defect].knobs;
  const pss = amdPss(bits);
  const fill = (length: number) => Uint8Array.from(random(length));

  const arkKey = forgedCaKey('ark', bits, knobs.arkExponent);
  const askKey = forgedCaKey('ask', bits);
  const otherCaKey = forgedCaKey('other', bits);
  const arkId = fill(16);
  const ark = signCa(
    { ...emptyCa('ARK', arkKey), keyId: arkId, certifyingId: arkId, ...knobs.ark },
    knobs.arkSignedByOther ? otherCaKey : arkKey,
    knobs.arkPss ?? pss,
  );
  const ask = signCa(
    { ...emptyCa('ASK', askKey), keyId: fill(16), certifyingId: arkId, ...knobs.ask },
    knobs.askSignedByOther ? otherCaKey : arkKey,
    knobs.askPss ?? pss,
  );

  const keys = {
    cek: generateEcKeyPair(random),
    oca: generateEcKeyPair(random),
    pek: generateEcKeyPair(random),
    pdh: generateEcKeyPair(random),
  };
  const stranger = generateEcKeyPair(random);
  const api = { apiMajor: options.apiMajor ?? 1, apiMinor: options.apiMinor ?? 51 };
  const body = (usage: Usage, key: EcKeyPair, edits: Partial<SevCertificate> | undefined): SevCertificate => ({
    usage,
    algorithm: usage === 'PDH' ? 'ECDH-SHA256' : 'ECDSA-SHA256',
    ...api,
    publicKey: key.point,
    slots: [undefined, undefined],
    ...edits,
  });

  // AMD's key server says 0.14, whatever firmware runs.
  const cekBody = body('CEK', keys.cek, { apiMajor: 0, apiMinor: 14, ...knobs.cek });
  const cekSlot = rsaSlot(knobs.cekSignedByOther ? otherCaKey : askKey, cekBody, knobs.cekPss ?? pss, bits);
  const cek = withSlots(cekBody, [cekSlot, undefined], knobs.cekSlots);
  const oca = ecdsaSigned(body('OCA', keys.oca, knobs.oca), knobs.ocaSlots, [
    ['OCA', knobs.ocaSignedByOther ? stranger : keys.oca],
  ]);
  const pek = ecdsaSigned(body('PEK', keys.pek, knobs.pek), knobs.pekSlots, [
    ['OCA', knobs.pekSignedByOtherOca ? stranger : keys.oca],
    ['CEK', knobs.pekSignedByOtherCek ? stranger : keys.cek],
  ]);
  const pdh = ecdsaSigned(body('PDH', keys.pdh, knobs.pdh), knobs.pdhSlots, [
    ['PEK', knobs.pdhSignedByOther ? stranger : keys.pek],
  ]);

  const chain = { pdh, pek, oca, cek, ask, ark };
  const trustedRoot = knobs.foreignRoot ? { ...ark, modulus: otherCaKey.modulus } : ark;
  const denied = { cekSpkiSha256Hex: ecSpkiSha256Hex(cek), what: 'a forged chip', source: 'this forger' };
  return {
    chain,
    verification: { trustedRoot, deniedChips: knobs.deniedChip ? [denied] : [] },
    privateKeys: {
      pdh: new Secret(keys.pdh.scalar),
      pek: new Secret(keys.pek.scalar),
      oca: new Secret(keys.oca.scalar),
      cek: new Secret(keys.cek.scalar),
    },
    files: encodeFiles(chain),
  };
}

function encodeFiles(chain: ForgedPlatform['chain']): PlatformFiles {
  const askArk = Buffer.concat([encodeAmdCaCertificate(chain.ask), encodeAmdCaCertificate(chain.ark)]);
  const [pdh, cek] = [encodeSevCertificate(chain.pdh), encodeSevCertificate(chain.cek)];
  return {
    pdh,
    certChain: encodeCertChain({ ...chain, cek: asExported(chain) }),
    cek,
    askArk,
    fullExport: Buffer.concat([pdh, encodeCertChain(chain), askArk]),
  };
}

/** The CEK as firmware exports it: its own API version, and no signature. */
function asExported({ cek, pek: { apiMajor, apiMinor } }: ForgedPlatform['chain']): SevCertificate {
  return { ...cek, apiMajor, apiMinor, slots: [undefined, undefined] };
}

function emptyCa(usage: 'ARK' | 'ASK', key: ForgedCaKey): AmdCaCertificate {
  const { modulus, exponent } = key;
  const id = new Uint8Array(16);
  return { usage, keyId: id, certifyingId: id, modulus, exponent, signature: new Uint8Array(modulus.length) };
}

function signCa(certificate: AmdCaCertificate, key: ForgedCaKey, settings: PssSettings): AmdCaCertificate {
  return { ...certificate, signature: signRsa(key, signedCaBytes(certificate), settings) };
}

function rsaSlot(key: ForgedCaKey, body: SevCertificate, settings: PssSettings, bits: AmdCaKeyBits): SignatureSlot {
  const field = new Uint8Array(512);
  field.set(signRsa(key, signedBytes(body), settings), field.length - key.modulus.length);
  return { signer: 'ASK', algorithm: bits === 2048 ? 'RSA-PSS-SHA256' : 'RSA-PSS-SHA384', field };
}

type Slots = SevCertificate['slots'];

function ecdsaSigned(
  body: SevCertificate,
  edit: ((slots: Slots) => Slots) | undefined,
  signers: readonly (readonly [Usage, EcKeyPair])[],
): SevCertificate {
  const [first, second] = signers.map(
    ([signer, key]): SignatureSlot => ({
      signer,
      algorithm: 'ECDSA-SHA256',
      ...signEcdsa(key, signedBytes(body)),
    }),
  );
  return withSlots(body, [first, second], edit);
}

function withSlots(body: SevCertificate, slots: Slots, edit: ((slots: Slots) => Slots) | undefined): SevCertificate {
  return { ...body, slots: edit === undefined ? slots : edit(slots) };
}
