import { constants, createPublicKey, verify } from 'node:crypto';
import { expect, test, vi } from 'vitest';
import { toHex } from '../../../core/bytes.ts';
import { emulatedCa, isEmulatedCaCertificate, type SevGeneration } from './ca.ts';
import { bodyOf, slotOf, USAGE } from './certificate.ts';
import { createMachine } from './test-kit.ts';

// Two RSA keys of 4096 bits take seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000 });

/** Reads an authority's certificate by the layout in the specification, not with the code under test. */
function read(certificate: Uint8Array) {
  const view = Buffer.from(certificate);
  const size = view.readUInt32LE(0x3c) / 8;
  const number = (at: number) => Buffer.from(certificate.slice(at, at + size).reverse());
  return {
    version: view.readUInt32LE(0),
    id: toHex(certificate.subarray(4, 20)),
    issuer: toHex(certificate.subarray(20, 36)),
    usage: view.readUInt32LE(0x24),
    size,
    exponentBits: view.readUInt32LE(0x38),
    key: createPublicKey({
      key: { kty: 'RSA', e: number(0x40).toString('base64url'), n: number(0x40 + size).toString('base64url') },
      format: 'jwk',
    }),
    signed: certificate.subarray(0, 0x40 + 2 * size),
    signature: number(0x40 + 2 * size),
  };
}

test.each<[SevGeneration, number, string, number]>([
  ['naples', 832, 'sha256', 32],
  ['milan', 1600, 'sha384', 48],
])('the %s authority is in AMD form and plainly not AMD', (generation, bytes, hash, saltLength) => {
  const { cek, ask, ark } = createMachine({ generation }).processor.endorsements();
  const [root, signer] = [read(ark), read(ask)];
  const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
  expect([ark.length, ask.length, cek.length]).toEqual([bytes, bytes, 2084]);
  expect(Buffer.from(root.id, 'hex').toString()).toMatch(/^EMULATED-ARK-/);
  expect(Buffer.from(signer.id, 'hex').toString()).toMatch(/^EMULATED-ASK-/);
  expect([root.issuer, signer.issuer]).toEqual([root.id, root.id]);
  expect([root.version, root.usage, signer.usage, root.exponentBits]).toEqual([1, 0, 0x13, root.size * 8]);
  expect(verify(hash, root.signed, { key: root.key, ...pss }, root.signature)).toBe(true);
  expect(verify(hash, signer.signed, { key: root.key, ...pss }, signer.signature)).toBe(true);
  const slot = slotOf(cek, USAGE.ASK);
  if (!slot) throw new Error('the CEK has no signature of the ASK');
  const cekSignature = Buffer.from(slot.slice(8, 8 + signer.size).reverse());
  expect(verify(hash, bodyOf(cek), { key: signer.key, ...pss }, cekSignature)).toBe(true);
  expect(emulatedCa(generation).hasSignedCek(cek)).toBe(true);
  expect(isEmulatedCaCertificate(ark) && isEmulatedCaCertificate(ask)).toBe(true);
  expect(isEmulatedCaCertificate(Buffer.from('1bb987c359494606b174945601c9ea5b', 'hex'))).toBe(false);
});

test('a process has one authority per generation', () => {
  expect(emulatedCa('naples')).toBe(emulatedCa('naples'));
  expect(emulatedCa('rome').ark).not.toEqual(emulatedCa('milan').ark);
});
