import type Forge from 'node-forge';
import { equalBytes, toHex } from '../../core/bytes.ts';
import type { Malformed } from '../abi/fields.ts';
import { forge } from '../certs/rsa-pss.ts';

/** Identifier octets of the types that AMD's certificates are made of. */
export const TAG = {
  BOOLEAN: 0x01,
  INTEGER: 0x02,
  BIT_STRING: 0x03,
  OCTET_STRING: 0x04,
  OID: 0x06,
  UTF8_STRING: 0x0c,
  PRINTABLE_STRING: 0x13,
  IA5_STRING: 0x16,
  UTC_TIME: 0x17,
  GENERALIZED_TIME: 0x18,
  SEQUENCE: 0x30,
  SET: 0x31,
} as const;

/** Identifier octet of a constructed context-specific tag. */
export const context = (number: number) => 0xa0 | number;

/** One element of a DER encoding, read strictly: every accessor throws the caller's error when the element is another. */
export interface Der {
  /** Identifier octet. */
  readonly tag: number;
  /** The whole encoding, header and contents. */
  raw(): Uint8Array;
  /** Contents of a primitive element of this type. */
  primitive(tag: number, what: string): Uint8Array;
  /** Elements of a constructed element of this type. */
  children(tag: number, what: string): readonly Der[];
}

/** More than any certificate or revocation list of AMD has, by far. */
const MAX_BYTES = 16 * 1024;
const MAX_DEPTH = 20;

/**
 * Reads one DER element that fills `bytes`.
 *
 * forge takes BER: long lengths, indefinite lengths. Encoding again what it read and comparing leaves DER.
 */
export function parseDer(bytes: Uint8Array, malformed: Malformed): Der {
  if (bytes.length === 0 || bytes.length > MAX_BYTES) {
    throw malformed(`expected 1 to ${MAX_BYTES} bytes of DER, got ${bytes.length}`);
  }
  const { asn1, util } = forge();
  let root: Forge.asn1.Asn1;
  try {
    // @types/node-forge knows this parameter in its oldest form only.
    const options = { strict: true, parseAllBytes: true, decodeBitStrings: false, maxDepth: MAX_DEPTH };
    root = asn1.fromDer(util.createBuffer(latin1(bytes)), options as unknown as boolean);
  } catch (error) {
    throw malformed(`not DER: ${error instanceof Error ? error.message : String(error)}`);
  }
  const element = toDer(root, malformed);
  if (!equalBytes(element.raw(), bytes)) throw malformed('not DER: a length or a number is not in its shortest form');
  return element;
}

function toDer(node: Forge.asn1.Asn1, malformed: Malformed): Der {
  const tag = (node.tagClass as number) | (node.constructed ? 0x20 : 0) | (node.type as number);
  const wrong = (expected: number, what: string) =>
    malformed(`${what}: expected an element of type 0x${hexByte(expected)}, got 0x${hexByte(tag)}`);
  return {
    tag,
    raw: () => fromLatin1(forge().asn1.toDer(node).getBytes()),
    primitive: (expected, what) => {
      if (tag !== expected || typeof node.value !== 'string') throw wrong(expected, what);
      return fromLatin1(node.value);
    },
    children: (expected, what) => {
      if (tag !== expected || !Array.isArray(node.value)) throw wrong(expected, what);
      return node.value.map((child) => toDer(child, malformed));
    },
  };
}

/** A non-negative INTEGER, big-endian without leading zeros; one byte for zero. */
export function readUnsigned(element: Der, what: string, malformed: Malformed): Uint8Array {
  const content = element.primitive(TAG.INTEGER, what);
  const [first = 0x80] = content;
  if (first >= 0x80) throw malformed(`${what}: expected a number that is not negative, got ${toHex(content)}`);
  // A longer run of zeros was refused by parseDer: forge writes the shortest form.
  return first === 0 && content.length > 1 ? content.slice(1) : content;
}

/** An INTEGER from 0 to 255. */
export function readByte(element: Der, what: string, malformed: Malformed): number {
  const [value = 0, ...more] = readUnsigned(element, what, malformed);
  if (more.length > 0) throw malformed(`${what}: expected 0 to 255, got a number of ${more.length + 1} bytes`);
  return value;
}

/** Contents of a BIT STRING of whole bytes. */
export function readBits(element: Der, what: string, malformed: Malformed): Uint8Array {
  const content = element.primitive(TAG.BIT_STRING, what);
  if (content[0] !== 0) throw malformed(`${what}: expected whole bytes, got ${content[0] ?? 'no'} unused bits`);
  return content.slice(1);
}

const UTC_TIME = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const GENERALIZED_TIME = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** UTCTime for 1950 to 2049, GeneralizedTime otherwise, both in seconds and UTC (RFC 5280, section 4.1.2.5). */
export function readTime(element: Der, what: string, malformed: Malformed): Date {
  const short = element.tag === TAG.UTC_TIME;
  const text = latin1(element.primitive(short ? TAG.UTC_TIME : TAG.GENERALIZED_TIME, what));
  const match = (short ? UTC_TIME : GENERALIZED_TIME).exec(text);
  const [year = 0, month = 0, ...rest] = (match ?? []).slice(1).map(Number);
  const fullYear = short ? year + (year < 50 ? 2000 : 1900) : year;
  const [day = 0, hours = 0, minutes = 0, seconds = 0] = rest;
  const time = new Date(Date.UTC(fullYear, month - 1, day, hours, minutes, seconds));
  const digits = Number.isNaN(time.getTime()) ? '' : time.toISOString().replace(/[-:T]|\.000Z$/g, '');
  if (match === null || digits !== `${short ? fullYear : text.slice(0, 4)}${text.slice(short ? 2 : 4, -1)}`) {
    throw malformed(`${what}: ${JSON.stringify(text.slice(0, 32))} is not a time`);
  }
  return time;
}

/** One character per byte. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function fromLatin1(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, 'latin1'));
}

function hexByte(value: number): string {
  return value.toString(16).padStart(2, '0');
}
