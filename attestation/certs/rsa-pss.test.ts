import { createHash } from 'node:crypto';
import forge from 'node-forge';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../core/bytes.ts';
import { amdPss, forgedCaKey, type PssSettings, signRsa } from '../testing/signing.ts';
import { rsaKeyProblem, verifyPss } from './rsa-pss.ts';

const message = new Uint8Array(1044).fill(0x5a);
const key = forgedCaKey('ark', 2048);

describe.each([2048, 4096] as const)('RSA-%i', (bits) => {
  const signer = forgedCaKey('ark', bits);
  const proper = amdPss(bits);
  const saltLength = bits === 2048 ? 32 : 48;
  const hash = bits === 2048 ? 'sha256' : 'sha384';

  it('takes PSS with the hash and salt length of its size', () => {
    expect(verifyPss(signer, message, signRsa(signer, message, proper))).toEqual({ verified: true });
  });

  const others: [string, PssSettings][] = [
    ['no salt', { hash, saltLength: 0 }],
    ['a salt of 20 bytes', { hash, saltLength: 20 }],
    ['a salt one byte short', { hash, saltLength: saltLength - 1 }],
    ['a salt of 64 bytes', { hash, saltLength: 64 }],
    ['the longest salt', { hash, saltLength: bits / 8 - 2 - saltLength }],
    ['the hash of the other size', amdPss(bits === 2048 ? 4096 : 2048)],
    ['SHA-512', { hash: 'sha512', saltLength: 64 }],
    ['PKCS#1 v1.5', { padding: 'pkcs1', hash }],
  ];
  it.each(others)('refuses %s', (_, settings) => {
    expect(verifyPss(signer, message, signRsa(signer, message, settings))).toMatchObject({ verified: false });
  });
});

it('refuses a mask made with another hash than the message', () => {
  const privateKey = forge.pki.privateKeyFromPem(key.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString());
  const digest = forge.md.sha256.create().update(Buffer.from(message).toString('latin1'));
  const sign = (maskHash: 'sha256' | 'sha384') => {
    const scheme = forge.pss.create({
      md: forge.md.sha256.create(),
      mgf: forge.mgf.mgf1.create(forge.md[maskHash].create()),
      saltLength: 32,
    });
    return Uint8Array.from(Buffer.from(privateKey.sign(digest, scheme), 'latin1'));
  };
  expect(verifyPss(key, message, sign('sha256'))).toEqual({ verified: true });
  expect(verifyPss(key, message, sign('sha384'))).toMatchObject({ verified: false });
});

it('refuses a signature plus the modulus, a byte more and a byte less', () => {
  const modulus = BigInt(`0x${toHex(key.modulus)}`);
  // PSS is randomised: sign again until the sum fits, which is the one case where only the range check refuses it.
  for (let attempt = 0; attempt < 1000; attempt += 1) {
    const signature = signRsa(key, message, amdPss(2048));
    const sum = (BigInt(`0x${toHex(signature)}`) + modulus).toString(16);
    if (sum.length > 512) continue;
    const larger = Uint8Array.from(Buffer.from(sum.padStart(512, '0'), 'hex'));
    expect(verifyPss(key, message, larger)).toEqual({
      verified: false,
      because: 'the signature is not less than the modulus',
    });
    expect(verifyPss(key, message, Uint8Array.of(0, ...signature))).toMatchObject({ verified: false });
    expect(verifyPss(key, message, signature.slice(1))).toMatchObject({ verified: false });
    return;
  }
  expect.unreachable('no signature small enough');
});

it('refuses signatures that are zero, one, or the modulus less one', () => {
  const small = (value: number) => Uint8Array.of(...new Uint8Array(255), value);
  const large = Uint8Array.from(key.modulus);
  large[255] = (large[255] ?? 0) - 1;
  for (const signature of [small(0), small(1), large]) {
    expect(verifyPss(key, message, signature)).toMatchObject({ verified: false });
  }
});

it('refuses keys with another exponent, an even modulus or a missing top bit', () => {
  const even = Uint8Array.from(key.modulus).fill(0, 255);
  const short = Uint8Array.from(key.modulus).fill(0x7f, 0, 1);
  expect(rsaKeyProblem(key)).toBeUndefined();
  expect(rsaKeyProblem({ ...key, exponent: 3n })).toMatch(/exponent 3/);
  expect(rsaKeyProblem({ ...key, exponent: 1n })).toMatch(/exponent 1/);
  expect(rsaKeyProblem({ ...key, modulus: even })).toMatch(/even/);
  expect(rsaKeyProblem({ ...key, modulus: short })).toMatch(/fewer than 2048 bits/);
  const three = forgedCaKey('ark', 2048, 3);
  expect(verifyPss(three, message, signRsa(three, message, amdPss(2048)))).toMatchObject({ verified: false });
});

it('hashes the message itself: a signature over its digest is no signature', () => {
  const digest = createHash('sha256').update(message).digest();
  expect(verifyPss(key, message, signRsa(key, digest, amdPss(2048)))).toMatchObject({ verified: false });
});
