import { constants, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { AmdCaKeyBits } from '../abi/amd-ca-certificate.ts';
import type { EcdsaSignature, EcKeyPair } from '../certs/p384.ts';
import { P384_BYTES } from '../certs/p384.ts';
import type { RsaPublicKey } from '../certs/rsa-pss.ts';

/** An RSA key of a forged certificate authority. */
export interface ForgedCaKey extends RsaPublicKey {
  readonly privateKey: KeyObject;
}

export type PssSettings =
  | { readonly padding?: 'pss'; readonly hash: 'sha256' | 'sha384' | 'sha512'; readonly saltLength: number }
  | { readonly padding: 'pkcs1'; readonly hash: 'sha256' | 'sha384' };

const keys = new Map<string, ForgedCaKey>();

/** The RSA key of this name and size; made once in a process, because 4096 bits take a second and more. */
export function forgedCaKey(name: string, bits: AmdCaKeyBits, exponent = 65537): ForgedCaKey {
  const id = `${name}/${bits}/${exponent}`;
  const known = keys.get(id);
  if (known !== undefined) return known;
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: bits, publicExponent: exponent });
  const { n = '', e = '' } = publicKey.export({ format: 'jwk' });
  const key = {
    privateKey,
    modulus: Uint8Array.from(Buffer.from(n, 'base64url')),
    exponent: BigInt(`0x${Buffer.from(e, 'base64url').toString('hex')}`),
  };
  keys.set(id, key);
  return key;
}

/** What AMD's CA with a key of this size signs with. */
export function amdPss(bits: AmdCaKeyBits): PssSettings {
  return bits === 2048 ? { hash: 'sha256', saltLength: 32 } : { hash: 'sha384', saltLength: 48 };
}

/** An RSA signature, big-endian, as long as the modulus. */
export function signRsa(key: ForgedCaKey, message: Uint8Array, settings: PssSettings): Uint8Array {
  const options =
    settings.padding === 'pkcs1'
      ? { key: key.privateKey, padding: constants.RSA_PKCS1_PADDING }
      : { key: key.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: settings.saltLength };
  return Uint8Array.from(sign(settings.hash, message, options));
}

/** ECDSA with SHA-256 over P-384. */
export function signEcdsa(key: EcKeyPair, message: Uint8Array): EcdsaSignature {
  return signP384('sha256', key, message);
}

/** The same with SHA-384, as SEV-SNP has it. */
export function signEcdsaSha384(key: EcKeyPair, message: Uint8Array): EcdsaSignature {
  return signP384('sha384', key, message);
}

function signP384(hash: 'sha256' | 'sha384', key: EcKeyPair, message: Uint8Array): EcdsaSignature {
  const privateKey = createPrivateKey({
    key: {
      kty: 'EC',
      crv: 'P-384',
      x: Buffer.from(key.point.x).toString('base64url'),
      y: Buffer.from(key.point.y).toString('base64url'),
      d: Buffer.from(key.scalar).toString('base64url'),
    },
    format: 'jwk',
  });
  const signature = Uint8Array.from(sign(hash, message, { key: privateKey, dsaEncoding: 'ieee-p1363' }));
  return { r: signature.slice(0, P384_BYTES), s: signature.slice(P384_BYTES) };
}
