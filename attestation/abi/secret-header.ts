import { attestationError } from '../errors.ts';
import { fieldReader, fieldWriter, hexNumber } from './fields.ts';

/** LAUNCH_SECRET packet header: SEV API 55766 rev 3.24, section 6.6. */
const SECRET_HEADER = { flags: 0x00, iv: 0x04, mac: 0x14 } as const;

export const SECRET_HEADER_LENGTH = 0x34;

const FLAG_COMPRESSED = 0x1;

export interface SecretHeader {
  readonly compressed: boolean;
  /** 16 bytes, initial counter of AES-128-CTR. */
  readonly iv: Uint8Array;
  /** 32 bytes, HMAC-SHA-256 with the TIK. */
  readonly mac: Uint8Array;
}

/** Splits a packet header; its MAC is not verified. Throws `SECRET_HEADER_MALFORMED`. */
export function parseSecretHeader(bytes: Uint8Array): SecretHeader {
  const malformed = (rule: string) =>
    attestationError('SECRET_HEADER_MALFORMED', `launch secret packet header: ${rule}`);
  const fields = fieldReader(bytes, SECRET_HEADER_LENGTH, malformed);
  const flags = fields.u32(SECRET_HEADER.flags);
  if ((flags & ~FLAG_COMPRESSED) !== 0) {
    throw malformed(`flags may have bit 0 only, found ${hexNumber(flags, 8)}`);
  }
  return {
    compressed: flags === FLAG_COMPRESSED,
    iv: fields.bytes(SECRET_HEADER.iv, 16),
    mac: fields.bytes(SECRET_HEADER.mac, 32),
  };
}

export function encodeSecretHeader(header: SecretHeader): Uint8Array {
  const fields = fieldWriter(SECRET_HEADER_LENGTH);
  fields.u32(SECRET_HEADER.flags, secretHeaderFlags(header));
  fields.bytes(SECRET_HEADER.iv, header.iv);
  fields.bytes(SECRET_HEADER.mac, header.mac);
  return fields.finish();
}

export function secretHeaderFlags(header: Pick<SecretHeader, 'compressed'>): number {
  return header.compressed ? FLAG_COMPRESSED : 0;
}
