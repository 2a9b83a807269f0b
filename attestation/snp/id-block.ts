import { createHash } from 'node:crypto';
import { toHex } from '../../core/bytes.ts';
import { fieldReader, fieldWriter, type Malformed } from '../abi/fields.ts';
import type { SnpLaunchDigest } from '../brands.ts';
import type { EcdsaSignature, EcPoint } from '../certs/p384.ts';
import { attestationError } from '../errors.ts';
import {
  ECDSA_P384_SHA384,
  PUBLIC_KEY_LENGTH,
  readPublicKey,
  readSignature,
  SIGNATURE_LENGTH,
  writePublicKey,
  writeSignature,
} from './ecdsa-field.ts';

/** What a guest owner says about the guest, for the firmware to hold against the launch. */
export interface IdBlock {
  readonly launchDigest: SnpLaunchDigest;
  /** 16 bytes each, the owner's choice. */
  readonly familyId: Uint8Array;
  readonly imageId: Uint8Array;
  readonly guestSvn: number;
  readonly policy: bigint;
}

/** Who signed an ID block. Points are not known to be on the curve. */
export interface IdAuth {
  readonly idBlockSignature: EcdsaSignature;
  readonly idKey: EcPoint;
  /** The author's signature of the ID key; `author` is absent where no author signed it. */
  readonly author: { readonly idKeySignature: EcdsaSignature; readonly key: EcPoint } | undefined;
}

export const ID_BLOCK_LENGTH = 96;
export const ID_AUTH_LENGTH = 4096;
const ID_BLOCK_VERSION = 1;

// SEV-SNP ABI 56860, section 8.18, tables of ID_BLOCK and ID_AUTH.
const BLOCK = { launchDigest: 0, familyId: 0x30, imageId: 0x40, version: 0x50, guestSvn: 0x54, policy: 0x58 };
const AUTH = {
  idKeyAlgorithm: 0x000,
  authorKeyAlgorithm: 0x004,
  idBlockSignature: 0x040,
  idKey: 0x240,
  idKeySignature: 0x680,
  authorKey: 0x880,
};
const AUTH_GAPS = [
  [0x008, AUTH.idBlockSignature],
  [AUTH.idKey + PUBLIC_KEY_LENGTH, AUTH.idKeySignature],
  [AUTH.authorKey + PUBLIC_KEY_LENGTH, ID_AUTH_LENGTH],
] as const;

/** Reads an ID block, 96 bytes. Throws `ID_BLOCK_MALFORMED`. SEV-SNP ABI 56860, section 8.18. */
export function parseIdBlock(bytes: Uint8Array): IdBlock {
  const malformed: Malformed = (rule) => attestationError('ID_BLOCK_MALFORMED', `ID block: ${rule}`);
  const fields = fieldReader(bytes, ID_BLOCK_LENGTH, malformed);
  const version = fields.u32(BLOCK.version);
  if (version !== ID_BLOCK_VERSION) throw malformed(`expected version ${ID_BLOCK_VERSION}, got ${version}`);
  return {
    launchDigest: fields.bytes(BLOCK.launchDigest, 48) as SnpLaunchDigest,
    familyId: fields.bytes(BLOCK.familyId, 16),
    imageId: fields.bytes(BLOCK.imageId, 16),
    guestSvn: fields.u32(BLOCK.guestSvn),
    policy: BigInt(`0x${toHex(fields.number(BLOCK.policy, 8))}`),
  };
}

/** The inverse of `parseIdBlock`. */
export function encodeIdBlock(block: IdBlock): Uint8Array {
  const fields = fieldWriter(ID_BLOCK_LENGTH);
  fields.bytes(BLOCK.launchDigest, block.launchDigest);
  fields.bytes(BLOCK.familyId, block.familyId);
  fields.bytes(BLOCK.imageId, block.imageId);
  fields.u32(BLOCK.version, ID_BLOCK_VERSION);
  fields.u32(BLOCK.guestSvn, block.guestSvn);
  fields.number(BLOCK.policy, Buffer.from(block.policy.toString(16).padStart(16, '0'), 'hex'));
  return fields.finish();
}

/**
 * Reads an ID authentication page, 4096 bytes; no signature is verified.
 *
 * Throws `ID_BLOCK_MALFORMED`. SEV-SNP ABI 56860, section 8.18.
 */
export function parseIdAuth(bytes: Uint8Array): IdAuth {
  const malformed: Malformed = (rule) => attestationError('ID_BLOCK_MALFORMED', `ID authentication page: ${rule}`);
  const fields = fieldReader(bytes, ID_AUTH_LENGTH, malformed);
  const expectAlgorithm = (offset: number, whose: string) => {
    const algorithm = fields.u32(offset);
    if (algorithm !== ECDSA_P384_SHA384) {
      throw malformed(`algorithm of the ${whose}: expected ${ECDSA_P384_SHA384}, got ${algorithm}`);
    }
  };
  expectAlgorithm(AUTH.idKeyAlgorithm, 'ID key');
  for (const [start, end] of AUTH_GAPS) fields.requireZero(start, end - start, 'a reserved field');
  const idKey = readPublicKey(fields, AUTH.idKey, 'ID key', malformed);
  if (idKey === undefined) throw malformed('there is no ID key');
  const authorKey = readPublicKey(fields, AUTH.authorKey, 'author key', malformed);
  if (authorKey === undefined)
    fields.requireZero(AUTH.idKeySignature, SIGNATURE_LENGTH, 'a signature without author key');
  else expectAlgorithm(AUTH.authorKeyAlgorithm, 'author key');
  return {
    idBlockSignature: readSignature(fields, AUTH.idBlockSignature, 'signature of the ID block', malformed),
    idKey,
    author: authorKey && {
      idKeySignature: readSignature(fields, AUTH.idKeySignature, 'signature of the ID key', malformed),
      key: authorKey,
    },
  };
}

/** The inverse of `parseIdAuth`. */
export function encodeIdAuth(auth: IdAuth): Uint8Array {
  const fields = fieldWriter(ID_AUTH_LENGTH);
  fields.u32(AUTH.idKeyAlgorithm, ECDSA_P384_SHA384);
  writeSignature(fields, AUTH.idBlockSignature, auth.idBlockSignature);
  writePublicKey(fields, AUTH.idKey, auth.idKey);
  if (auth.author !== undefined) {
    fields.u32(AUTH.authorKeyAlgorithm, ECDSA_P384_SHA384);
    writeSignature(fields, AUTH.idKeySignature, auth.author.idKeySignature);
    writePublicKey(fields, AUTH.authorKey, auth.author.key);
  }
  return fields.finish();
}

/** A public key as the firmware hashes and signs it, 0x404 bytes. */
export function encodeIdPublicKey(point: EcPoint): Uint8Array {
  const fields = fieldWriter(PUBLIC_KEY_LENGTH);
  writePublicKey(fields, 0, point);
  return fields.finish();
}

/** What a report says about an ID key or author key: SHA-384, 48 bytes. */
export function computeIdKeyDigest(point: EcPoint): Uint8Array {
  return Uint8Array.from(createHash('sha384').update(encodeIdPublicKey(point)).digest());
}
