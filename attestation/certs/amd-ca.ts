import { toHex } from '../../core/bytes.ts';
import {
  AMD_CA_CERTIFICATE,
  AMD_CA_ID_LENGTH,
  AMD_CA_KEY_BITS,
  AMD_CA_RESERVED_LENGTH,
  type AmdCaKeyBits,
  amdCaCertificateLength,
  amdCaSignedLength,
} from '../abi/amd-ca-certificate.ts';
import { USAGE_CODES } from '../abi/codes.ts';
import { fieldReader, fieldWriter, hexNumber, type Malformed } from '../abi/fields.ts';
import { attestationError } from '../errors.ts';
import type { RsaPublicKey } from './rsa-pss.ts';

/** ARK or ASK. Like `SevCertificate`, it holds everything that its bytes say, verified or not. */
export interface AmdCaCertificate extends RsaPublicKey {
  readonly usage: 'ARK' | 'ASK';
  /** 16 bytes. */
  readonly keyId: Uint8Array;
  /** 16 bytes: the key id of whoever signed it, for an ARK its own. */
  readonly certifyingId: Uint8Array;
  /** Big-endian, as long as the modulus. */
  readonly signature: Uint8Array;
}

const VERSION = 1;

/**
 * Reads an ARK or ASK in the SEV binary form, 832 bytes (2048 bit) or 1600 bytes (4096 bit); no signature is verified.
 *
 * Throws `CA_CERTIFICATE_MALFORMED`. SEV API 55766 rev 3.24, appendix C.2.
 */
export function parseAmdCaCertificate(bytes: Uint8Array): AmdCaCertificate {
  const malformed: Malformed = (rule) => attestationError('CA_CERTIFICATE_MALFORMED', `AMD CA certificate: ${rule}`);
  const bits = AMD_CA_KEY_BITS.find((size) => amdCaCertificateLength(size) === bytes.length);
  if (bits === undefined) throw malformed(`expected 832 or 1600 bytes, got ${bytes.length}`);
  const fields = fieldReader(bytes, amdCaCertificateLength(bits), malformed);
  const version = fields.u32(AMD_CA_CERTIFICATE.version);
  if (version !== VERSION) throw malformed(`expected version ${VERSION}, got ${version}`);
  const usageCode = fields.u32(AMD_CA_CERTIFICATE.usage);
  if (usageCode !== USAGE_CODES.ARK && usageCode !== USAGE_CODES.ASK) {
    throw malformed(`key usage ${hexNumber(usageCode, 2)} is neither ARK (0x00) nor ASK (0x13)`);
  }
  fields.requireZero(AMD_CA_CERTIFICATE.reserved, AMD_CA_RESERVED_LENGTH, 'the reserved field');
  const exponentBits = fields.u32(AMD_CA_CERTIFICATE.exponentSize);
  const modulusBits = fields.u32(AMD_CA_CERTIFICATE.modulusSize);
  if (exponentBits !== bits || modulusBits !== bits) {
    throw malformed(
      `expected exponent and modulus sizes of ${bits} bits in ${bytes.length} bytes, got ${exponentBits} and ${modulusBits}`,
    );
  }
  const size = bits / 8;
  return {
    usage: usageCode === USAGE_CODES.ARK ? 'ARK' : 'ASK',
    keyId: fields.bytes(AMD_CA_CERTIFICATE.keyId, AMD_CA_ID_LENGTH),
    certifyingId: fields.bytes(AMD_CA_CERTIFICATE.certifyingId, AMD_CA_ID_LENGTH),
    exponent: BigInt(`0x${toHex(fields.number(AMD_CA_CERTIFICATE.exponent, size))}`),
    modulus: fields.number(AMD_CA_CERTIFICATE.exponent + size, size),
    signature: fields.number(AMD_CA_CERTIFICATE.exponent + 2 * size, size),
  };
}

/** The inverse of `parseAmdCaCertificate`. */
export function encodeAmdCaCertificate(certificate: AmdCaCertificate): Uint8Array {
  const size = certificate.modulus.length;
  const bits = (size * 8) as AmdCaKeyBits;
  const fields = fieldWriter(amdCaCertificateLength(bits));
  fields.u32(AMD_CA_CERTIFICATE.version, VERSION);
  fields.bytes(AMD_CA_CERTIFICATE.keyId, certificate.keyId);
  fields.bytes(AMD_CA_CERTIFICATE.certifyingId, certificate.certifyingId);
  fields.u32(AMD_CA_CERTIFICATE.usage, USAGE_CODES[certificate.usage]);
  fields.u32(AMD_CA_CERTIFICATE.exponentSize, bits);
  fields.u32(AMD_CA_CERTIFICATE.modulusSize, bits);
  const exponent = Buffer.from(certificate.exponent.toString(16).padStart(size * 2, '0'), 'hex');
  fields.number(AMD_CA_CERTIFICATE.exponent, exponent);
  fields.number(AMD_CA_CERTIFICATE.exponent + size, certificate.modulus);
  fields.number(AMD_CA_CERTIFICATE.exponent + 2 * size, certificate.signature);
  return fields.finish();
}

/** Everything before the signature. */
export function signedCaBytes(certificate: AmdCaCertificate): Uint8Array {
  const bits = (certificate.modulus.length * 8) as AmdCaKeyBits;
  return encodeAmdCaCertificate(certificate).subarray(0, amdCaSignedLength(bits));
}
