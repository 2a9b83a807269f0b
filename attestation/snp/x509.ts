import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../core/bytes.ts';
import type { Malformed } from '../abi/fields.ts';
import { type EcPoint, P384_BYTES, p384Spki } from '../certs/p384.ts';
import { type PssVerdict, type RsaPublicKey, verifyPss } from '../certs/rsa-pss.ts';
import { attestationError } from '../errors.ts';
import { context, type Der, latin1, parseDer, readBits, readTime, readUnsigned, TAG } from './der.ts';
import { readCertificateFile } from './pem.ts';

/** One extension; its meaning is not looked at here. */
export interface X509Extension {
  readonly critical: boolean;
  /** Contents of the OCTET STRING. */
  readonly value: Uint8Array;
}

export type X509PublicKey =
  | ({ readonly kind: 'rsa' } & RsaPublicKey)
  | { readonly kind: 'p384'; readonly point: EcPoint }
  | { readonly kind: 'other' };

/** What ARK, ASK, ASVK, VCEK and VLEK have in common. Nothing is verified. */
export interface X509Certificate {
  /** DER of the signed part. */
  readonly signed: Uint8Array;
  /** Big-endian. AMD gives every VCEK and VLEK the number 0. */
  readonly serialHex: string;
  /** DER; names are compared by their bytes. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly publicKey: X509PublicKey;
  /** SHA-256 of the DER SubjectPublicKeyInfo. */
  readonly spkiSha256Hex: string;
  /** By the hex of the OID's contents: forge reads several encodings as one dotted OID. */
  readonly extensions: ReadonlyMap<string, X509Extension>;
  /** DER AlgorithmIdentifier. */
  readonly signatureAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
}

// RFC 4055, section 3.1: RSASSA-PSS with SHA-384, MGF1 with SHA-384 and a salt of 48 bytes; AMD writes the default
// trailer field in some certificates and leaves it out in others.
const PSS_SHA384 =
  'a00f300d06096086480165030402020500a11c301a06092a864886f70d010108300d06096086480165030402020500a203020130';
const AMD_PSS: ReadonlySet<string> = new Set([
  `304106092a864886f70d01010a3034${PSS_SHA384}`,
  `304606092a864886f70d01010a3039${PSS_SHA384}a303020101`,
]);

const RSA_ALGORITHM = '300d06092a864886f70d0101010500';
const VERSION_3 = '020102';

/** Reads the one certificate of a file in DER or PEM. Throws `X509_MALFORMED`. RFC 5280, section 4.1. */
export function parseX509Certificate(bytes: Uint8Array): X509Certificate {
  const files = readCertificateFile(bytes);
  const [only] = files;
  if (only === undefined || files.length > 1) {
    throw x509Malformed(`expected one certificate, got ${files.length}`);
  }
  return readCertificate(only);
}

/** Reads every certificate of a file, `cert_chain` of AMD's service for instance. Throws `X509_MALFORMED`. */
export function parseX509Certificates(bytes: Uint8Array): X509Certificate[] {
  return readCertificateFile(bytes).map(readCertificate);
}

function readCertificate(bytes: Uint8Array): X509Certificate {
  const malformed = x509Malformed;
  const { signed, algorithm, signature } = readSigned(parseDer(bytes, malformed), 'certificate', malformed);
  const [version, serial, inner, issuer, validity, subject, spki, extensions, ...more] = signed.children(
    TAG.SEQUENCE,
    'signed part',
  );
  if (
    version === undefined ||
    serial === undefined ||
    inner === undefined ||
    issuer === undefined ||
    validity === undefined ||
    subject === undefined ||
    spki === undefined ||
    extensions === undefined ||
    more.length > 0
  ) {
    throw malformed(
      'expected version, serial, algorithm, issuer, validity, subject, key and extensions, no less, no more',
    );
  }
  const [number] = version.children(context(0), 'version');
  if (number === undefined || toHex(number.raw()) !== VERSION_3) throw malformed('expected version 3');
  if (!equalBytes(inner.raw(), algorithm)) {
    throw malformed('the signature algorithm inside the signed part is not the one outside');
  }
  const [notBefore, notAfter, ...times] = validity.children(TAG.SEQUENCE, 'validity');
  if (notBefore === undefined || notAfter === undefined || times.length > 0) {
    throw malformed('validity: expected two times');
  }
  const [list, ...lists] = extensions.children(context(3), 'extensions');
  if (list === undefined || lists.length > 0) throw malformed('extensions: expected one list');
  return {
    signed: signed.raw(),
    serialHex: toHex(readUnsigned(serial, 'serial number', malformed)),
    issuer: nameBytes(issuer, 'issuer'),
    subject: nameBytes(subject, 'subject'),
    notBefore: readTime(notBefore, 'notBefore', malformed),
    notAfter: readTime(notAfter, 'notAfter', malformed),
    publicKey: readPublicKey(spki, malformed),
    spkiSha256Hex: createHash('sha256').update(spki.raw()).digest('hex'),
    extensions: readExtensions(list, malformed),
    signatureAlgorithm: algorithm,
    signature,
  };
}

/** The three parts that certificates and revocation lists have in common. */
export function readSigned(root: Der, what: string, malformed: Malformed) {
  const [signed, algorithm, signature, ...more] = root.children(TAG.SEQUENCE, what);
  if (signed === undefined || algorithm === undefined || signature === undefined || more.length > 0) {
    throw malformed(`${what}: expected a signed part, an algorithm and a signature`);
  }
  return { signed, algorithm: algorithm.raw(), signature: readBits(signature, 'signature', malformed) };
}

