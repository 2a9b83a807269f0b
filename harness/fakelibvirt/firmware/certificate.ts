import { concatBytes } from '../../../core/bytes.ts';
import { type Point, type Signature, verifySha256 } from './p384.ts';
import { SEV_STATUS, type SevStatus } from './status.ts';

/** SEV certificate: version, API, usage, algorithm, key, two signature slots (SEV API, appendix C.1). */
export const CERTIFICATE_BYTES = 2084;
const BODY_BYTES = 0x414;
const KEY_OFFSET = 0x10;
const SLOT_OFFSETS = [0x414, 0x61c] as const;
const SLOT_BYTES = 8 + 512;
const NUMBER_BYTES = 72;

export const USAGE = {
  ARK: 0x0,
  ASK: 0x13,
  INVALID: 0x1000,
  OCA: 0x1001,
  PEK: 0x1002,
  PDH: 0x1003,
  CEK: 0x1004,
} as const;

export const ALGORITHM = {
  INVALID: 0,
  RSA_SHA256: 1,
  ECDSA_SHA256: 2,
  ECDH_SHA256: 3,
  RSA_SHA384: 0x101,
  ECDSA_SHA384: 0x102,
  ECDH_SHA384: 0x103,
} as const;

const P384 = 2;
const KNOWN_USAGES: ReadonlySet<number> = new Set(Object.values(USAGE));
const KNOWN_ALGORITHMS: ReadonlySet<number> = new Set(Object.values(ALGORITHM));

export interface ApiVersion {
  readonly apiMajor: number;
  readonly apiMinor: number;
}

/** The signed part: bytes 0 to 0x413. */
export function encodeBody(api: ApiVersion, usage: number, algorithm: number, point: Point): Uint8Array {
  const body = new Uint8Array(BODY_BYTES);
  const view = new DataView(body.buffer);
  view.setUint32(0, 1, true);
  body[4] = api.apiMajor;
  body[5] = api.apiMinor;
  view.setUint32(8, usage, true);
  view.setUint32(12, algorithm, true);
  view.setUint32(KEY_OFFSET, P384, true);
  body.set(toLittleEndian(point.x, NUMBER_BYTES), KEY_OFFSET + 4);
  body.set(toLittleEndian(point.y, NUMBER_BYTES), KEY_OFFSET + 4 + NUMBER_BYTES);
  return body;
}

export const EMPTY_SLOT: Uint8Array = encodeSlot(USAGE.INVALID, ALGORITHM.INVALID, new Uint8Array());

export function encodeSlot(usage: number, algorithm: number, signature: Uint8Array): Uint8Array {
  const slot = new Uint8Array(SLOT_BYTES);
  const view = new DataView(slot.buffer);
  view.setUint32(0, usage, true);
  view.setUint32(4, algorithm, true);
  slot.set(signature, 8);
  return slot;
}

export function encodeEcdsaSlot(usage: number, { r, s }: Signature): Uint8Array {
  const numbers = concatBytes(toLittleEndian(r, NUMBER_BYTES), toLittleEndian(s, NUMBER_BYTES));
  return encodeSlot(usage, ALGORITHM.ECDSA_SHA256, numbers);
}

export function assemble(body: Uint8Array, slot1: Uint8Array = EMPTY_SLOT, slot2: Uint8Array = EMPTY_SLOT): Uint8Array {
  return concatBytes(body, slot1, slot2);
}

export function bodyOf(certificate: Uint8Array): Uint8Array {
  return certificate.subarray(0, BODY_BYTES);
}

/** The slot of a signer, or `undefined`. Slots have no fixed order. */
export function slotOf(certificate: Uint8Array, signerUsage: number): Uint8Array | undefined {
  return SLOT_OFFSETS.map((offset) => certificate.subarray(offset, offset + SLOT_BYTES)).find(
    (slot) => viewOf(slot).getUint32(0, true) === signerUsage,
  );
}

export function apiOf(certificate: Uint8Array): ApiVersion {
  return { apiMajor: certificate[4] as number, apiMinor: certificate[5] as number };
}

/** The EC point, or `undefined` where the key is not one of P-384. It need not be on the curve. */
export function pointOf(certificate: Uint8Array): Point | undefined {
  const view = viewOf(certificate);
  if (view.getUint32(KEY_OFFSET, true) !== P384) return undefined;
  const x = certificate.subarray(KEY_OFFSET + 4, KEY_OFFSET + 4 + NUMBER_BYTES);
  const y = certificate.subarray(KEY_OFFSET + 4 + NUMBER_BYTES, KEY_OFFSET + 4 + 2 * NUMBER_BYTES);
  return { x: fromLittleEndian(x), y: fromLittleEndian(y) };
}

/** True when the body is of version 1 and has this usage and algorithm. */
export function isOfKind(certificate: Uint8Array, usage: number, algorithm: number): boolean {
  const view = viewOf(certificate);
  return (
    certificate.length === CERTIFICATE_BYTES &&
    view.getUint32(0, true) === 1 &&
    view.getUint32(8, true) === usage &&
    view.getUint32(12, true) === algorithm
  );
}

/**
 * The firmware's check of a certificate against the key of one signer.
 *
 * INVALID_CERTIFICATE for a bad body and where no slot is of that signer, BAD_SIGNATURE for a slot that is half set and
 * for a signature that does not verify.
 */
export function checkSignedBy(certificate: Uint8Array, signerUsage: number, signer: Point): SevStatus {
  const view = viewOf(certificate);
  const isWellFormed =
    certificate.length === CERTIFICATE_BYTES &&
    view.getUint32(0, true) === 1 &&
    KNOWN_USAGES.has(view.getUint32(8, true)) &&
    KNOWN_ALGORITHMS.has(view.getUint32(12, true)) &&
    pointOf(certificate) !== undefined;
  if (!isWellFormed) return SEV_STATUS.INVALID_CERTIFICATE;
  for (const offset of SLOT_OFFSETS) {
    const isUnused = view.getUint32(offset, true) === USAGE.INVALID;
    const hasNoAlgorithm = view.getUint32(offset + 4, true) === ALGORITHM.INVALID;
    if (isUnused !== hasNoAlgorithm) return SEV_STATUS.BAD_SIGNATURE;
  }
  const slot = slotOf(certificate, signerUsage);
  if (!slot) return SEV_STATUS.INVALID_CERTIFICATE;
  if (viewOf(slot).getUint32(4, true) !== ALGORITHM.ECDSA_SHA256) return SEV_STATUS.BAD_SIGNATURE;
  const r = fromLittleEndian(slot.subarray(8, 8 + NUMBER_BYTES));
  const s = fromLittleEndian(slot.subarray(8 + NUMBER_BYTES, 8 + 2 * NUMBER_BYTES));
  return verifySha256(bodyOf(certificate), { r, s }, signer) ? SEV_STATUS.SUCCESS : SEV_STATUS.BAD_SIGNATURE;
}

export function toLittleEndian(value: bigint, length: number): Uint8Array {
  const bigEndian = Buffer.from(value.toString(16).padStart(length * 2, '0'), 'hex');
  return new Uint8Array(bigEndian.reverse());
}

export function fromLittleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
