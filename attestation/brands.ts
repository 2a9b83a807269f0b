/** Byte strings of equal length that must not be confused. The brand exists for the compiler only. */
declare const brand: unique symbol;
type Bytes<Name extends string> = Uint8Array & { readonly [brand]: Name };

/** Transport integrity key, 16 bytes. Stays with the guest owner. */
export type Tik = Bytes<'Tik'>;
/** Transport encryption key, 16 bytes. Stays with the guest owner. */
export type Tek = Bytes<'Tek'>;
/** SHA-256 over what was loaded, 32 bytes. */
export type LaunchDigest = Bytes<'LaunchDigest'>;
/** HMAC-SHA-256 over digest, policy, versions and nonce, 32 bytes. */
export type LaunchMeasurement = Bytes<'LaunchMeasurement'>;
/** Nonce that the firmware draws for one measurement, 16 bytes. */
export type Mnonce = Bytes<'Mnonce'>;
/** Hash chain over what was loaded into a SEV-SNP guest, 48 bytes. */
export type SnpLaunchDigest = Bytes<'SnpLaunchDigest'>;
