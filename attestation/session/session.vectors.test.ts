import { createPrivateKey, createPublicKey, diffieHellman } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { concatBytes, fromBase64, fromHex, toHex } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import { Secret } from '../../core/secret.ts';
import { computeSharedX, p384Spki } from '../certs/p384.ts';
import { parseSevCertificate } from '../certs/sev-certificate.ts';
import { parseLaunchMeasure, parseTik } from '../measurement/measurement.ts';
import { openLaunchSecret, type SecretKeys, sealLaunchSecret } from '../secrets/packet.ts';
import { buildSecretTable, parseSecretTable } from '../secrets/table.ts';
import { type MutationOp, mutants, type Roles } from '../testing/mutation-ops.ts';
import { openVectorSet, type Vector } from '../testing/vector-files.ts';
import { VECTOR_KINDS } from '../testing/vector-kinds.ts';
import { hmacSha256, sealSessionBlob, unsealSessionBlob } from './blob.ts';
import { deriveKey } from './kdf.ts';
import { createLaunchSession } from './launch-session.ts';
import { parseTek } from './transport-keys.ts';

const shared = process.env.SEV_HARNESS_SHARED ?? path.resolve(import.meta.dirname, '../../../shared');
const { vectors, recipes, rolesOf, fileOf } = openVectorSet(
  (name) => Uint8Array.from(readFileSync(path.join(shared, 'vectors', name))),
  VECTOR_KINDS.session,
);

type Params = Readonly<Record<string, string>>;

function paramsOf(roles: Roles): Params {
  return JSON.parse(Buffer.from(role(roles, 'params')).toString('utf8')) as Params;
}

function role(roles: Roles, name: string): Uint8Array {
  const bytes = roles.get(name);
  if (bytes === undefined) throw new Error(`no file ${name}`);
  return bytes;
}

function hex(text: string | undefined): Uint8Array {
  const bytes = fromHex(text ?? '');
  if (bytes === undefined) throw new Error(`not hex: ${text}`);
  return bytes;
}

function base64(text: string | undefined): Uint8Array {
  const bytes = fromBase64(text ?? '');
  if (bytes === undefined) throw new Error(`not base64: ${text}`);
  return bytes;
}

function kdfAgrees(roles: Roles): boolean {
  const params = paramsOf(roles);
  const size = Number(params.size);
  const derived = deriveKey(hex(params.key_hex), String(params.label), hex(params.context_hex), size);
  return toHex(derived.subarray(0, 16)) === params.expected_hex;
}

function sessionAgrees(roles: Roles): boolean {
  const params = paramsOf(roles);
  const expected = (params as unknown as { expected: Params }).expected;
  const blob = sealSessionBlob(
    { sharedX: hex(params.z_hex), tek: hex(params.tek_hex), tik: hex(params.tik_hex) },
    { nonce: hex(params.nonce_hex), wrapIv: hex(params.iv_hex), policy: Number(params.policy) },
  );
  return (
    toHex(blob.wrappedKeys) === expected.wrap_tk_hex &&
    toHex(blob.wrapMac) === expected.wrap_mac_hex &&
    toHex(blob.policyMac) === expected.policy_mac_hex
  );
}

function secretKeys(roles: Roles): SecretKeys {
  const { measurement } = parseLaunchMeasure(base64(paramsOf(roles).launch_measure_blob_b64));
  return { tik: parseTik(role(roles, 'tik')), tek: parseTek(role(roles, 'tek')), measurement };
}

function secretAgrees(roles: Roles): boolean {
  const params = paramsOf(roles);
  const packet = { header: base64(params.expected_header_b64), payload: base64(params.expected_payload_b64) };
  const [entry, ...more] = parseSecretTable(openLaunchSecret(packet, secretKeys(roles)));
  return (
    more.length === 0 &&
    entry?.guid === '736869e5-84f0-4973-92ec-06879ce3da0b' &&
    toHex(entry.secret.reveal()) === toHex(role(roles, 'secret'))
  );
}

/** A changed plain text, encrypted and authenticated as if by its owner. */
function resealed(roles: Roles, op: MutationOp): Roles {
  const params = paramsOf(roles);
  const keys = secretKeys(roles);
  const packet = { header: base64(params.expected_header_b64), payload: base64(params.expected_payload_b64) };
  const plain = Uint8Array.from(openLaunchSecret(packet, keys).reveal());
  plain.set(hex(op.hex), op.offset);
  const { header, payload } = sealLaunchSecret(new Secret(plain), keys, () => packet.header.slice(4, 20));
  const changed = {
    ...params,
    expected_header_b64: Buffer.from(header).toString('base64'),
    expected_payload_b64: Buffer.from(payload).toString('base64'),
  };
  return new Map(roles).set('params', Buffer.from(JSON.stringify(changed)));
}

