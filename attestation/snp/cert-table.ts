import { isAllZero, toHex } from '../../core/bytes.ts';
import { fieldReader, hexNumber, type Malformed } from '../abi/fields.ts';
import { attestationError } from '../errors.ts';

/** Certificates that a host hands to its guest beside a report, by role. None of them is to be believed. */
export type CertTable = ReadonlyMap<CertTableRole, Uint8Array>;
export type CertTableRole = 'ark' | 'ask' | 'vcek' | 'vlek' | 'crl';

const ENTRY_LENGTH = 24;
/** Hosts give whole pages; four are plenty for five certificates. */
const MAX_LENGTH = 64 * 1024;

// Guest-Hypervisor Communication Block standard 56421, section 4.1.8.1; the GUIDs in RFC 4122 byte order.
const ROLES: ReadonlyMap<string, CertTableRole> = new Map([
  ['c0b406a4a803495297433fb6014cd0ae', 'ark'],
  ['4ab7b379bbac4fe4a02f05aef327c782', 'ask'],
  ['63da758de6644564adc5f4b93be8accd', 'vcek'],
  ['a8074bc2a25a483eaae639c045a0b8a1', 'vlek'],
  ['92f81bc358114d3d97ffd19f88dc67ea', 'crl'],
]);

/**
 * Reads the certificate table of an extended report request; certificates are handed out as they are, DER or PEM.
 *
 * Entries must be inside the table, apart from each other and of different GUIDs; what no entry covers must be zero.
 * Entries of unknown GUIDs are left out. Throws `SNP_EVIDENCE_MALFORMED`. GHCB 56421, section 4.1.8.1.
 */
export function parseCertTable(bytes: Uint8Array): CertTable {
  const malformed: Malformed = (rule) => attestationError('SNP_EVIDENCE_MALFORMED', `certificate table: ${rule}`);
  if (bytes.length > MAX_LENGTH) throw malformed(`expected at most ${MAX_LENGTH} bytes, got ${bytes.length}`);
  const fields = fieldReader(bytes, bytes.length, malformed);
  const entries: { guid: string; start: number; end: number }[] = [];
  let at = 0;
  for (; ; at += ENTRY_LENGTH) {
    if (at + ENTRY_LENGTH > bytes.length) throw malformed('no entry of zeros ends it');
    const entry = fields.bytes(at, ENTRY_LENGTH);
    if (isAllZero(entry)) break;
    const guid = toHex(entry.subarray(0, 16));
    const [start, length] = [fields.u32(at + 16), fields.u32(at + 20)];
    if (isAllZero(entry.subarray(0, 16))) throw malformed(`the entry at ${hexNumber(at, 2)} has no GUID`);
    if (length === 0 || start + length > bytes.length) {
      throw malformed(`the entry at ${hexNumber(at, 2)} has ${length} bytes at ${start} of ${bytes.length}`);
    }
    if (entries.some((other) => other.guid === guid)) throw malformed(`GUID ${guid} is there twice`);
    entries.push({ guid, start, end: start + length });
  }
  let covered = at + ENTRY_LENGTH;
  for (const { start, end } of [...entries].sort((a, b) => a.start - b.start)) {
    if (start < covered) throw malformed(`an entry at ${start} lies over what ends at ${covered}`);
    if (!isAllZero(bytes.subarray(covered, start)))
      throw malformed(`the bytes from ${covered} to ${start} are not zero`);
    covered = end;
  }
  if (!isAllZero(bytes.subarray(covered))) throw malformed(`the bytes from ${covered} on are not zero`);
  const table = new Map<CertTableRole, Uint8Array>();
  for (const { guid, start, end } of entries) {
    const role = ROLES.get(guid);
    if (role !== undefined) table.set(role, fields.bytes(start, end - start));
  }
  return table;
}
