import { isAllZero } from '../../core/bytes.ts';
import type { FieldReader, FieldWriter, Malformed } from '../abi/fields.ts';
import { type EcdsaSignature, type EcPoint, P384_BYTES } from '../certs/p384.ts';

/** R, S, QX and QY stand in fields of this length, little-endian, zero behind the number. */
const NUMBER_LENGTH = 72;
/** SEV-SNP ABI 56860, chapter 10: length of a signature field; what follows R and S is zero. */
export const SIGNATURE_LENGTH = 512;
/** Length of a public key: curve, QX, QY, zero. */
export const PUBLIC_KEY_LENGTH = 0x404;
const CURVE_P384 = 2;

/** SEV-SNP ABI 56860, chapter 10: ECDSA over P-384 with SHA-384, the only algorithm there is. */
export const ECDSA_P384_SHA384 = 1;

export function readSignature(fields: FieldReader, offset: number, name: string, malformed: Malformed): EcdsaSignature {
  const used = 2 * NUMBER_LENGTH;
  fields.requireZero(offset + used, SIGNATURE_LENGTH - used, `the rest of the ${name}`);
  return {
    r: readNumber(fields, offset, `R of the ${name}`, malformed),
    s: readNumber(fields, offset + NUMBER_LENGTH, `S of the ${name}`, malformed),
  };
}

export function writeSignature(fields: FieldWriter, offset: number, signature: EcdsaSignature): void {
  fields.number(offset, signature.r);
  fields.number(offset + NUMBER_LENGTH, signature.s);
}

/** The point is not known to be on the curve. `undefined` for a key field that is all zero. */
export function readPublicKey(
  fields: FieldReader,
  offset: number,
  name: string,
  malformed: Malformed,
): EcPoint | undefined {
  if (isAllZero(fields.bytes(offset, PUBLIC_KEY_LENGTH))) return undefined;
  const curve = fields.u32(offset);
  if (curve !== CURVE_P384) throw malformed(`the ${name} is on curve ${curve}, expected ${CURVE_P384} (P-384)`);
  const used = 4 + 2 * NUMBER_LENGTH;
  fields.requireZero(offset + used, PUBLIC_KEY_LENGTH - used, `the rest of the ${name}`);
  return {
    x: readNumber(fields, offset + 4, `QX of the ${name}`, malformed),
    y: readNumber(fields, offset + 4 + NUMBER_LENGTH, `QY of the ${name}`, malformed),
  };
}

export function writePublicKey(fields: FieldWriter, offset: number, point: EcPoint): void {
  fields.u32(offset, CURVE_P384);
  fields.number(offset + 4, point.x);
  fields.number(offset + 4 + NUMBER_LENGTH, point.y);
}

function readNumber(fields: FieldReader, offset: number, name: string, malformed: Malformed): Uint8Array {
  const number = fields.number(offset, NUMBER_LENGTH);
  const padding = NUMBER_LENGTH - P384_BYTES;
  if (!isAllZero(number.subarray(0, padding))) throw malformed(`${name} has more than ${P384_BYTES * 8} bits`);
  return number.slice(padding);
}
