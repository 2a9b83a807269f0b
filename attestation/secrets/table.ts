import { concatBytes, equalBytes, isAllZero } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import { attestationError } from '../errors.ts';
import { formatGuid, guidBytes } from '../measurement/guid.ts';
import { littleEndian32 } from '../session/kdf.ts';

/** Where OVMF and Linux look for secrets; a convention of theirs, the firmware does not look inside. */
const TABLE_GUID = '1e74f542-71dd-4d66-963e-ef4287ff173b';

/** Names for well-known GUIDs. `luks-key` is virt-qemu-sev-validate's: the pass phrase of an encrypted root disk. */
export const SECRET_ALIASES: ReadonlyMap<string, string> = new Map([
  ['luks-key', '736869e5-84f0-4973-92ec-06879ce3da0b'],
]);

/** GUID and 32-bit length, of the table as of each entry. */
const HEADER_LENGTH = 20;
const BLOCK = 16;
const MIN_SECRET_LENGTH = 8;

/** SEV API 55766 rev 3.24, section 6.6: the longest packet that LAUNCH_SECRET takes. */
export const MAX_SECRET_TABLE_LENGTH = 16 * 1024;

export interface GuestSecret {
  /** Lowercase text form. */
  readonly guid: string;
  readonly secret: Secret<Uint8Array>;
}

export interface TableOptions {
  /**
   * `minimal` ends at the next multiple of 16, as sevctl does. `always` adds 1 to 16 bytes, as virt-qemu-sev-validate
   * does. Guests read both.
   */
  readonly padding?: 'minimal' | 'always' | undefined;
}

/** A GUID in lowercase, from its text in any case or from an alias. Throws `GUID_INVALID`. */
export function secretGuid(guidOrAlias: string): string {
  const guid = (SECRET_ALIASES.get(guidOrAlias) ?? guidOrAlias).toLowerCase();
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(guid)) return guid;
  throw attestationError(
    'GUID_INVALID',
    `expected a GUID like 736869e5-84f0-4973-92ec-06879ce3da0b or one of ${[...SECRET_ALIASES.keys()].join(', ')}, got ${JSON.stringify(guidOrAlias.slice(0, 80))}`,
  );
}

/**
 * The table that a guest finds its secrets in, zero-padded to whole blocks of 16 bytes; plain text, hence `Secret`.
 *
 * Throws `SECRET_INPUT_INVALID` for no secret, a GUID used twice, a secret under 8 bytes and more than 16 KiB in all;
 * `GUID_INVALID`.
 */
export function buildSecretTable(secrets: readonly GuestSecret[], options: TableOptions = {}): Secret<Uint8Array> {
  if (secrets.length === 0) throw unusable('expected at least one secret, got none');
  const seen = new Set<string>();
  const entries = secrets.map(({ guid: guidOrAlias, secret }) => {
    const guid = secretGuid(guidOrAlias);
    if (seen.has(guid)) throw unusable(`two secrets have the GUID ${guid}; the guest would find one of them`);
    seen.add(guid);
    const value = secret.reveal();
    if (value.length < MIN_SECRET_LENGTH) {
      throw unusable(`the secret for ${guid} has ${value.length} bytes, expected at least ${MIN_SECRET_LENGTH}`);
    }
    return record(guid, value);
  });
  const table = record(TABLE_GUID, concatBytes(...entries));
  const overhang = table.length % BLOCK;
  const padding = options.padding === 'always' || overhang > 0 ? BLOCK - overhang : 0;
  if (table.length + padding > MAX_SECRET_TABLE_LENGTH) {
    throw unusable(`the table has ${table.length + padding} bytes, the firmware takes ${MAX_SECRET_TABLE_LENGTH}`);
  }
  return new Secret(concatBytes(table, new Uint8Array(padding)));
}

/**
 * The secrets in a table, in its order.
 *
 * Throws `SECRET_TABLE_MALFORMED` for another GUID, lengths that do not add up, a GUID twice, bytes behind the table.
 */
export function parseSecretTable(plaintext: Secret<Uint8Array>): GuestSecret[] {
  const bytes = Uint8Array.from(plaintext.reveal());
  const total = readRecordLength(bytes, 0, bytes.length, 'the table');
  if (!equalBytes(bytes.subarray(0, 16), guidBytes(TABLE_GUID))) {
    throw malformed(`it does not begin with ${TABLE_GUID}; a wrong TEK gives this too`);
  }
  if (!isAllZero(bytes.subarray(total))) throw malformed('the padding behind the table is not zero');
  const secrets: GuestSecret[] = [];
  for (let offset = HEADER_LENGTH; offset < total; ) {
    const length = readRecordLength(bytes, offset, total, `the entry at offset ${offset}`);
    const guid = formatGuid(bytes.subarray(offset, offset + 16));
    if (secrets.some((other) => other.guid === guid)) throw malformed(`two entries have the GUID ${guid}`);
    secrets.push({ guid, secret: new Secret(bytes.slice(offset + HEADER_LENGTH, offset + length)) });
    offset += length;
  }
  return secrets;
}

function record(guid: string, content: Uint8Array): Uint8Array {
  return concatBytes(guidBytes(guid), littleEndian32(HEADER_LENGTH + content.length), content);
}

/** The length that a record claims, which includes its header and ends at or before `end`. */
function readRecordLength(bytes: Uint8Array, offset: number, end: number, what: string): number {
  if (end - offset < HEADER_LENGTH) {
    throw malformed(`${what} needs ${HEADER_LENGTH} bytes for its header, ${end - offset} are left`);
  }
  const length = new DataView(bytes.buffer).getUint32(offset + 16, true);
  if (length < HEADER_LENGTH || length > end - offset) {
    throw malformed(`${what} says it has ${length} bytes, expected ${HEADER_LENGTH} to ${end - offset}`);
  }
  return length;
}

function malformed(rule: string) {
  return attestationError('SECRET_TABLE_MALFORMED', `table of secrets: ${rule}`);
}

function unusable(rule: string) {
  return attestationError('SECRET_INPUT_INVALID', `table of secrets: ${rule}`);
}
