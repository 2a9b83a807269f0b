import { equalBytes } from '../../core/bytes.ts';
import { amdCaCertificateLength } from '../abi/amd-ca-certificate.ts';
import type { Usage } from '../abi/codes.ts';
import { SEV_CERTIFICATE_LENGTH } from '../abi/sev-certificate.ts';
import { attestationError } from '../errors.ts';
import { type AmdCaCertificate, encodeAmdCaCertificate, parseAmdCaCertificate } from './amd-ca.ts';
import { encodeSevCertificate, parseSevCertificate, type SevCertificate } from './sev-certificate.ts';

/** What is there of a chain from a platform's PDH to AMD's root. */
export interface ChainCertificates {
  readonly pdh?: SevCertificate | undefined;
  readonly pek?: SevCertificate | undefined;
  readonly oca?: SevCertificate | undefined;
  readonly cek?: SevCertificate | undefined;
  readonly ask?: AmdCaCertificate | undefined;
  readonly ark?: AmdCaCertificate | undefined;
}

type SevRole = 'PDH' | 'PEK' | 'OCA' | 'CEK';
type Mutable = { -readonly [Role in keyof ChainCertificates]: ChainCertificates[Role] };

const CERT_CHAIN = ['PEK', 'OCA', 'CEK'] as const;
const EXPORT = ['PDH', 'PEK', 'OCA', 'CEK'] as const;

/** Length of one CA certificate: Naples, and everything later. */
const CA_LENGTHS = [amdCaCertificateLength(2048), amdCaCertificateLength(4096)] as const;

/**
 * Reads `cert-chain` of libvirt and QEMU, as PDH_CERT_EXPORT gives it: PEK, OCA, CEK, 6252 bytes. Nothing is verified.
 *
 * Throws `CHAIN_FILE_UNKNOWN`, `CHAIN_CERTIFICATE_MISPLACED`, `SEV_CERTIFICATE_MALFORMED`.
 * SEV API 55766 rev 3.24, section 5.9.
 */
export function parseCertChain(bytes: Uint8Array): ChainCertificates {
  if (bytes.length !== CERT_CHAIN.length * SEV_CERTIFICATE_LENGTH) throw unknownLength(bytes);
  return readSevRun(bytes, CERT_CHAIN);
}

/** PEK, OCA, CEK: what `parseCertChain` reads. */
export function encodeCertChain(chain: { pek: SevCertificate; oca: SevCertificate; cek: SevCertificate }): Uint8Array {
  return Buffer.concat([chain.pek, chain.oca, chain.cek].map(encodeSevCertificate));
}

/**
 * Reads `ask_ark_<product>.cert` as AMD publishes it: ASK, then ARK, 1664 or 3200 bytes. Nothing is verified.
 *
 * Throws `CHAIN_FILE_UNKNOWN`, `CHAIN_CERTIFICATE_MISPLACED`, `CA_CERTIFICATE_MALFORMED`.
 */
export function parseAskArk(bytes: Uint8Array): ChainCertificates {
  const length = CA_LENGTHS.find((candidate) => bytes.length === 2 * candidate);
  if (length === undefined) throw unknownLength(bytes);
  const ask = parseAmdCaCertificate(bytes.subarray(0, length));
  const ark = parseAmdCaCertificate(bytes.subarray(length));
  if (ask.usage !== 'ASK') throw misplaced("certificate 1 of AMD's file in the order ASK, ARK", ask.usage, 'ASK');
  if (ark.usage !== 'ARK') throw misplaced("certificate 2 of AMD's file in the order ASK, ARK", ark.usage, 'ARK');
  return { ask, ark };
}

/**
 * Reads any file that platforms, AMD or sevctl hand out, told apart by length, each certificate checked by its usage.
 *
 * One SEV certificate (2084), one ARK or ASK (832, 1600), `cert-chain` (PEK OCA CEK, 6252), sevctl's export
 * (PDH PEK OCA CEK, 8336), the same with ASK and ARK behind it, and ASK ARK (1664, 3200).
 * Nothing is verified. Throws `CHAIN_FILE_UNKNOWN`, `CHAIN_CERTIFICATE_MISPLACED` and what the certificates throw.
 */
export function parseChainFile(bytes: Uint8Array): ChainCertificates {
  const exported = EXPORT.length * SEV_CERTIFICATE_LENGTH;
  if (bytes.length === SEV_CERTIFICATE_LENGTH) return readOneSev(bytes);
  if (bytes.length === CERT_CHAIN.length * SEV_CERTIFICATE_LENGTH) return parseCertChain(bytes);
  if (bytes.length === exported) return readSevRun(bytes, EXPORT);
  for (const length of CA_LENGTHS) {
    if (bytes.length === length) return readOneCa(bytes);
    if (bytes.length === 2 * length) return parseAskArk(bytes);
    if (bytes.length === exported + 2 * length) {
      return { ...readSevRun(bytes.subarray(0, exported), EXPORT), ...parseAskArk(bytes.subarray(exported)) };
    }
  }
  throw unknownLength(bytes);
}

