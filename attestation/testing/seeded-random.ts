import { createHash } from 'node:crypto';
import type { RandomSource } from '../certs/p384.ts';

/** A repeatable source of bytes for tests and emulated platforms: SHA-256 of seed and counter. Never for real keys. */
export function seededRandom(seed: string): RandomSource {
  let counter = 0;
  return (length) => {
    const bytes = new Uint8Array(length);
    for (let offset = 0; offset < length; counter += 1) {
      const block = createHash('sha256').update(`${seed}/${counter}`).digest();
      bytes.set(block.subarray(0, length - offset), offset);
      offset += block.length;
    }
    return bytes;
  };
}
