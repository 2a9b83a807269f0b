import { type Cipher, createCipheriv, createDecipheriv, type Decipher } from 'node:crypto';
import { memoryError } from './errors.ts';
import type { MemoryFaults } from './faults.ts';
import { AddressTweak, BLOCK_BYTES, type TweakConstants } from './tweak.ts';

const KEY_BYTES = 16;
/** Of the fault that masks instead of encrypting. */
const MASK = 0x5a;
/** Enough to keep the cost per call small without holding a second copy of a large range. */
const BATCH_BYTES = 256 * 1024;

interface Slot {
  readonly encrypt: Cipher;
  readonly decrypt: Decipher;
}

export interface MemoryControllerOptions {
  readonly tweak: TweakConstants;
  readonly random: (length: number) => Uint8Array;
  readonly faults?: MemoryFaults;
}

/** The AES engine beside the DRAM: one AES-128 key per ASID, a tweak from the system physical address. */
export class MemoryController {
  readonly #slots = new Map<number, Slot>();
  readonly #tweak: AddressTweak;
  readonly #faults: MemoryFaults;
  #firstKey: Uint8Array | undefined;

  constructor(options: MemoryControllerOptions) {
    this.#tweak = new AddressTweak(options.tweak, options.random);
    this.#faults = options.faults ?? new Set();
  }

  /** Installs a 16-byte key for an ASID, in place of the one before. Throws MEMORY_KEY_SIZE. */
  loadKey(asid: number, key: Uint8Array): void {
    if (key.length !== KEY_BYTES) {
      throw memoryError('MEMORY_KEY_SIZE', `key of ASID ${asid}: expected ${KEY_BYTES} bytes, got ${key.length}`);
    }
    this.#firstKey ??= Uint8Array.from(key);
    const used = this.#faults.has('memory-key-shared') ? this.#firstKey : Uint8Array.from(key);
    this.#slots.set(asid, {
      encrypt: createCipheriv('aes-128-ecb', used, null).setAutoPadding(false),
      decrypt: createDecipheriv('aes-128-ecb', used, null).setAutoPadding(false),
    });
  }

  dropKey(asid: number): void {
    if (!this.#faults.has('memory-key-survives')) this.#slots.delete(asid);
  }

  hasKey(asid: number): boolean {
    return this.#slots.has(asid);
  }

  /** Ciphertext of whole blocks that will stand at `address`. Throws MEMORY_KEY_MISSING, MEMORY_ADDRESS_INVALID. */
  encrypt(asid: number, address: number, plain: Uint8Array): Uint8Array {
    return this.#transform(this.#slot(asid).encrypt, address, plain);
  }

  /** Plain text of whole blocks that stand at `address`. Throws MEMORY_KEY_MISSING, MEMORY_ADDRESS_INVALID. */
  decrypt(asid: number, address: number, stored: Uint8Array): Uint8Array {
    return this.#transform(this.#slot(asid).decrypt, address, stored);
  }

  #slot(asid: number): Slot {
    const slot = this.#slots.get(asid);
    if (slot) return slot;
    throw memoryError('MEMORY_KEY_MISSING', `ASID ${asid} has no key in the memory controller`, { details: { asid } });
  }

  #transform(cipher: Cipher | Decipher, address: number, input: Uint8Array): Uint8Array {
    assertBlocks(address, input.length);
    const output = new Uint8Array(input.length);
    for (let at = 0; at < input.length; at += BATCH_BYTES) {
      const part = input.subarray(at, at + BATCH_BYTES);
      output.set(this.#transformBatch(cipher, address + at, part), at);
    }
    return output;
  }

  #transformBatch(cipher: Cipher | Decipher, address: number, input: Uint8Array): Uint8Array {
    if (this.#faults.has('memory-in-clear')) return input;
    if (this.#faults.has('memory-masked')) return input.map((byte) => byte ^ MASK);
    if (this.#faults.has('memory-without-tweak')) return cipher.update(input);
    const before = new Int32Array(new Uint8Array(input).buffer);
    this.#tweak.apply(before, address);
    const ciphered = new Uint8Array(cipher.update(new Uint8Array(before.buffer)));
    this.#tweak.apply(new Int32Array(ciphered.buffer), address);
    return ciphered;
  }
}

function assertBlocks(address: number, length: number): void {
  if (Number.isSafeInteger(address) && address >= 0 && address % BLOCK_BYTES === 0 && length % BLOCK_BYTES === 0)
    return;
  const what = `${length} bytes at 0x${address.toString(16)}`;
  throw memoryError('MEMORY_ADDRESS_INVALID', `encrypted access of ${what}: both must be multiples of ${BLOCK_BYTES}`);
}
