import { toHex } from '../../core/bytes.ts';
import type { Malformed } from '../abi/fields.ts';
import { attestationError } from '../errors.ts';
import { context, type Der, parseDer, readTime, readUnsigned, TAG } from './der.ts';
import { readExtensions, readSigned } from './x509.ts';

/** A list of revoked certificates as AMD's service gives it out. Nothing is verified. */
export interface CertificateRevocationList {
  /** DER of the signed part. */
  readonly signed: Uint8Array;
  /** DER of the issuer's name. */
  readonly issuer: Uint8Array;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  /** Serial numbers in hex, without leading zeros. */
  readonly revokedSerialsHex: readonly string[];
  /** Whether it holds a critical extension, which nobody may ignore and we know none of. */
  readonly hasCriticalExtension: boolean;
  /** DER AlgorithmIdentifier. */
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
}

const VERSION_2 = '020101';

/** Reads a revocation list in DER, version 2. Throws `CRL_MALFORMED`. RFC 5280, section 5.1. */
export function parseCrl(bytes: Uint8Array): CertificateRevocationList {
  const malformed: Malformed = (rule) => attestationError('CRL_MALFORMED', `certificate revocation list: ${rule}`);
  const { signed, algorithm, signature } = readSigned(parseDer(bytes, malformed), 'list', malformed);
  const [version, inner, issuer, thisUpdate, nextUpdate, ...rest] = signed.children(TAG.SEQUENCE, 'signed part');
  if (!version || !inner || !issuer || !thisUpdate || !nextUpdate || rest.length > 2) {
    throw malformed('expected version, algorithm, issuer, both times, revoked certificates and extensions');
  }
  if (toHex(version.raw()) !== VERSION_2) throw malformed('expected version 2');
  if (toHex(inner.raw()) !== toHex(algorithm)) {
    throw malformed('the signature algorithm inside the signed part is not the one outside');
  }
  const revoked = rest[0]?.tag === TAG.SEQUENCE ? rest[0] : undefined;
  const [extensions, ...surplus] = revoked === undefined ? rest : rest.slice(1);
  const [list, ...lists] = extensions?.children(context(0), 'extensions') ?? [];
  if (list === undefined || lists.length + surplus.length > 0) throw malformed('expected one list of extensions');
  const entries = revoked?.children(TAG.SEQUENCE, 'revoked certificates').map((entry) => readEntry(entry, malformed));
  // RFC 5280, section 5.1.2.6: an empty list is left out.
  if (entries?.length === 0) throw malformed('the list of revoked certificates is there, but empty');
  issuer.children(TAG.SEQUENCE, 'issuer');
  return {
    signed: signed.raw(),
    issuer: issuer.raw(),
    thisUpdate: readTime(thisUpdate, 'thisUpdate', malformed),
    nextUpdate: readTime(nextUpdate, 'nextUpdate', malformed),
    revokedSerialsHex: (entries ?? []).map((entry) => entry.serialHex),
    hasCriticalExtension:
      (entries ?? []).some((entry) => entry.critical) ||
      [...readExtensions(list, malformed).values()].some((extension) => extension.critical),
    signatureAlgorithm: algorithm,
    signature,
  };
}

function readEntry(entry: Der, malformed: Malformed): { serialHex: string; critical: boolean } {
  const [serial, date, extensions, ...more] = entry.children(TAG.SEQUENCE, 'revoked certificate');
  if (serial === undefined || date === undefined || more.length > 0) {
    throw malformed('revoked certificate: expected serial number, date and extensions');
  }
  readTime(date, 'revocation date', malformed);
  const known = extensions === undefined ? [] : [...readExtensions(extensions, malformed).values()];
  return {
    serialHex: toHex(readUnsigned(serial, 'serial number', malformed)),
    critical: known.some((extension) => extension.critical),
  };
}
