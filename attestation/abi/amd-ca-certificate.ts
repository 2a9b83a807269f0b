/** AMD CA certificate, ARK and ASK, in the SEV binary form: SEV API 55766 rev 3.24, appendix C.2. */
export const AMD_CA_CERTIFICATE = {
  version: 0x00,
  keyId: 0x04,
  certifyingId: 0x14,
  usage: 0x24,
  reserved: 0x28,
  /** Both sizes are in bits. */
  exponentSize: 0x38,
  modulusSize: 0x3c,
  exponent: 0x40,
} as const;

export const AMD_CA_ID_LENGTH = 16;
export const AMD_CA_RESERVED_LENGTH = 16;

/** Key sizes in bits that AMD has used: Naples 2048, everything later 4096. */
export const AMD_CA_KEY_BITS = [2048, 4096] as const;
export type AmdCaKeyBits = (typeof AMD_CA_KEY_BITS)[number];

/** Header, exponent, modulus and signature: 832 or 1600 bytes. */
export function amdCaCertificateLength(bits: AmdCaKeyBits): number {
  return AMD_CA_CERTIFICATE.exponent + 3 * (bits / 8);
}

/** Everything before the signature is signed. */
export function amdCaSignedLength(bits: AmdCaKeyBits): number {
  return AMD_CA_CERTIFICATE.exponent + 2 * (bits / 8);
}
