import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../core/bytes.ts';
import {
  generateKeyPair,
  isOnCurve,
  keyAgreement,
  sharedSecret,
  sharedSecretUnchecked,
  signSha256,
  verifySha256,
} from './p384.ts';
import { seededRandom } from './random.ts';

const seed = fc.string({ maxLength: 8 });

describe('known answers', () => {
  test('ECDH: NIST CAVS 14.1, ECC CDH, P-384, count 0', () => {
    const point = {
      x: 0xa7c76b970c3b5fe8b05d2838ae04ab47697b9eaf52e764592efda27fe7513272734466b400091adbf2d68c58e0c50066n,
      y: 0xac68f19f2e1cb879aed43a9969b91a0839c4c38a49749b661efedf243451915ed0905a32b060992b468c64766fc8437an,
    };
    const secret = 0x3cc3122a68f0d95027ad38c067916ba0eb8c38894d22e1b15618b6818a661774ad463b205da88cf699ab4d43c9cf98a1n;
    const z = '5f9d29dc5e31a163060356213669c8ce132e22f57c9a04f40ba7fcead493b457e5621e766c40a2e3d4d6a04b25e533f1';
    expect(toHex(sharedSecret(secret, point))).toBe(z);
    expect(toHex(sharedSecretUnchecked(secret, point))).toBe(z);
  });

  test('ECDSA: RFC 6979 A.2.6, SHA-256, "sample"', () => {
    const secret = 0x6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5n;
    const k = 0x180ae9f9aec5438a44bc159a1fcb277c7be54fa20e7cf404b490650a8acc414e375572342863c899f9f2edf9747a9b60n;
    const random = (length: number) => Buffer.from((k - 1n).toString(16).padStart(length * 2, '0'), 'hex');
    expect(signSha256(Buffer.from('sample'), secret, random)).toEqual({
      r: 0x21b13d1e013c7fa1392d03c5f99af8b30c570c6f98d4ea8e354b63a21d3daa33bde1e888e63355d92fa2b3c36d8fb2cdn,
      s: 0xf3aa443fb107745bf4bd77cb3891674632068a10ca67e3d45db2266fa7d1feebefdc63eccd1ac42ec0cb8668a4fa0ab0n,
    });
  });
});

test('what is signed verifies, and nothing else does', () => {
  fc.assert(
    fc.property(seed, fc.uint8Array({ minLength: 1, maxLength: 40 }), (text, message) => {
      const random = seededRandom(text);
      const { secret, point } = generateKeyPair(random);
      const other = generateKeyPair(random);
      const signature = signSha256(message, secret, random);
      expect(verifySha256(message, signature, point)).toBe(true);
      expect(verifySha256(message, signature, other.point)).toBe(false);
      expect(verifySha256(Buffer.concat([message, Buffer.of(0)]), signature, point)).toBe(false);
      expect(verifySha256(message, { ...signature, s: 0n }, point)).toBe(false);
      expect(verifySha256(message, { ...signature, r: 1n << 384n }, point)).toBe(false);
    }),
    { numRuns: 15 },
  );
});

test('both sides agree on Z, with and without the check of the point', () => {
  fc.assert(
    fc.property(seed, (text) => {
      const random = seededRandom(text);
      const [a, b] = [generateKeyPair(random), generateKeyPair(random)];
      const z = toHex(sharedSecret(a.secret, b.point));
      expect(toHex(sharedSecret(b.secret, a.point))).toBe(z);
      expect(toHex(sharedSecretUnchecked(b.secret, a.point))).toBe(z);
    }),
    { numRuns: 10 },
  );
});

test('a key that agrees with many peers, in any order, finds the same Z with each as alone', () => {
  const random = seededRandom('many peers');
  const own = generateKeyPair(random);
  const peers = Array.from({ length: 6 }, () => generateKeyPair(random).point);
  const zs = peers.map((point) => toHex(sharedSecret(own.secret, point)));
  fc.assert(
    fc.property(fc.array(fc.nat({ max: peers.length - 1 }), { maxLength: 12 }), (order) => {
      const agreeWith = keyAgreement(own.secret);
      for (const index of order) {
        const z = agreeWith(peers[index] ?? own.point);
        expect(toHex(z)).toBe(zs[index]);
        // What the caller does with it stays with the caller.
        z.fill(0);
      }
    }),
    { numRuns: 20 },
  );
});

test('a point off the curve is told from one on it', () => {
  const { point } = generateKeyPair(seededRandom('on curve'));
  const prime = 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n;
  expect(isOnCurve(point)).toBe(true);
  expect(isOnCurve({ ...point, y: point.y + 1n })).toBe(false);
  expect(isOnCurve({ x: 0n, y: 0n })).toBe(false);
  expect(isOnCurve({ ...point, y: point.y + prime })).toBe(false);
  expect(isOnCurve({ x: 1234n, y: 0n })).toBe(false);
});

test('a point with y = 0 has order two on its own curve: Z is its x for odd secrets and nothing for even ones', () => {
  const x = 0x1234n;
  expect(BigInt(`0x${toHex(sharedSecretUnchecked(7n, { x, y: 0n }))}`)).toBe(x);
  expect(BigInt(`0x${toHex(sharedSecretUnchecked(8n, { x, y: 0n }))}`)).toBe(0n);
});
