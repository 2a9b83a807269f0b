import type { Malformed } from '../abi/fields.ts';

/** The values of one flat CBOR map, by key. */
export type CborMap = ReadonlyMap<string, Uint8Array | string>;

const MAJOR = { bytes: 2, text: 3, map: 5 } as const;
const MAX_ENTRIES = 16;

/**
 * Reads one map of text keys to byte strings and texts that fills `bytes`; nothing else of CBOR is taken.
 *
 * Lengths are definite and in their shortest form, keys differ (RFC 8949, sections 3 and 4.2.1).
 */
export function parseCborMap(bytes: Uint8Array, malformed: Malformed): CborMap {
  let at = 0;
  const byte = () => {
    const value = bytes[at];
    if (value === undefined) throw malformed(`CBOR ends at byte ${at}`);
    at += 1;
    return value;
  };
  const argument = (info: number): number => {
    if (info < 24) return info;
    const size = 1 << (info - 24);
    if (size > 4) throw malformed(`CBOR length of kind ${info} at byte ${at - 1}`);
    let value = 0;
    for (let index = 0; index < size; index += 1) value = value * 256 + byte();
    if (value < (size === 1 ? 24 : 256 ** (size / 2)))
      throw malformed(`CBOR length ${value} is not in its shortest form`);
    return value;
  };
  const string = (): Uint8Array | string => {
    const head = byte();
    const major = head >>> 5;
    if (major !== MAJOR.bytes && major !== MAJOR.text) throw malformed(`CBOR type ${major} at byte ${at - 1}`);
    const length = argument(head & 0x1f);
    if (length > bytes.length - at)
      throw malformed(`CBOR string of ${length} bytes where ${bytes.length - at} are left`);
    const content = bytes.slice(at, at + length);
    at += length;
    if (major === MAJOR.bytes) return content;
    const text = Buffer.from(content).toString('utf8');
    if (Buffer.compare(Buffer.from(text, 'utf8'), content) !== 0) throw malformed('CBOR text is not UTF-8');
    return text;
  };
  const head = byte();
  if (head >>> 5 !== MAJOR.map) throw malformed(`expected a CBOR map, got type ${head >>> 5}`);
  const count = argument(head & 0x1f);
  if (count > MAX_ENTRIES) throw malformed(`expected at most ${MAX_ENTRIES} CBOR entries, got ${count}`);
  const map = new Map<string, Uint8Array | string>();
  for (let index = 0; index < count; index += 1) {
    const key = string();
    if (typeof key !== 'string') throw malformed('a CBOR key is not text');
    if (map.has(key)) throw malformed(`CBOR key ${JSON.stringify(key.slice(0, 32))} is there twice`);
    map.set(key, string());
  }
  if (at !== bytes.length) throw malformed(`${bytes.length - at} bytes follow the CBOR map`);
  return map;
}
