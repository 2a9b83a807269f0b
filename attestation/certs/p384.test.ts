import { createECDH, createPublicKey } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, fromHex, toHex } from '../../core/bytes.ts';
import { seededRandom } from '../testing/seeded-random.ts';
import { signEcdsa } from '../testing/signing.ts';
import {
  computeSharedX,
  derivePoint,
  generateEcKeyPair,
  isOnCurve,
  isScalar,
  p384Spki,
  verifyEcdsaSha256,
} from './p384.ts';

const ORDER = 'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973';
const FIELD = 'fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff';
const random = seededRandom('p384');
const bytes = (value: bigint) => fromHex(value.toString(16).padStart(96, '0')) ?? new Uint8Array();
const order = BigInt(`0x${ORDER}`);
const field = BigInt(`0x${FIELD}`);
const B = 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn;

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let bit = 1n << 384n; bit > 0n; bit >>= 1n) {
    result = (result * result) % field;
    if ((exponent & bit) !== 0n) result = (result * base) % field;
  }
  return result;
}

describe('points', () => {
  it('of OpenSSL are on the curve, and OpenSSL takes ours', () => {
    const ecdh = createECDH('secp384r1');
    const encoded = Uint8Array.from(ecdh.generateKeys());
    const point = { x: encoded.slice(1, 49), y: encoded.slice(49) };
    expect(isOnCurve(point)).toBe(true);
    expect(
      createPublicKey({ key: Buffer.from(p384Spki(point)), format: 'der', type: 'spki' }).asymmetricKeyDetails,
    ).toEqual({
      namedCurve: 'secp384r1',
    });
  });

  it('with any other y, coordinates from the field size up, and (0,0) are refused', () => {
    const { point } = generateEcKeyPair(random);
    const y = BigInt(`0x${toHex(point.y)}`);
    expect(isOnCurve({ ...point, y: bytes(field - y) })).toBe(true);
    expect(isOnCurve({ ...point, y: bytes(y ^ 1n) })).toBe(false);
    expect(isOnCurve({ x: bytes(0n), y: bytes(0n) })).toBe(false);
    expect(isOnCurve({ x: bytes(field), y: point.y })).toBe(false);
    expect(isOnCurve({ x: point.x.slice(1), y: point.y })).toBe(false);
    expect(isOnCurve({ x: point.y, y: point.x })).toBe(false);
  });

  it('are refused when a coordinate is written larger than the field, though it means the same point', () => {
    // y for x = 2, found with y = (x^3 - 3x + b)^((p+1)/4).
    const x = 2n;
    const square = (((x * x * x - 3n * x + B) % field) + field) % field;
    const y = power(square, (field + 1n) / 4n);
    expect(isOnCurve({ x: bytes(x), y: bytes(y) })).toBe(true);
    expect(isOnCurve({ x: bytes(x + field), y: bytes(y) })).toBe(false);
  });

  it('of small order on a twisted curve, which would betray the private key, take no part in ECDH', () => {
    // y = 0 is a point of order 2 on the curve with another b; an unchecked ladder would compute with it.
    const { scalar } = generateEcKeyPair(random);
    expect(() => computeSharedX(scalar, { x: bytes(5n), y: bytes(0n) }, 'peer')).toThrow(
      expect.objectContaining({ code: 'EC_POINT_INVALID' }),
    );
  });
});

describe('scalars', () => {
  it('are 1 to n-1 in 48 bytes', () => {
    expect([0n, 1n, order - 1n, order, order + 1n].map((value) => isScalar(bytes(value)))).toEqual([
      false,
      true,
      true,
      false,
      false,
    ]);
    expect(isScalar(new Uint8Array(47).fill(1))).toBe(false);
  });

  it('that are drawn too large are drawn again', () => {
    const draws = [bytes(order), bytes(0n), bytes(7n)];
    const pair = generateEcKeyPair(() => draws.shift() ?? new Uint8Array());
    expect(toHex(pair.scalar)).toBe(toHex(bytes(7n)));
    expect(pair.point).toEqual(derivePoint(bytes(7n)));
  });
});

it('both sides of ECDH get the same x coordinate', () => {
  const [a, b] = [generateEcKeyPair(random), generateEcKeyPair(random)];
  expect(toHex(computeSharedX(a.scalar, b.point, 'b'))).toBe(toHex(computeSharedX(b.scalar, a.point, 'a')));
});

describe('ECDSA', () => {
  const key = generateEcKeyPair(random);
  const message = random(1044);
  const good = signEcdsa(key, message);
  const s = BigInt(`0x${toHex(good.s)}`);

  it('takes a signature and its twin (r, n-s)', () => {
    expect(verifyEcdsaSha256(key.point, message, good)).toBe(true);
    expect(verifyEcdsaSha256(key.point, message, { ...good, s: bytes(order - s) })).toBe(true);
  });

  it('refuses r or s of zero, of n, beyond n, and of another length', () => {
    const wrong = [bytes(0n), bytes(order), bytes(order + 1n), good.r.slice(1), concatBytes(good.r, Uint8Array.of(0))];
    for (const number of wrong) {
      expect(verifyEcdsaSha256(key.point, message, { ...good, r: number })).toBe(false);
      expect(verifyEcdsaSha256(key.point, message, { ...good, s: number })).toBe(false);
    }
  });

  it('refuses any other message', () => {
    fc.assert(
      fc.property(fc.nat({ max: message.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, mask) => {
        const changed = Uint8Array.from(message);
        changed[at] = (changed[at] ?? 0) ^ mask;
        return !verifyEcdsaSha256(key.point, changed, good);
      }),
      { numRuns: 50 },
    );
  });
});