/** Throws the caller's error for an extension that is there twice or is not encoded as DER wants it. */
export function readExtensions(list: Der, malformed: Malformed): Map<string, X509Extension> {
  const extensions = new Map<string, X509Extension>();
  for (const element of list.children(TAG.SEQUENCE, 'extensions')) {
    const parts = element.children(TAG.SEQUENCE, 'extension');
    const [oid, flag] = parts;
    const value = parts.at(-1);
    if (oid === undefined || flag === undefined || value === undefined || parts.length > 3) {
      throw malformed('extension: expected an OID, an optional flag and a value');
    }
    const critical = parts.length === 3;
    // DER leaves a flag that is false out, and writes true as ff.
    if (critical && toHex(flag.primitive(TAG.BOOLEAN, 'critical')) !== 'ff') throw malformed('critical: expected ff');
    const id = toHex(oid.primitive(TAG.OID, 'extension id'));
    if (extensions.has(id)) throw malformed(`extension ${id} is there twice`);
    extensions.set(id, { critical, value: value.primitive(TAG.OCTET_STRING, 'extension value') });
  }
  return extensions;
}

function readPublicKey(spki: Der, malformed: Malformed): X509PublicKey {
  const [algorithm, bits, ...more] = spki.children(TAG.SEQUENCE, 'public key');
  if (algorithm === undefined || bits === undefined || more.length > 0) {
    throw malformed('public key: expected an algorithm and a key');
  }
  const content = readBits(bits, 'public key', malformed);
  if (toHex(algorithm.raw()) === RSA_ALGORITHM) {
    const [modulus, exponent, ...rest] = parseDer(content, malformed).children(TAG.SEQUENCE, 'RSA key');
    if (modulus === undefined || exponent === undefined || rest.length > 0) {
      throw malformed('RSA key: expected modulus and exponent');
    }
    return {
      kind: 'rsa',
      modulus: readUnsigned(modulus, 'modulus', malformed),
      exponent: BigInt(`0x${toHex(readUnsigned(exponent, 'exponent', malformed))}`),
    };
  }
  const point = { x: content.slice(1, 1 + P384_BYTES), y: content.slice(1 + P384_BYTES) };
  return equalBytes(p384Spki(point), spki.raw()) ? { kind: 'p384', point } : { kind: 'other' };
}

/** Whether the signature is the signer's, RSASSA-PSS with exactly AMD's parameters. The caller has looked at the signer. */
export function verifyX509Signature(
  document: Pick<X509Certificate, 'signed' | 'signatureAlgorithm' | 'signature'>,
  signer: X509Certificate,
): PssVerdict {
  if (!AMD_PSS.has(toHex(document.signatureAlgorithm))) {
    return {
      verified: false,
      because: 'the signature algorithm is not RSASSA-PSS with SHA-384 and a salt of 48 bytes',
    };
  }
  if (signer.publicKey.kind !== 'rsa') return { verified: false, because: "the signer's key is not an RSA key" };
  return verifyPss(signer.publicKey, document.signed, document.signature);
}

// RFC 5280, appendix A.1: attribute types under 2.5.4.
const ATTRIBUTE_NAMES: Readonly<Record<string, string>> = {
  '550403': 'CN',
  '550406': 'C',
  '550407': 'L',
  '550408': 'ST',
  '55040a': 'O',
  '55040b': 'OU',
};
const AMD_NAME = { OU: 'Engineering', C: 'US', L: 'Santa Clara', ST: 'CA', O: 'Advanced Micro Devices' };

/** The common name of a name that is AMD's in every other attribute; `undefined` for any other name. */
export function amdCommonName(name: Uint8Array): string | undefined {
  const attributes = new Map<string, string>();
  for (const set of parseDer(name, x509Malformed).children(TAG.SEQUENCE, 'name')) {
    const [attribute, ...more] = set.children(TAG.SET, 'name part');
    const [type, value, ...rest] = attribute?.children(TAG.SEQUENCE, 'name attribute') ?? [];
    if (type === undefined || value === undefined || more.length + rest.length > 0) return undefined;
    const known = ATTRIBUTE_NAMES[toHex(type.primitive(TAG.OID, 'attribute type'))];
    if (known === undefined || attributes.has(known)) return undefined;
    if (value.tag !== TAG.UTF8_STRING && value.tag !== TAG.PRINTABLE_STRING) return undefined;
    attributes.set(known, latin1(value.primitive(value.tag, 'attribute value')));
  }
  const isAmd = Object.entries(AMD_NAME).every(([type, value]) => attributes.get(type) === value);
  return isAmd ? attributes.get('CN') : undefined;
}

/** Reading the name proves its form, so that `amdCommonName` does not throw later. */
function nameBytes(name: Der, what: string): Uint8Array {
  for (const set of name.children(TAG.SEQUENCE, what)) {
    for (const attribute of set.children(TAG.SET, what)) {
      const [type, ...values] = attribute.children(TAG.SEQUENCE, what);
      if (type === undefined || values.length !== 1) throw x509Malformed(`${what}: expected a type and a value`);
      type.primitive(TAG.OID, what);
    }
  }
  return name.raw();
}

function x509Malformed(rule: string) {
  return attestationError('X509_MALFORMED', `X.509 certificate: ${rule}`);
}
