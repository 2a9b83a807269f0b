import { createHash, createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { fromBase64, fromHex, toBase64, toHex } from '../../../core/bytes.ts';
import { ALGORITHM, checkSignedBy, isOfKind, pointOf, USAGE } from './certificate.ts';
import {
  CONTEXT,
  deriveKey,
  isPacketAuthentic,
  launchMeasurement,
  openPacket,
  sealPacket,
  unwrapSession,
  wrapSession,
} from './channel.ts';
import { isOnCurve, sharedSecret, sharedSecretUnchecked } from './p384.ts';
import { SEV_STATUS } from './status.ts';

const vectors = path.join(
  process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../../shared'),
  'vectors',
);

interface Vector {
  readonly id: string;
  readonly kind: string;
  readonly files: readonly { readonly path: string; readonly role: string }[];
}

const manifest: { readonly vectors: readonly Vector[] } = JSON.parse(
  readFileSync(path.join(vectors, 'manifest.json'), 'utf8'),
);

const ofKind = (kind: string) => manifest.vectors.filter((vector) => vector.kind === kind);

function fileOf(vector: Vector, role: string): Uint8Array {
  const file = vector.files.find((entry) => entry.role === role);
  if (!file) throw new Error(`${vector.id} has no ${role}`);
  return new Uint8Array(readFileSync(path.join(vectors, file.path)));
}

function paramsOf(vector: Vector): Record<string, unknown> {
  return JSON.parse(Buffer.from(fileOf(vector, 'params')).toString('utf8'));
}

function bytes(value: unknown, parse: (text: string) => Uint8Array | undefined): Uint8Array {
  const parsed = parse(String(value));
  if (!parsed) throw new Error(`not bytes: ${String(value)}`);
  return parsed;
}
const hex = (value: unknown) => bytes(value, fromHex);
const base64 = (value: unknown) => bytes(value, fromBase64);

test('the folder holds the kinds that this file pins', () => {
  expect(existsSync(vectors)).toBe(true);
  const counts = ['kdf', 'session-blob', 'launch-measure', 'launch-secret', 'ecdh'].map((kind) => ofKind(kind).length);
  expect(counts.every((count) => count > 0)).toBe(true);
});

test.each(ofKind('kdf'))('$id: derived key', (vector) => {
  const params = paramsOf(vector);
  const derived = deriveKey(hex(params.key_hex), String(params.label), hex(params.context_hex), Number(params.size));
  expect(toHex(derived)).toBe(params.expected_hex);
});

test.each(ofKind('session-blob'))('$id: wrapped and opened', (vector) => {
  const params = paramsOf(vector);
  const expected = params.expected as Record<string, string>;
  const keys = { tek: hex(params.tek_hex), tik: hex(params.tik_hex) };
  const z = hex(params.z_hex);
  const policy = Number(params.policy);
  const session = wrapSession(z, keys, policy, hex(params.nonce_hex), hex(params.iv_hex));
  expect(toHex(session)).toBe(
    `${params.nonce_hex}${expected.wrap_tk_hex}${params.iv_hex}${expected.wrap_mac_hex}${expected.policy_mac_hex}`,
  );
  expect(unwrapSession(z, session, policy)).toEqual(keys);
  expect(unwrapSession(z, session, policy + 1)).toBeUndefined();
});

describe('launch measurements', () => {
  const keyed = ofKind('launch-measure').filter((vector) => vector.id !== 'launchmac-capture-rome-0.24');

  test('all but the capture without keys are computed', () => {
    expect(keyed.length).toBe(4);
  });

  test.each(keyed)('$id', (vector) => {
    const params = paramsOf(vector);
    const digest = createHash('sha256');
    if (params.launch_digest_hex === undefined && params.launch_digest_b64 === undefined) {
      digest.update(fileOf(vector, 'firmware'));
      const count = Number(params.num_cpus ?? 0);
      for (let cpu = 0; cpu < count; cpu++) digest.update(fileOf(vector, cpu === 0 ? 'vmsa0' : 'vmsa1'));
    }
    const known = params.launch_digest_hex === undefined ? params.launch_digest_b64 : params.launch_digest_hex;
    const launchDigest =
      known === undefined
        ? new Uint8Array(digest.digest())
        : params.launch_digest_hex === undefined
          ? base64(known)
          : hex(known);
    const nonce = params.nonce_hex === undefined ? base64(params.nonce_b64) : hex(params.nonce_hex);
    const tik = params.tik_hex === undefined ? fileOf(vector, 'tik') : hex(params.tik_hex);
    const measure = launchMeasurement(tik, {
      apiMajor: Number(params.api_major),
      apiMinor: Number(params.api_minor),
      build: Number(params.build_id),
      policy: Number(params.policy),
      launchDigest,
      nonce,
    });
    if (params.expected_blob_b64 === undefined) expect(toHex(measure)).toBe(params.expected_measure_hex);
    else expect(toBase64(Buffer.concat([measure, nonce]))).toBe(params.expected_blob_b64);
  });
});

test.each(ofKind('launch-secret'))('$id: accepted, decrypted and made again', (vector) => {
  const params = paramsOf(vector);
  const keys = { tek: fileOf(vector, 'tek'), tik: fileOf(vector, 'tik') };
  const bound = base64(params.launch_measure_blob_b64).subarray(0, 32);
  const packet = {
    context: CONTEXT.SECRET,
    header: base64(params.expected_header_b64),
    data: base64(params.expected_payload_b64),
    bound,
  };
  expect(isPacketAuthentic(keys.tik, packet)).toBe(true);
  expect(isPacketAuthentic(keys.tik, { ...packet, bound: new Uint8Array(32) })).toBe(false);
  const plain = openPacket(keys.tek, packet);
  expect(Buffer.from(plain).includes(Buffer.from(fileOf(vector, 'secret')))).toBe(true);
  const again = sealPacket(keys, CONTEXT.SECRET, plain, base64(params.iv_b64), bound);
  expect(toBase64(again.header)).toBe(params.expected_header_b64);
  expect(toBase64(again.data)).toBe(params.expected_payload_b64);
});

test.each(ofKind('ecdh'))('$id: the shared secret of a real PDH', (vector) => {
  const pdh = fileOf(vector, 'pdh');
  expect(isOfKind(pdh, USAGE.PDH, ALGORITHM.ECDH_SHA256)).toBe(true);
  const point = pointOf(pdh);
  if (!point) throw new Error('no key');
  expect(isOnCurve(point)).toBe(true);
  const privateKey = createPrivateKey(Buffer.from(fileOf(vector, 'priv')));
  const jwk = privateKey.export({ format: 'jwk' });
  const secret = BigInt(`0x${Buffer.from(String(jwk.d), 'base64url').toString('hex')}`);
  const coordinate = (value: bigint) => Buffer.from(value.toString(16).padStart(96, '0'), 'hex').toString('base64url');
  const publicKey = createPublicKey({
    key: { kty: 'EC', crv: 'P-384', x: coordinate(point.x), y: coordinate(point.y) },
    format: 'jwk',
  });
  const openssl = toHex(diffieHellman({ privateKey, publicKey }));
  expect(toHex(sharedSecret(secret, point))).toBe(openssl);
  expect(toHex(sharedSecretUnchecked(secret, point))).toBe(openssl);
});

describe('real certificates', () => {
  const chains = ofKind('sev-chain').filter((vector) =>
    ['sevchain-virtee-naples', 'sevchain-virtee-rome', 'sevchain-virtee-milan'].includes(vector.id),
  );

  test('there are three chains', () => {
    expect(chains.length).toBe(3);
  });

  test.each(chains)("$id passes the firmware's checks, and fails them with a flipped bit", (vector) => {
    const [pdh, pek, oca, cek] = ['pdh', 'pek', 'oca', 'cek'].map((role) => fileOf(vector, role)) as [
      Uint8Array,
      Uint8Array,
      Uint8Array,
      Uint8Array,
    ];
    const keyOf = (certificate: Uint8Array) => {
      const point = pointOf(certificate);
      if (!point) throw new Error('no key');
      return point;
    };
    expect(checkSignedBy(oca, USAGE.OCA, keyOf(oca))).toBe(SEV_STATUS.SUCCESS);
    expect(checkSignedBy(pek, USAGE.OCA, keyOf(oca))).toBe(SEV_STATUS.SUCCESS);
    expect(checkSignedBy(pek, USAGE.CEK, keyOf(cek))).toBe(SEV_STATUS.SUCCESS);
    expect(checkSignedBy(pdh, USAGE.PEK, keyOf(pek))).toBe(SEV_STATUS.SUCCESS);
    expect(checkSignedBy(pdh, USAGE.OCA, keyOf(oca))).toBe(SEV_STATUS.INVALID_CERTIFICATE);
    const broken = Uint8Array.from(pdh);
    broken[5] = (broken[5] as number) ^ 1;
    expect(checkSignedBy(broken, USAGE.PEK, keyOf(pek))).toBe(SEV_STATUS.BAD_SIGNATURE);
  });
});
