/** SEV certificate of PDH, PEK, OCA, CEK and guest owner: SEV API 55766 rev 3.24, appendix C.1. */
export const SEV_CERTIFICATE_LENGTH = 0x824;

export const SEV_CERTIFICATE = {
  version: 0x000,
  apiMajor: 0x004,
  apiMinor: 0x005,
  reserved: 0x006,
  usage: 0x008,
  algorithm: 0x00c,
  publicKey: 0x010,
  /** Both signatures are over the bytes before the first slot. */
  signedLength: 0x414,
  slots: [0x414, 0x61c],
} as const;

/** An EC public key, relative to `publicKey`. */
export const EC_PUBLIC_KEY = { curve: 0x000, qx: 0x004, qy: 0x04c, tail: 0x094, length: 0x404 } as const;

/** A signature slot, relative to its start. */
export const SIGNATURE_SLOT = { usage: 0x000, algorithm: 0x004, signature: 0x008, length: 0x208 } as const;

/** Numbers of an ECDSA signature, relative to `signature`; the field is as long as the largest RSA signature. */
export const ECDSA_SIGNATURE = { r: 0x000, s: 0x048, tail: 0x090, length: 0x200 } as const;

/** Width of one coordinate or ECDSA number in a certificate; P-384 fills the low 48 bytes. */
export const EC_FIELD_LENGTH = 72;
