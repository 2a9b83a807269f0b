import { fromBase64 } from '../../core/bytes.ts';
import { attestationError } from '../errors.ts';
import { latin1 } from './der.ts';

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';
const LINE_LENGTH = 64;
/** AMD's chains hold two certificates, a certificate table three. */
const MAX_CERTIFICATES = 8;
const MAX_BYTES = 64 * 1024;

/**
 * The DER certificates of a file: one certificate in DER, or any number in PEM (RFC 7468, strict form).
 *
 * PEM is taken with nothing but empty lines outside the blocks and nothing but canonical base64 inside. Throws `X509_MALFORMED`.
 */
export function readCertificateFile(bytes: Uint8Array): Uint8Array[] {
  if (!Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(BEGIN)) return [Uint8Array.from(bytes)];
  if (bytes.length > MAX_BYTES) throw malformed(`expected at most ${MAX_BYTES} bytes, got ${bytes.length}`);
  const lines = latin1(bytes).split('\n');
  const certificates: Uint8Array[] = [];
  let body: string[] | undefined;
  for (const [index, ended] of lines.entries()) {
    const line = ended.endsWith('\r') ? ended.slice(0, -1) : ended;
    const where = `line ${index + 1}`;
    if (body === undefined && line === '') continue;
    if (body === undefined) {
      if (line !== BEGIN) throw malformed(`${where}: expected ${BEGIN}, got ${JSON.stringify(line.slice(0, 80))}`);
      body = [];
    } else if (line === END) {
      certificates.push(decode(body, where));
      body = undefined;
    } else {
      body.push(line);
    }
  }
  if (body !== undefined) throw malformed(`no ${END} behind the last ${BEGIN}`);
  if (certificates.length > MAX_CERTIFICATES) {
    throw malformed(`expected at most ${MAX_CERTIFICATES} certificates, got ${certificates.length}`);
  }
  return certificates;
}

function decode(body: readonly string[], where: string): Uint8Array {
  const last = body.at(-1) ?? '';
  const even = body.slice(0, -1).every((line) => line.length === LINE_LENGTH);
  if (!even || last.length === 0 || last.length > LINE_LENGTH) {
    throw malformed(`the block that ends in ${where} is not in lines of ${LINE_LENGTH} characters`);
  }
  const der = fromBase64(body.join(''));
  if (der === undefined) throw malformed(`the block that ends in ${where} is not base64`);
  return der;
}

function malformed(rule: string) {
  return attestationError('X509_MALFORMED', `PEM certificates: ${rule}`);
}
