import { createCipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import { concatBytes } from '../../../core/bytes.ts';

/** Launch session: nonce, wrapped keys, their IV, MAC of the wrapped keys, MAC of the policy (SEV API, 2.2.2). */
export const SESSION_BYTES = 128;
export const PACKET_HEADER_BYTES = 52;
export const NONCE_BYTES = 16;
const KEY_BYTES = 16;
const LABEL = { master: 'sev-master-secret', encryption: 'sev-kek', integrity: 'sev-kik' } as const;

/** First byte of what a MAC covers, so that one kind of message cannot stand for another. */
export const CONTEXT = { SECRET: 0x01, DATA: 0x02, MEASURE: 0x04 } as const;

/** TEK encrypts and TIK authenticates what travels between the firmware and the guest owner. */
export interface TransportKeys {
  readonly tek: Uint8Array;
  readonly tik: Uint8Array;
}

/** What a launch without a session has. */
export const NO_KEYS: TransportKeys = { tek: new Uint8Array(KEY_BYTES), tik: new Uint8Array(KEY_BYTES) };

/** NIST SP 800-108 in counter mode: HMAC-SHA-256, counter and length as 32-bit little-endian numbers. */
export function deriveKey(key: Uint8Array, label: string, context: Uint8Array, bytes: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (let counter = 1; (counter - 1) * 32 < bytes; counter++) {
    blocks.push(
      hmac(key, littleEndian(counter), Buffer.from(label), Uint8Array.of(0), context, littleEndian(bytes * 8)),
    );
  }
  return concatBytes(...blocks).subarray(0, bytes);
}

/** KEK and KIK from the shared secret Z and the nonce of the session. */
function sessionKeys(z: Uint8Array, nonce: Uint8Array): { kek: Uint8Array; kik: Uint8Array } {
  const master = deriveKey(z, LABEL.master, nonce, KEY_BYTES);
  const none = new Uint8Array();
  return {
    kek: deriveKey(master, LABEL.encryption, none, KEY_BYTES),
    kik: deriveKey(master, LABEL.integrity, none, KEY_BYTES),
  };
}

/** TEK and TIK of a session of 128 bytes, or `undefined` where a MAC is wrong. */
export function unwrapSession(
  z: Uint8Array,
  session: Uint8Array,
  policy: number,
  isMacChecked = true,
): TransportKeys | undefined {
  const [nonce, wrapped, iv, wrapMac, policyMac] = split(session, [16, 32, 16, 32, 32]);
  const { kek, kik } = sessionKeys(z, nonce);
  if (isMacChecked && !isEqual(hmac(kik, wrapped), wrapMac)) return undefined;
  const keys = aesCtr(kek, iv, wrapped);
  const tik = keys.subarray(KEY_BYTES);
  if (isMacChecked && !isEqual(hmac(tik, littleEndian(policy)), policyMac)) return undefined;
  return { tek: keys.subarray(0, KEY_BYTES), tik };
}

/** The session that carries TEK and TIK to the firmware that shares Z: the sender's side of a migration. */
export function wrapSession(
  z: Uint8Array,
  keys: TransportKeys,
  policy: number,
  nonce: Uint8Array,
  iv: Uint8Array,
): Uint8Array {
  const { kek, kik } = sessionKeys(z, nonce);
  const wrapped = aesCtr(kek, iv, concatBytes(keys.tek, keys.tik));
  return concatBytes(nonce, wrapped, iv, hmac(kik, wrapped), hmac(keys.tik, littleEndian(policy)));
}

export interface MeasurementInputs {
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly build: number;
  readonly policy: number;
  readonly launchDigest: Uint8Array;
  readonly nonce: Uint8Array;
}

/** The 32 bytes of MEASURE (SEV API, 6.5). */
export function launchMeasurement(tik: Uint8Array, inputs: MeasurementInputs): Uint8Array {
  const { apiMajor, apiMinor, build, policy, launchDigest, nonce } = inputs;
  const versions = Uint8Array.of(CONTEXT.MEASURE, apiMajor, apiMinor, build);
  return hmac(tik, versions, littleEndian(policy), launchDigest, nonce);
}

/** A message that is under TEK and TIK: LAUNCH_SECRET, SEND_UPDATE and RECEIVE_UPDATE. */
export interface Packet {
  readonly context: number;
  /** FLAGS, IV, MAC: 52 bytes. */
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  /** The launch measurement, for secrets of API 0.17 and later. */
  readonly bound?: Uint8Array;
}

export function isPacketAuthentic(tik: Uint8Array, packet: Packet): boolean {
  const [flags, iv, mac] = split(packet.header, [4, 16, 32]);
  return isEqual(packetMac(tik, packet, flags, iv), mac);
}

export function isPacketCompressed({ header }: Packet): boolean {
  return ((header[0] as number) & 1) === 1;
}

export function openPacket(tek: Uint8Array, { header, data }: Packet): Uint8Array {
  return aesCtr(tek, header.subarray(4, 20), data);
}

/** Header and data of a packet that carries `plain`. */
export function sealPacket(
  keys: TransportKeys,
  context: number,
  plain: Uint8Array,
  iv: Uint8Array,
  bound: Uint8Array = new Uint8Array(),
) {
  const data = aesCtr(keys.tek, iv, plain);
  const flags = littleEndian(0);
  const mac = packetMac(keys.tik, { context, data, bound }, flags, iv);
  return { header: concatBytes(flags, iv, mac), data };
}

function packetMac(
  tik: Uint8Array,
  { context, data, bound = new Uint8Array() }: Omit<Packet, 'header'>,
  flags: Uint8Array,
  iv: Uint8Array,
): Uint8Array {
  const length = littleEndian(data.length);
  return hmac(tik, Uint8Array.of(context), flags, iv, length, length, data, bound);
}

/** AES-128-CTR with the whole IV as a 128-bit big-endian counter. */
function aesCtr(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
  return new Uint8Array(createCipheriv('aes-128-ctr', key, iv).update(data));
}

function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return new Uint8Array(mac.digest());
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function littleEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value >>> 0, true);
  return bytes;
}

function split<const L extends readonly number[]>(bytes: Uint8Array, lengths: L): { [K in keyof L]: Uint8Array } {
  let at = 0;
  return lengths.map((length) => {
    at += length;
    return bytes.subarray(at - length, at);
  }) as { [K in keyof L]: Uint8Array };
}
