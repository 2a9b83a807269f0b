import { createHash, randomBytes } from 'node:crypto';
import type { LaunchDigest } from '../../attestation/index.ts';
import { concatBytes } from '../../core/bytes.ts';
import { type AttestedGuest, isMeasured } from './attested.ts';

const PAGE_BYTES = 4096;
const NONCE_AT = 32;

/**
 * Readings of a measurement that leave something out and verify all the same, by what they leave out.
 *
 * Firmware that forgets one of its inputs has put zeros or nothing in its place; a correct one verifies none of these.
 */
export function shortcutsOf(guest: AttestedGuest, image: Uint8Array): string[] {
  const digest = digestOf(image);
  const withoutNonce = concatBytes(guest.claims.measurement.subarray(0, NONCE_AT), new Uint8Array(16));
  const pages = Array.from({ length: Math.ceil(image.length / PAGE_BYTES) }, (_, index) =>
    image.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES),
  );
  const readings: Readonly<Record<string, () => boolean>> = {
    policy: () => isMeasured(guest, digest, { context: { policy: 0 } }),
    'API version': () => isMeasured(guest, digest, { context: { apiMajor: 0, apiMinor: 0 } }),
    build: () => isMeasured(guest, digest, { context: { buildId: 0 } }),
    nonce: () => isMeasured(guest, digest, { measurement: withoutNonce }),
    'second page': () => isMeasured(guest, digestOf(...pages.filter((_, index) => index !== 1))),
    'order of pages': () => isMeasured(guest, digestOf(...pages.toReversed())),
    'guest firmware': () => isMeasured(guest, digestOf()),
  };
  return Object.entries(readings).flatMap(([left, verifies]) => (verifies() ? [left] : []));
}

function digestOf(...parts: readonly Uint8Array[]): LaunchDigest {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest()) as LaunchDigest;
}

export function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

export function randomBytesHex(length: number): string {
  return randomBytes(length).toString('hex');
}
