import { isAllZero } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { Tek, Tik } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { parseTik } from '../measurement/measurement.ts';

const KEY_LENGTH = 16;

/** The key that encrypts launch secrets, 16 bytes. Throws `TEK_INVALID` for another length and for all zeros. */
export function parseTek(bytes: Uint8Array): Secret<Tek> {
  const tek = Uint8Array.from(bytes);
  if (tek.length !== KEY_LENGTH) {
    throw attestationError('TEK_INVALID', `TEK is not usable: expected ${KEY_LENGTH} bytes, got ${tek.length}`);
  }
  if (isAllZero(tek)) {
    throw attestationError('TEK_INVALID', 'TEK is not usable: it is all zero, as in a launch without a session');
  }
  return new Secret(tek as Tek);
}

/** Both keys from one file of 32 bytes, TEK then TIK: sev-tool's `tmp_tk.bin`, virt-qemu-sev-validate's `--tk`. */
export function parseTransportKeys(bytes: Uint8Array): { tek: Secret<Tek>; tik: Secret<Tik> } {
  const keys = Uint8Array.from(bytes);
  if (keys.length !== 2 * KEY_LENGTH) {
    throw attestationError('TEK_INVALID', `TEK and TIK together are ${2 * KEY_LENGTH} bytes, got ${keys.length}`);
  }
  return { tek: parseTek(keys.slice(0, KEY_LENGTH)), tik: parseTik(keys.slice(KEY_LENGTH)) };
}
