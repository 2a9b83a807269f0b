import { isAllZero } from '../../core/bytes.ts';
import { fieldReader, type Malformed } from '../abi/fields.ts';
import { attestationError } from '../errors.ts';
import { latin1 } from './der.ts';
import { parseSnpReport, SNP_REPORT_LENGTH, type SnpReport } from './report.ts';

export type HclHash = 'sha256' | 'sha384' | 'sha512';

/** What Azure's paravisor hashed into REPORT_DATA. */
export interface HclRuntimeData {
  readonly hash: HclHash;
  /** JSON text, byte for byte: keys of the virtual TPM, configuration. */
  readonly json: Uint8Array;
}

export interface HclReport {
  readonly report: SnpReport;
  readonly runtimeData: HclRuntimeData;
}

const MAGIC = 'HCLA';
const HEADER_LENGTH = 0x20;
const RUNTIME_HEADER_LENGTH = 20;
const REPORT_TYPE_SNP = 2;
const HASHES: ReadonlyMap<number, HclHash> = new Map([
  [1, 'sha256'],
  [2, 'sha384'],
  [3, 'sha512'],
]);
/** TPM NV areas are smaller by far. */
const MAX_LENGTH = 64 * 1024;

/**
 * Reads what a SEV-SNP guest on Azure finds in its virtual TPM (NV index 0x01400001); nothing is verified.
 *
 * Every length must agree with every other, and what follows the runtime data be zero. Throws `HCL_REPORT_MALFORMED`
 * and, for the report inside, `SNP_REPORT_MALFORMED`.
 */
export function parseHclReport(bytes: Uint8Array): HclReport {
  const malformed: Malformed = (rule) => attestationError('HCL_REPORT_MALFORMED', `HCL report: ${rule}`);
  const runtimeAt = HEADER_LENGTH + SNP_REPORT_LENGTH;
  const jsonAt = runtimeAt + RUNTIME_HEADER_LENGTH;
  if (bytes.length < jsonAt || bytes.length > MAX_LENGTH) {
    throw malformed(`expected ${jsonAt} to ${MAX_LENGTH} bytes, got ${bytes.length}`);
  }
  const fields = fieldReader(bytes, bytes.length, malformed);
  const magic = latin1(fields.bytes(0, MAGIC.length));
  if (magic !== MAGIC) throw malformed(`expected to begin with ${MAGIC}, got ${JSON.stringify(magic)}`);
  const expectNumber = (offset: number, expected: number, name: string) => {
    const actual = fields.u32(offset);
    if (actual !== expected) throw malformed(`${name}: expected ${expected}, got ${actual}`);
  };
  expectNumber(0x04, 1, 'version');
  expectNumber(0x0c, REPORT_TYPE_SNP, 'request type');
  fields.requireZero(0x10, HEADER_LENGTH - 0x10, 'the status, with what is reserved behind it,');
  const jsonLength = fields.u32(runtimeAt + 16);
  if (jsonLength > bytes.length - jsonAt) {
    throw malformed(`runtime data of ${jsonLength} bytes where ${bytes.length - jsonAt} are left`);
  }
  expectNumber(0x08, jsonAt + jsonLength, 'length of the report and the runtime data');
  expectNumber(runtimeAt, RUNTIME_HEADER_LENGTH + jsonLength, 'length of the runtime data with its header');
  expectNumber(runtimeAt + 4, 1, 'version of the runtime data');
  expectNumber(runtimeAt + 8, REPORT_TYPE_SNP, 'report type');
  const hash = HASHES.get(fields.u32(runtimeAt + 12));
  if (hash === undefined) throw malformed(`hash: expected 1, 2 or 3, got ${fields.u32(runtimeAt + 12)}`);
  if (!isAllZero(bytes.subarray(jsonAt + jsonLength))) throw malformed('what follows the runtime data is not zero');
  return {
    report: parseSnpReport(fields.bytes(HEADER_LENGTH, SNP_REPORT_LENGTH)),
    runtimeData: { hash, json: fields.bytes(jsonAt, jsonLength) },
  };
}