const AGREES: Readonly<Record<string, (roles: Roles) => boolean>> = {
  kdf: kdfAgrees,
  'session-blob': sessionAgrees,
  'launch-secret': secretAgrees,
};

/** A refusal is a coded error or a different value; anything else that is thrown is a bug. */
function agrees(vector: Vector, roles: Roles): boolean {
  try {
    return AGREES[vector.kind]?.(roles) ?? false;
  } catch (error) {
    if (isSevHarnessError(error)) return false;
    throw error;
  }
}

describe('third-party known answers', () => {
  it('are all here', () => {
    expect(vectors.map((vector) => vector.id)).toEqual([
      'ecdh-migration-attack',
      'secret-sevctl-single',
      'kdf-zero',
      'session-zero',
    ]);
    expect(recipes.length).toBe(34);
  });

  it.each(vectors.filter((vector) => vector.kind !== 'ecdh').map((vector) => [vector.id, vector] as const))(
    '%s',
    (_, vector) => {
      expect(AGREES[vector.kind]?.(rolesOf(vector))).toBe(true);
    },
  );

  it('kdf-zero also pins the HMAC', () => {
    const params = paramsOf(new Map([['params', fileOf('kdf-zero', 'params')]]));
    expect(toHex(hmacSha256(new Uint8Array(16), new Uint8Array(4)))).toBe(params.mac_of_4_zero_bytes_hex);
  });

  it('session-zero opens again, and for no other policy', () => {
    const zero = new Uint8Array(16);
    const blob = sealSessionBlob({ sharedX: zero, tek: zero, tik: zero }, { nonce: zero, wrapIv: zero, policy: 0 });
    expect(unsealSessionBlob(zero, blob, 0)).toEqual({ tek: zero, tik: zero });
    expect(() => unsealSessionBlob(zero, blob, 1)).toThrow(
      expect.objectContaining({ code: 'SESSION_POLICY_MAC_MISMATCH' }),
    );
  });

  it('secret-sevctl-single is reproduced byte for byte', () => {
    const roles = new Map(
      ['params', 'tik', 'tek', 'secret'].map((name) => [name, fileOf('secret-sevctl-single', name)]),
    );
    const params = paramsOf(roles);
    const table = buildSecretTable([{ guid: 'luks-key', secret: new Secret(role(roles, 'secret')) }]);
    const packet = sealLaunchSecret(table, secretKeys(roles), () => base64(params.iv_b64));
    expect(Buffer.from(packet.header).toString('base64')).toBe(params.expected_header_b64);
    expect(Buffer.from(packet.payload).toString('base64')).toBe(params.expected_payload_b64);
  });

  it('a real PDH and a real private key agree with OpenSSL on the shared secret, and take a session', () => {
    const pdh = parseSevCertificate(fileOf('ecdh-migration-attack', 'pdh'));
    const pem = createPrivateKey(Buffer.from(fileOf('ecdh-migration-attack', 'priv')));
    const { d = '' } = pem.export({ format: 'jwk' });
    const scalar = Uint8Array.from(Buffer.from(d, 'base64url'));
    const publicKey = createPublicKey({ key: Buffer.from(p384Spki(pdh.publicKey)), format: 'der', type: 'spki' });
    const expected = diffieHellman({ privateKey: pem, publicKey });
    expect(toHex(computeSharedX(scalar, pdh.publicKey, 'PDH'))).toBe(toHex(expected));
    const session = createLaunchSession({
      platform: { pdh },
      policy: 1,
      random: (length) => concatBytes(new Uint8Array(length - 1), Uint8Array.of(7)),
      insecure: true,
    });
    expect(session.chain.ok).toBe(false);
    expect([session.godh.length, session.session.length]).toEqual([2084, 128]);
  });
});

describe('mutants', () => {
  it.each(recipes.map((recipe) => [recipe.id, recipe] as const))('%s', (_, recipe) => {
    const vector = vectors.find((candidate) => candidate.id === recipe.base);
    if (vector === undefined) throw new Error(recipe.base);
    const base = rolesOf(vector);
    const [first] = recipe.ops;
    const produced = first?.op === 'secret_plain' ? [resealed(base, first)] : mutants(base, recipe.ops, fileOf);
    expect(produced.length).toBeGreaterThan(0);
    for (const roles of produced) expect(agrees(vector, roles)).toBe(recipe.class === 'control');
  });
});
