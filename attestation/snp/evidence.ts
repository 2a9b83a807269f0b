import { fromBase64 } from '../../core/bytes.ts';
import { fieldReader, type Malformed } from '../abi/fields.ts';
import { attestationError } from '../errors.ts';
import { parseCborMap } from './cbor.ts';
import { type CertTable, parseCertTable } from './cert-table.ts';
import { type HclReport, parseHclReport } from './hcl.ts';
import { parseSnpReport, SNP_REPORT_LENGTH, type SnpReport } from './report.ts';
import { parseX509Certificate, type X509Certificate } from './x509.ts';

/** A report with the certificates that the host sent along. Believe none of them: the root is pinned. */
export interface TsmReport {
  readonly report: SnpReport;
  readonly certificates: CertTable;
}

const PROVIDER = 'sev_guest';
const MAX_LENGTH = 256 * 1024;

/**
 * Reads a report from Linux's configfs-tsm as CBOR: `outblob`, `auxblob` (certificate table) and `provider`.
 *
 * Throws `SNP_EVIDENCE_MALFORMED` and, for the report inside, `SNP_REPORT_MALFORMED`. Linux Documentation/ABI/testing/configfs-tsm.
 */
export function parseTsmReport(bytes: Uint8Array): TsmReport {
  const malformed = malformedIn('TSM report');
  if (bytes.length > MAX_LENGTH) throw malformed(`expected at most ${MAX_LENGTH} bytes, got ${bytes.length}`);
  const map = parseCborMap(bytes, malformed);
  const [outblob, auxblob, provider] = ['outblob', 'auxblob', 'provider'].map((key) => map.get(key));
  if (map.size !== 3 || !(outblob instanceof Uint8Array) || !(auxblob instanceof Uint8Array)) {
    throw malformed('expected outblob, auxblob and provider, and nothing else');
  }
  if (provider !== PROVIDER)
    throw malformed(`expected provider ${PROVIDER}, got ${JSON.stringify(provider)?.slice(0, 40)}`);
  return { report: parseSnpReport(outblob), certificates: parseCertTable(auxblob) };
}

/** Reads what `/dev/sev-guest` gives: MSG_REPORT_RSP, up to 4000 bytes with zeros at the end. Throws `SNP_EVIDENCE_MALFORMED`. */
export function parseReportResponse(bytes: Uint8Array): SnpReport {
  const malformed = malformedIn('MSG_REPORT_RSP');
  const reportAt = 0x20;
  const end = reportAt + SNP_REPORT_LENGTH;
  if (bytes.length < end || bytes.length > 4096) throw malformed(`expected ${end} to 4096 bytes, got ${bytes.length}`);
  const fields = fieldReader(bytes, bytes.length, malformed);
  const [status, size] = [fields.u32(0), fields.u32(4)];
  if (status !== 0) throw malformed(`the firmware refused the report with status ${status}`);
  if (size !== SNP_REPORT_LENGTH) throw malformed(`expected a report of ${SNP_REPORT_LENGTH} bytes, got ${size}`);
  fields.requireZero(8, reportAt - 8, 'the reserved field');
  fields.requireZero(end, bytes.length - end, 'what follows the report');
  return parseSnpReport(fields.bytes(reportAt, SNP_REPORT_LENGTH));
}

/** Evidence of a confidential container in an Azure guest. */
export interface CocoEvidence {
  readonly hcl: HclReport;
  readonly vcek: X509Certificate;
}

/**
 * Reads evidence of the CoCo attester `az-snp-vtpm`, version 1: JSON with HCL report and VCEK (DER) in base64url.
 *
 * Its TPM quote is not looked at. Throws `SNP_EVIDENCE_MALFORMED`, `HCL_REPORT_MALFORMED`, `SNP_REPORT_MALFORMED`, `X509_MALFORMED`.
 */
export function parseCocoEvidence(bytes: Uint8Array): CocoEvidence {
  const malformed = malformedIn('CoCo evidence');
  if (bytes.length > MAX_LENGTH) throw malformed(`expected at most ${MAX_LENGTH} bytes, got ${bytes.length}`);
  const { version, hcl_report: hcl, vcek } = parseObject(bytes, malformed);
  if (version !== 1) throw malformed('expected version 1');
  return {
    hcl: parseHclReport(base64Url(hcl, 'hcl_report', malformed)),
    vcek: parseX509Certificate(base64Url(vcek, 'vcek', malformed)),
  };
}

function parseObject(bytes: Uint8Array, malformed: Malformed): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw attestationError('SNP_EVIDENCE_MALFORMED', 'CoCo evidence: not JSON', { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed('expected a JSON object');
  return value as Readonly<Record<string, unknown>>;
}

/** RFC 4648, section 5, with padding. */
function base64Url(value: unknown, name: string, malformed: Malformed): Uint8Array {
  const text = typeof value === 'string' && !/[+/]/.test(value) ? value : undefined;
  const bytes = text === undefined ? undefined : fromBase64(text.replaceAll('-', '+').replaceAll('_', '/'));
  if (bytes === undefined) throw malformed(`${name}: expected text in base64url with its padding`);
  return bytes;
}

function malformedIn(what: string): Malformed {
  return (rule) => attestationError('SNP_EVIDENCE_MALFORMED', `${what}: ${rule}`);
}
