import { createHash, createPublicKey } from 'node:crypto';
import { createRequire } from 'node:module';
import type Forge from 'node-forge';
import { toHex } from '../../core/bytes.ts';

/** Big-endian modulus of 256 or 512 bytes, and the public exponent. */
export interface RsaPublicKey {
  readonly modulus: Uint8Array;
  readonly exponent: bigint;
}

export type PssHash = 'sha256' | 'sha384';

/** What AMD signs with; any other exponent is refused, 3 in particular. */
export const RSA_EXPONENT = 65537n;

/** Hash, and with it MGF1's hash and the salt length, follow from the size of the signing key and from nothing else. */
export function pssHashOf(key: RsaPublicKey): PssHash {
  return key.modulus.length === 256 ? 'sha256' : 'sha384';
}

export type PssVerdict = { readonly verified: true } | { readonly verified: false; readonly because: string };

/**
 * RSASSA-PSS of AMD's CA keys: SHA-256 with a salt of 32 bytes for 2048-bit keys, SHA-384 with 48 for 4096-bit keys.
 *
 * `signature` is big-endian. Every other salt length, hash or padding is refused.
 */
export function verifyPss(key: RsaPublicKey, message: Uint8Array, signature: Uint8Array): PssVerdict {
  const unusable = rsaKeyProblem(key);
  if (unusable !== undefined) return refused(unusable);
  if (signature.length !== key.modulus.length) {
    return refused(`signature of ${signature.length} bytes under a key of ${key.modulus.length}`);
  }
  if (BigInt(`0x${toHex(signature)}`) >= BigInt(`0x${toHex(key.modulus)}`)) {
    return refused('the signature is not less than the modulus');
  }
  const { pki, jsbn, pss, mgf, md } = forge();
  const hash = pssHashOf(key);
  const digest = createHash(hash).update(message).digest();
  const publicKey = pki.rsa.setPublicKey(
    new jsbn.BigInteger(toHex(key.modulus), 16),
    new jsbn.BigInteger(key.exponent.toString(16), 16),
  );
  const scheme = pss.create({
    md: md[hash].create(),
    mgf: mgf.mgf1.create(md[hash].create()),
    saltLength: digest.length,
  });
  try {
    const verified = publicKey.verify(
      digest.toString('latin1'),
      Buffer.from(signature).toString('latin1'),
      scheme as unknown as Parameters<typeof publicKey.verify>[2],
    );
    return verified ? { verified: true } : refused('the PSS hash does not match');
  } catch (error) {
    // forge throws for bad padding where it could return false.
    return refused(`the PSS encoding is wrong: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Why a key cannot be an AMD CA key; `undefined` when it can. */
export function rsaKeyProblem(key: RsaPublicKey): string | undefined {
  const bits = key.modulus.length * 8;
  if (key.exponent !== RSA_EXPONENT) {
    const shown = key.exponent < 2n ** 32n ? key.exponent : 'of more than 32 bits';
    return `public exponent ${shown}, expected ${RSA_EXPONENT}`;
  }
  if (((key.modulus[0] ?? 0) & 0x80) === 0) return `the modulus has fewer than ${bits} bits`;
  if (((key.modulus[key.modulus.length - 1] ?? 0) & 1) === 0) return 'the modulus is even';
  return undefined;
}

/** SHA-256 of the DER SubjectPublicKeyInfo: how AMD's roots are pinned. */
export function rsaSpkiSha256Hex(key: RsaPublicKey): string {
  const jwk = { kty: 'RSA', n: base64Url(key.modulus), e: base64Url(exponentBytes(key.exponent)) };
  const spki = createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('hex');
}

function exponentBytes(exponent: bigint): Uint8Array {
  const hex = exponent.toString(16);
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
}

function base64Url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function refused(because: string): PssVerdict {
  return { verified: false, because };
}

let loaded: typeof Forge | undefined;

/** Loaded on first use: it takes as long to load as all of a launch verification, which needs no RSA. */
export function forge(): typeof Forge {
  loaded ??= createRequire(import.meta.url)('node-forge') as typeof Forge;
  return loaded;
}
