import { constants, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { concatBytes, equalBytes } from '../../../core/bytes.ts';
import { ALGORITHM, bodyOf, encodeSlot, fromLittleEndian, slotOf, toLittleEndian, USAGE } from './certificate.ts';

/** EPYC generations by the certificate chain that AMD gives them. */
export type SevGeneration = 'naples' | 'rome' | 'milan' | 'genoa' | 'turin';

/** Layout of ARK and ASK (SEV API, appendix C.2). */
const KEY_ID_OFFSET = 0x04;
const ISSUER_ID_OFFSET = 0x14;
const USAGE_OFFSET = 0x24;
const EXPONENT_BITS_OFFSET = 0x38;
const MODULUS_BITS_OFFSET = 0x3c;
const HEADER_BYTES = 0x40;
const KEY_ID_BYTES = 16;

/** Every key id of an emulated authority begins with this; AMD's are random numbers. */
const EMULATED_PREFIX = 'EMULATED-A';

export interface EmulatedCa {
  /** Binary form, self-signed. */
  readonly ark: Uint8Array;
  /** Binary form, signed by the ARK. */
  readonly ask: Uint8Array;
  /** The signature slot that goes into a CEK. */
  signCek(body: Uint8Array): Uint8Array;
  /** True when the CEK of another emulated host of this generation carries this authority's signature. */
  hasSignedCek(cek: Uint8Array): boolean;
  /** True for the ASK followed by the ARK, byte for byte. */
  isOwnChain(askAndArk: Uint8Array): boolean;
}

interface RsaScheme {
  readonly bits: 2048 | 4096;
  readonly hash: 'sha256' | 'sha384';
  readonly saltLength: number;
  readonly algorithm: number;
}

const SCHEME_2048: RsaScheme = { bits: 2048, hash: 'sha256', saltLength: 32, algorithm: ALGORITHM.RSA_SHA256 };
const SCHEME_4096: RsaScheme = { bits: 4096, hash: 'sha384', saltLength: 48, algorithm: ALGORITHM.RSA_SHA384 };

interface RsaPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Making 4096-bit keys takes seconds: once per process and size, when the first host asks for its chain. */
const pairs = new Map<number, { readonly ark: RsaPair; readonly ask: RsaPair }>();
const authorities = new Map<SevGeneration, EmulatedCa>();

/** The authority that signs the CEKs of all emulated hosts of a generation in this process; plainly not AMD's. */
export function emulatedCa(generation: SevGeneration): EmulatedCa {
  const known = authorities.get(generation);
  if (known) return known;
  const made = createCa(generation);
  authorities.set(generation, made);
  return made;
}

/** True when the key id of an ARK or ASK says that it is an emulated one. */
export function isEmulatedCaCertificate(certificate: Uint8Array): boolean {
  return Buffer.from(certificate.subarray(KEY_ID_OFFSET, KEY_ID_OFFSET + EMULATED_PREFIX.length)).equals(
    Buffer.from(EMULATED_PREFIX),
  );
}

function createCa(generation: SevGeneration): EmulatedCa {
  const scheme = generation === 'naples' ? SCHEME_2048 : SCHEME_4096;
  const keys = keysOf(scheme);
  const arkId = keyId('ARK', generation);
  const ark = createCertificate(
    scheme,
    keys.ark,
    { id: arkId, issuerId: arkId, usage: USAGE.ARK },
    keys.ark.privateKey,
  );
  const askNames = { id: keyId('ASK', generation), issuerId: arkId, usage: USAGE.ASK };
  const ask = createCertificate(scheme, keys.ask, askNames, keys.ark.privateKey);
  return {
    ark,
    ask,
    signCek: (body) => encodeSlot(USAGE.ASK, scheme.algorithm, signature(scheme, keys.ask.privateKey, body)),
    hasSignedCek: (cek) => {
      const slot = slotOf(cek, USAGE.ASK);
      if (!slot) return false;
      const bigEndian = slot.slice(8, 8 + scheme.bits / 8).reverse();
      const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: scheme.saltLength };
      return verify(scheme.hash, bodyOf(cek), { key: keys.ask.publicKey, ...padding }, bigEndian);
    },
    isOwnChain: (askAndArk) => equalBytes(askAndArk, concatBytes(ask, ark)),
  };
}

function keysOf({ bits }: RsaScheme): { readonly ark: RsaPair; readonly ask: RsaPair } {
  const known = pairs.get(bits);
  if (known) return known;
  const made = {
    ark: generateKeyPairSync('rsa', { modulusLength: bits }),
    ask: generateKeyPairSync('rsa', { modulusLength: bits }),
  };
  pairs.set(bits, made);
  return made;
}

function createCertificate(
  scheme: RsaScheme,
  subject: RsaPair,
  names: { readonly id: Uint8Array; readonly issuerId: Uint8Array; readonly usage: number },
  signer: KeyObject,
): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, 1, true);
  header.set(names.id, KEY_ID_OFFSET);
  header.set(names.issuerId, ISSUER_ID_OFFSET);
  view.setUint32(USAGE_OFFSET, names.usage, true);
  view.setUint32(EXPONENT_BITS_OFFSET, scheme.bits, true);
  view.setUint32(MODULUS_BITS_OFFSET, scheme.bits, true);
  const { e = '', n = '' } = subject.publicKey.export({ format: 'jwk' });
  const numbers = [e, n].map((text) => {
    const bigEndian = Buffer.from(text, 'base64url');
    return toLittleEndian(fromLittleEndian(bigEndian.reverse()), scheme.bits / 8);
  });
  const signed = concatBytes(header, ...numbers);
  return concatBytes(signed, signature(scheme, signer, signed));
}

/** RSASSA-PSS, MGF1 with the same hash, salt as long as the hash; the number is stored little-endian. */
function signature(scheme: RsaScheme, key: KeyObject, message: Uint8Array): Uint8Array {
  const padding = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: scheme.saltLength };
  return new Uint8Array(sign(scheme.hash, message, { key, ...padding }).reverse());
}

/** 16 characters, like `EMULATED-ARK-NAP`. */
function keyId(role: 'ARK' | 'ASK', generation: SevGeneration): Uint8Array {
  return new Uint8Array(Buffer.from(`EMULATED-${role}-${generation.toUpperCase()}`)).subarray(0, KEY_ID_BYTES);
}
