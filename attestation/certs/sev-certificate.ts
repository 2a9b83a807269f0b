import {
  ALGORITHM_CODES,
  ALGORITHM_INVALID,
  type Algorithm,
  algorithmOf,
  CURVE_P384,
  USAGE_CODES,
  USAGE_INVALID,
  type Usage,
  usageOf,
} from '../abi/codes.ts';
import {
  type FieldReader,
  type FieldWriter,
  fieldReader,
  fieldWriter,
  hexNumber,
  type Malformed,
} from '../abi/fields.ts';
import {
  EC_FIELD_LENGTH,
  EC_PUBLIC_KEY,
  ECDSA_SIGNATURE,
  SEV_CERTIFICATE,
  SEV_CERTIFICATE_LENGTH,
  SIGNATURE_SLOT,
} from '../abi/sev-certificate.ts';
import { attestationError } from '../errors.ts';
import { type EcdsaSignature, type EcPoint, P384_BYTES } from './p384.ts';

/** A filled signature slot: who signed, how, and the numbers. */
export type SignatureSlot =
  | ({ readonly signer: Usage; readonly algorithm: 'ECDSA-SHA256' | 'ECDSA-SHA384' } & EcdsaSignature)
  | {
      readonly signer: Usage;
      readonly algorithm: 'RSA-PSS-SHA256' | 'RSA-PSS-SHA384';
      /** The 512 bytes of the field as one big-endian number: a 2048-bit signature fills its last 256 bytes. */
      readonly field: Uint8Array;
    };

/**
 * One SEV certificate.
 *
 * The parser refuses what this type cannot hold, so `encodeSevCertificate(parseSevCertificate(x))` is `x`. Everything
 * that it can hold and that may still be wrong (usage, algorithm, point, signatures) is for `verifyChain` to judge.
 */
export interface SevCertificate {
  readonly usage: Usage;
  readonly algorithm: Algorithm;
  /** API version of the firmware that made it. */
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly publicKey: EcPoint;
  /** `undefined` is an empty slot. The order of signers is free. */
  readonly slots: readonly [SignatureSlot | undefined, SignatureSlot | undefined];
}

/** The known structure version of both kinds of certificate. */
const VERSION = 1;

/**
 * Reads the 2084 bytes of a PDH, PEK, OCA, CEK or guest owner certificate; no signature is verified.
 *
 * Throws `SEV_CERTIFICATE_MALFORMED`. SEV API 55766 rev 3.24, appendix C.1.
 */
export function parseSevCertificate(bytes: Uint8Array): SevCertificate {
  const malformed: Malformed = (rule) => attestationError('SEV_CERTIFICATE_MALFORMED', `SEV certificate: ${rule}`);
  const fields = fieldReader(bytes, SEV_CERTIFICATE_LENGTH, malformed);
  const version = fields.u32(SEV_CERTIFICATE.version);
  if (version !== VERSION) throw malformed(`expected version ${VERSION}, got ${version}`);
  fields.requireZero(SEV_CERTIFICATE.reserved, 2, 'the reserved field');
  const usageCode = fields.u32(SEV_CERTIFICATE.usage);
  const usage = usageOf(usageCode);
  if (usage === undefined) throw malformed(`key usage ${hexNumber(usageCode, 4)} is not one of the known codes`);
  const algorithmCode = fields.u32(SEV_CERTIFICATE.algorithm);
  const algorithm = algorithmOf(algorithmCode);
  if (algorithm === undefined || algorithm.startsWith('RSA')) {
    throw malformed(`key algorithm ${hexNumber(algorithmCode, 3)} is not one of an EC key`);
  }
  const [first, second] = SEV_CERTIFICATE.slots;
  return {
    usage,
    algorithm,
    apiMajor: fields.u8(SEV_CERTIFICATE.apiMajor),
    apiMinor: fields.u8(SEV_CERTIFICATE.apiMinor),
    publicKey: readPublicKey(fields, malformed),
    slots: [readSlot(fields, first, 1, malformed), readSlot(fields, second, 2, malformed)],
  };
}

/** The inverse of `parseSevCertificate`. */
export function encodeSevCertificate(certificate: SevCertificate): Uint8Array {
  const fields = fieldWriter(SEV_CERTIFICATE_LENGTH);
  fields.u32(SEV_CERTIFICATE.version, VERSION);
  fields.u8(SEV_CERTIFICATE.apiMajor, certificate.apiMajor);
  fields.u8(SEV_CERTIFICATE.apiMinor, certificate.apiMinor);
  fields.u32(SEV_CERTIFICATE.usage, USAGE_CODES[certificate.usage]);
  fields.u32(SEV_CERTIFICATE.algorithm, ALGORITHM_CODES[certificate.algorithm]);
  const key = SEV_CERTIFICATE.publicKey;
  fields.u32(key + EC_PUBLIC_KEY.curve, CURVE_P384);
  fields.number(key + EC_PUBLIC_KEY.qx, certificate.publicKey.x);
  fields.number(key + EC_PUBLIC_KEY.qy, certificate.publicKey.y);
  SEV_CERTIFICATE.slots.forEach((offset, index) => {
    writeSlot(fields, offset, certificate.slots[index]);
  });
  return fields.finish();
}

