import { createHmac } from 'node:crypto';
import { concatBytes } from '../../core/bytes.ts';

/**
 * The key derivation of the SEV API: NIST SP 800-108 in counter mode with HMAC-SHA-256.
 *
 * Counter and length in bits are 32-bit little-endian numbers in every block, so a longer key does not begin with a
 * shorter one. SEV API 55766 rev 3.24, section 2.2.2.
 */
export function deriveKey(key: Uint8Array, label: string, context: Uint8Array, lengthBytes: number): Uint8Array {
  const fixed = concatBytes(Buffer.from(label, 'latin1'), Uint8Array.of(0), context, littleEndian32(lengthBytes * 8));
  const derived = new Uint8Array(lengthBytes);
  for (let offset = 0, counter = 1; offset < lengthBytes; counter += 1) {
    const block = createHmac('sha256', key).update(littleEndian32(counter)).update(fixed).digest();
    derived.set(block.subarray(0, lengthBytes - offset), offset);
    offset += block.length;
  }
  return derived;
}

export function littleEndian32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