/**
 * Puts files together. The same certificate twice is fine, and a CEK signed by AMD takes the place of the same CEK as
 * the firmware exports it, unsigned.
 *
 * Throws `CHAIN_CERTIFICATES_CONFLICT`.
 */
export function mergeChains(...parts: readonly ChainCertificates[]): ChainCertificates {
  const merged: Mutable = {};
  for (const part of parts) {
    for (const role of ['pdh', 'pek', 'oca', 'cek'] as const) {
      const chosen = chooseSev(role, merged[role], part[role]);
      if (chosen !== undefined) merged[role] = chosen;
    }
    for (const role of ['ask', 'ark'] as const) {
      const [first, second] = [merged[role], part[role]];
      if (first !== undefined && second !== undefined && !sameCa(first, second)) throw conflict(role);
      if (second !== undefined) merged[role] = second;
    }
  }
  return merged;
}

export function sameCa(first: AmdCaCertificate, second: AmdCaCertificate): boolean {
  return equalBytes(encodeAmdCaCertificate(first), encodeAmdCaCertificate(second));
}

export function sameSev(first: SevCertificate, second: SevCertificate): boolean {
  return equalBytes(encodeSevCertificate(first), encodeSevCertificate(second));
}

function chooseSev(role: string, first: SevCertificate | undefined, second: SevCertificate | undefined) {
  if (first === undefined || second === undefined) return first ?? second;
  if (sameSev(first, second)) return first;
  if (role === 'cek' && isSameKey(first, second)) {
    if (isUnsigned(first)) return second;
    if (isUnsigned(second)) return first;
  }
  throw conflict(role);
}

/** The API version may differ: an export says that of the firmware, AMD's signed CEK says 0.14. */
function isSameKey(first: SevCertificate, second: SevCertificate): boolean {
  return sameSev(
    { ...first, slots: [undefined, undefined] },
    { ...second, slots: [undefined, undefined], apiMajor: first.apiMajor, apiMinor: first.apiMinor },
  );
}

export function isUnsigned(certificate: SevCertificate): boolean {
  return certificate.slots.every((slot) => slot === undefined);
}

function readOneSev(bytes: Uint8Array): ChainCertificates {
  const certificate = parseSevCertificate(bytes);
  const role = certificate.usage;
  if (role === 'ARK' || role === 'ASK') throw misplaced('an SEV certificate', role, 'PDH, PEK, OCA or CEK');
  return sevRole(role, certificate);
}

function readSevRun(bytes: Uint8Array, order: readonly SevRole[]): ChainCertificates {
  const parts = order.map((role, index) => {
    const start = index * SEV_CERTIFICATE_LENGTH;
    const certificate = parseSevCertificate(bytes.subarray(start, start + SEV_CERTIFICATE_LENGTH));
    if (certificate.usage !== role) {
      throw misplaced(
        `certificate ${index + 1} of an export in the order ${order.join(', ')}`,
        certificate.usage,
        role,
      );
    }
    return sevRole(role, certificate);
  });
  return Object.assign({}, ...parts) as ChainCertificates;
}

function readOneCa(bytes: Uint8Array): ChainCertificates {
  const certificate = parseAmdCaCertificate(bytes);
  return certificate.usage === 'ARK' ? { ark: certificate } : { ask: certificate };
}

function sevRole(role: SevRole, certificate: SevCertificate): ChainCertificates {
  switch (role) {
    case 'PDH':
      return { pdh: certificate };
    case 'PEK':
      return { pek: certificate };
    case 'OCA':
      return { oca: certificate };
    case 'CEK':
      return { cek: certificate };
  }
}

function misplaced(where: string, actual: Usage, expected: string) {
  return attestationError('CHAIN_CERTIFICATE_MISPLACED', `${where} has key usage ${actual}, expected ${expected}`, {
    details: { actual, expected },
  });
}

function conflict(role: string) {
  return attestationError(
    'CHAIN_CERTIFICATES_CONFLICT',
    `two different certificates were given as ${role.toUpperCase()}`,
    {
      details: { role },
      hint: 'Give each certificate once, all of one platform.',
    },
  );
}

function unknownLength(bytes: Uint8Array) {
  const text =
    bytes.length > 0 && bytes.every((byte) => byte < 0x7f && (byte >= 0x20 || (byte >= 0x09 && byte <= 0x0d)));
  return attestationError(
    'CHAIN_FILE_UNKNOWN',
    `a file of ${bytes.length} bytes is none of: one certificate (2084, 832, 1600), PEK OCA CEK (6252), PDH PEK OCA CEK (8336, with ASK and ARK 10000 or 11536), ASK and ARK (1664, 3200)`,
    {
      details: { length: bytes.length },
      ...(text ? { hint: 'The file is text. SEV certificates have no PEM form; decode base64 first.' } : {}),
    },
  );
}