/** The 1044 bytes that both signatures cover; they and not the whole file identify a certificate. */
export function signedBytes(certificate: SevCertificate): Uint8Array {
  return encodeSevCertificate(certificate).subarray(0, SEV_CERTIFICATE.signedLength);
}

function readPublicKey(fields: FieldReader, malformed: Malformed): EcPoint {
  const key = SEV_CERTIFICATE.publicKey;
  const curve = fields.u32(key + EC_PUBLIC_KEY.curve);
  if (curve !== CURVE_P384) {
    throw malformed(`expected curve ${CURVE_P384} (P-384, the only one that SEV keys use), got ${curve}`);
  }
  fields.requireZero(key + EC_PUBLIC_KEY.tail, EC_PUBLIC_KEY.length - EC_PUBLIC_KEY.tail, 'the rest of the public key');
  return {
    x: readNumber(fields, key + EC_PUBLIC_KEY.qx, 'the top of QX'),
    y: readNumber(fields, key + EC_PUBLIC_KEY.qy, 'the top of QY'),
  };
}

function readSlot(fields: FieldReader, offset: number, index: number, malformed: Malformed): SignatureSlot | undefined {
  const usageCode = fields.u32(offset + SIGNATURE_SLOT.usage);
  const algorithmCode = fields.u32(offset + SIGNATURE_SLOT.algorithm);
  const at = offset + SIGNATURE_SLOT.signature;
  if (usageCode === USAGE_INVALID && algorithmCode === ALGORITHM_INVALID) {
    fields.requireZero(at, ECDSA_SIGNATURE.length, `the signature of empty slot ${index}`);
    return undefined;
  }
  const signer = usageOf(usageCode);
  const algorithm = algorithmOf(algorithmCode);
  if (signer === undefined || algorithm === undefined) {
    throw malformed(
      `signature slot ${index} is neither empty nor filled: usage ${hexNumber(usageCode, 4)}, algorithm ${hexNumber(algorithmCode, 3)}`,
    );
  }
  switch (algorithm) {
    case 'RSA-PSS-SHA256':
    case 'RSA-PSS-SHA384':
      return { signer, algorithm, field: fields.number(at, ECDSA_SIGNATURE.length) };
    case 'ECDSA-SHA256':
    case 'ECDSA-SHA384':
      fields.requireZero(
        at + ECDSA_SIGNATURE.tail,
        ECDSA_SIGNATURE.length - ECDSA_SIGNATURE.tail,
        `the rest of slot ${index}`,
      );
      return {
        signer,
        algorithm,
        r: readNumber(fields, at + ECDSA_SIGNATURE.r, `the top of R in slot ${index}`),
        s: readNumber(fields, at + ECDSA_SIGNATURE.s, `the top of S in slot ${index}`),
      };
    case 'ECDH-SHA256':
    case 'ECDH-SHA384':
      throw malformed(`signature slot ${index} names ${algorithm}, which makes no signatures`);
  }
}

function writeSlot(fields: FieldWriter, offset: number, slot: SignatureSlot | undefined): void {
  if (slot === undefined) {
    fields.u32(offset + SIGNATURE_SLOT.usage, USAGE_INVALID);
    fields.u32(offset + SIGNATURE_SLOT.algorithm, ALGORITHM_INVALID);
    return;
  }
  fields.u32(offset + SIGNATURE_SLOT.usage, USAGE_CODES[slot.signer]);
  fields.u32(offset + SIGNATURE_SLOT.algorithm, ALGORITHM_CODES[slot.algorithm]);
  const at = offset + SIGNATURE_SLOT.signature;
  if ('field' in slot) {
    fields.number(at, slot.field);
  } else {
    fields.number(at + ECDSA_SIGNATURE.r, slot.r);
    fields.number(at + ECDSA_SIGNATURE.s, slot.s);
  }
}

/** A P-384 number of 48 bytes in its field of 72. */
function readNumber(fields: FieldReader, offset: number, topName: string): Uint8Array {
  fields.requireZero(offset + P384_BYTES, EC_FIELD_LENGTH - P384_BYTES, topName);
  return fields.number(offset, P384_BYTES);
}
