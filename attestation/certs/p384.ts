import { createECDH, createPublicKey, verify } from 'node:crypto';
import { concatBytes, fromHex, toHex } from '../../core/bytes.ts';
import { attestationError } from '../errors.ts';

/** Affine coordinates, 48 bytes each, big-endian. Not known to be on the curve until `isOnCurve` says so. */
export interface EcPoint {
  readonly x: Uint8Array;
  readonly y: Uint8Array;
}

/** R and S of an ECDSA signature, 48 bytes each, big-endian. */
export interface EcdsaSignature {
  readonly r: Uint8Array;
  readonly s: Uint8Array;
}

/** Gives `length` fresh random bytes; `node:crypto`'s `randomBytes` is one. */
export type RandomSource = (length: number) => Uint8Array;

export const P384_BYTES = 48;

// secp384r1: SEC 2 version 2.0, section 2.5.1 (FIPS 186-4, D.1.2.4). Its cofactor is 1: every point on it but the
// point at infinity has order n, and affine coordinates cannot express infinity.
const P = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n;
const B = 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn;
const N = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;

/** SubjectPublicKeyInfo (RFC 5480) of an uncompressed secp384r1 point, up to its coordinates. */
const SPKI_PREFIX = fromHex('3076301006072a8648ce3d020106052b8104002203620004') ?? new Uint8Array();

const RANDOM_TRIES = 64;

export function isOnCurve(point: EcPoint): boolean {
  if (point.x.length !== P384_BYTES || point.y.length !== P384_BYTES) return false;
  const x = toInteger(point.x);
  const y = toInteger(point.y);
  return x < P && y < P && (y * y - (x * x * x - 3n * x + B)) % P === 0n;
}

/** Throws `EC_POINT_INVALID` for a point off the curve, which includes every point of small order. */
export function assertOnCurve(point: EcPoint, whose: string): void {
  if (isOnCurve(point)) return;
  throw attestationError('EC_POINT_INVALID', `${whose}: its public key is not a point on P-384`, {
    details: { xHex: toHex(point.x), yHex: toHex(point.y) },
  });
}

/** Whether a private key, or one number of a signature, is in 1..n-1. */
export function isScalar(bytes: Uint8Array): boolean {
  if (bytes.length !== P384_BYTES) return false;
  const value = toInteger(bytes);
  return value > 0n && value < N;
}

/** DER SubjectPublicKeyInfo of a point on the curve. */
export function p384Spki(point: EcPoint): Uint8Array {
  return concatBytes(SPKI_PREFIX, point.x, point.y);
}

/**
 * ECDSA over P-384 with SHA-256, as SEV certificates use it.
 *
 * The caller has checked that the point is on the curve. R or S outside 1..n-1 is `false`; `(r, n-s)` is as good as `(r, s)`.
 */
export function verifyEcdsaSha256(point: EcPoint, message: Uint8Array, signature: EcdsaSignature): boolean {
  return verifyEcdsa('sha256', point, message, signature);
}

/** The same with SHA-384, as SEV-SNP reports and ID blocks use it. */
export function verifyEcdsaSha384(point: EcPoint, message: Uint8Array, signature: EcdsaSignature): boolean {
  return verifyEcdsa('sha384', point, message, signature);
}

function verifyEcdsa(
  hash: 'sha256' | 'sha384',
  point: EcPoint,
  message: Uint8Array,
  signature: EcdsaSignature,
): boolean {
  if (!isScalar(signature.r) || !isScalar(signature.s)) return false;
  const key = createPublicKey({ key: Buffer.from(p384Spki(point)), format: 'der', type: 'spki' });
  return verify(hash, message, { key, dsaEncoding: 'ieee-p1363' }, concatBytes(signature.r, signature.s));
}

export interface EcKeyPair {
  /** Private key, 48 bytes, big-endian. */
  readonly scalar: Uint8Array;
  readonly point: EcPoint;
}

/** A fresh P-384 key; candidates outside 1..n-1 are drawn again (FIPS 186-5, A.2.2). */
export function generateEcKeyPair(random: RandomSource): EcKeyPair {
  for (let attempt = 0; attempt < RANDOM_TRIES; attempt += 1) {
    const scalar = randomBytes(random, P384_BYTES);
    if (isScalar(scalar)) return { scalar, point: derivePoint(scalar) };
  }
  throw attestationError('RANDOM_SOURCE_BROKEN', `no P-384 private key in ${RANDOM_TRIES} draws of 48 random bytes`);
}

/** The public point of a private key. Throws `EC_SCALAR_INVALID`. */
export function derivePoint(scalar: Uint8Array): EcPoint {
  const encoded = Uint8Array.from(privateKey(scalar).getPublicKey());
  return { x: encoded.slice(1, 1 + P384_BYTES), y: encoded.slice(1 + P384_BYTES) };
}

/** The x coordinate of the ECDH shared point, 48 bytes, big-endian. Throws `EC_POINT_INVALID`, `EC_SCALAR_INVALID`. */
export function computeSharedX(scalar: Uint8Array, peer: EcPoint, whose: string): Uint8Array {
  assertOnCurve(peer, whose);
  return Uint8Array.from(privateKey(scalar).computeSecret(concatBytes(Uint8Array.of(0x04), peer.x, peer.y)));
}

/** `length` bytes of the source; throws `RANDOM_SOURCE_BROKEN` when it gives another number. */
export function randomBytes(random: RandomSource, length: number): Uint8Array {
  const bytes = Uint8Array.from(random(length));
  if (bytes.length === length) return bytes;
  throw attestationError('RANDOM_SOURCE_BROKEN', `asked for ${length} random bytes, got ${bytes.length}`);
}

function privateKey(scalar: Uint8Array) {
  if (!isScalar(scalar)) {
    throw attestationError(
      'EC_SCALAR_INVALID',
      `a P-384 private key is 48 bytes in 1..n-1, got ${scalar.length} bytes${scalar.length === P384_BYTES ? ' out of range' : ''}`,
    );
  }
  const key = createECDH('secp384r1');
  key.setPrivateKey(scalar);
  return key;
}

function toInteger(bytes: Uint8Array): bigint {
  return BigInt(`0x${toHex(bytes)}`);
}
