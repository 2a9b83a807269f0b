import { createECDH, createHash, createPublicKey, verify } from 'node:crypto';
import { concatBytes, toHex } from '../../../core/bytes.ts';
import type { RandomBytes } from './random.ts';

/** Parameters of P-384 (FIPS 186-4, D.1.2.4; SEC 2, secp384r1). */
const P = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n;
const N = 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n;
const B = 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn;
const COORDINATE_BYTES = 48;

export interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

export interface KeyPair {
  readonly secret: bigint;
  readonly point: Point;
}

export interface Signature {
  readonly r: bigint;
  readonly s: bigint;
}

export function generateKeyPair(random: RandomBytes): KeyPair {
  const secret = scalar(random);
  return { secret, point: multiplyBase(secret) };
}

/** Coordinates below the prime that satisfy the curve equation. P-384 has prime order: there is no small subgroup. */
export function isOnCurve({ x, y }: Point): boolean {
  return x < P && y < P && mod(y * y - x * x * x + 3n * x - B) === 0n;
}

/** ECDSA over SHA-256, with the nonce from `random`, so that a seeded host signs reproducibly. */
export function signSha256(message: Uint8Array, secret: bigint, random: RandomBytes): Signature {
  const digest = createHash('sha256').update(message).digest();
  const nonce = scalar(random);
  const r = multiplyBase(nonce).x % N;
  const s = (inverse(nonce, N) * (fromBigEndian(digest) + r * secret)) % N;
  return { r, s };
}

/** ECDSA over SHA-256; false for a point off the curve and for numbers outside 1..n-1. */
export function verifySha256(message: Uint8Array, signature: Signature, point: Point): boolean {
  const inRange = (value: bigint) => value > 0n && value < N;
  if (!inRange(signature.r) || !inRange(signature.s) || !isOnCurve(point)) return false;
  const jwk = { kty: 'EC', crv: 'P-384', x: base64url(point.x), y: base64url(point.y) };
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const bytes = concatBytes(toBigEndian(signature.r), toBigEndian(signature.s));
  return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, bytes);
}

/** Z of ECDH: the x-coordinate of the shared point, 48 bytes big-endian. The point must be on the curve. */
export function sharedSecret(secret: bigint, point: Point): Uint8Array {
  return keyAgreement(secret)(point);
}

/** Peers of one key that come again: the owner of many guests, and the machine itself. */
const KEPT_PEERS = 4;

/**
 * The same for a key that agrees with one peer after another. The last few Z are kept: owners launch guest after guest
 * with one key, and each Z takes as long as the rest of a launch.
 */
export function keyAgreement(secret: bigint): (point: Point) => Uint8Array {
  const ecdh = createECDH('secp384r1');
  ecdh.setPrivateKey(toBigEndian(secret));
  const kept = new Map<string, Uint8Array>();
  return (point) => {
    const uncompressed = concatBytes(Uint8Array.of(0x04), toBigEndian(point.x), toBigEndian(point.y));
    const peer = toHex(uncompressed);
    const z = kept.get(peer) ?? new Uint8Array(ecdh.computeSecret(uncompressed));
    kept.delete(peer);
    kept.set(peer, z);
    for (const oldest of kept.keys()) if (kept.size > KEPT_PEERS) kept.delete(oldest);
    return Uint8Array.from(z);
  };
}

/**
 * The same by formulas that never use the curve's constant term, so that a point off the curve is multiplied on
 * whatever curve it lies on: what firmware that does not check the point computes. Infinity has the coordinate 0.
 */
export function sharedSecretUnchecked(secret: bigint, point: Point): Uint8Array {
  let sum: Point | undefined;
  let doubled: Point | undefined = { x: mod(point.x), y: mod(point.y) };
  for (let rest = secret; rest > 0n; rest >>= 1n) {
    if (rest & 1n) sum = addPoints(sum, doubled);
    doubled = addPoints(doubled, doubled);
  }
  return toBigEndian(sum?.x ?? 0n);
}

function addPoints(a: Point | undefined, b: Point | undefined): Point | undefined {
  if (!a) return b;
  if (!b) return a;
  const isDoubling = a.x === b.x && a.y === b.y;
  const divisor = isDoubling ? mod(2n * a.y) : mod(b.x - a.x);
  if (divisor === 0n) return undefined;
  const slope = mod((isDoubling ? 3n * a.x * a.x - 3n : b.y - a.y) * inverse(divisor, P));
  const x = mod(slope * slope - a.x - b.x);
  return { x, y: mod(slope * (a.x - x) - a.y) };
}

function multiplyBase(secret: bigint): Point {
  const ecdh = createECDH('secp384r1');
  ecdh.setPrivateKey(toBigEndian(secret));
  const encoded = ecdh.getPublicKey();
  return {
    x: fromBigEndian(encoded.subarray(1, 1 + COORDINATE_BYTES)),
    y: fromBigEndian(encoded.subarray(1 + COORDINATE_BYTES)),
  };
}

/** 1..n-1, from 16 bytes more than needed so that the remainder is not visibly uneven. */
function scalar(random: RandomBytes): bigint {
  return (fromBigEndian(random(COORDINATE_BYTES + 16)) % (N - 1n)) + 1n;
}

function mod(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

/** Extended Euclid; `value` is not a multiple of `modulus`. */
function inverse(value: bigint, modulus: bigint): bigint {
  let [a, b] = [value % modulus, modulus];
  let [x, y] = [1n, 0n];
  while (a > 1n) {
    const quotient = b / a;
    [a, b] = [b % a, a];
    [x, y] = [y - quotient * x, x];
  }
  return x < 0n ? x + modulus : x;
}

function fromBigEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).toString('hex')}`);
}

function toBigEndian(value: bigint): Uint8Array {
  return new Uint8Array(Buffer.from(value.toString(16).padStart(COORDINATE_BYTES * 2, '0'), 'hex'));
}

function base64url(value: bigint): string {
  return Buffer.from(toBigEndian(value)).toString('base64url');
}
