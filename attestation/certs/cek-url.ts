import { toHex } from '../../core/bytes.ts';
import { attestationError } from '../errors.ts';

/** Length of GET_ID's answer for one socket. */
const CHIP_ID_LENGTH = 64;

/**
 * Where AMD's Key Distribution Service keeps the signed CEK of a chip.
 *
 * `chipId` is one socket's GET_ID answer, 64 bytes. Throws `CHIP_ID_INVALID`.
 */
export function signedCekUrl(chipId: Uint8Array): string {
  if (chipId.length !== CHIP_ID_LENGTH) {
    throw attestationError(
      'CHIP_ID_INVALID',
      `a chip id is the ${CHIP_ID_LENGTH} bytes that GET_ID gives for one socket, got ${chipId.length}`,
    );
  }
  return cekUrl(toHex(chipId).toUpperCase());
}

/** `id` is 128 hex digits, or what to put in their place. */
export function cekUrl(id: string): string {
  return `https://kdsintf.amd.com/cek/id/${id}`;
}
