import { memoryError } from './errors.ts';
import type { MemoryFaults } from './faults.ts';
import type { HostMemory } from './host-memory.ts';
import { BLOCK_BYTES, PAGE_BYTES } from './tweak.ts';

export interface GuestRamOptions {
  readonly memory: HostMemory;
  readonly sizeBytes: number;
  /** The guest's slot; absent for a guest without memory encryption. */
  readonly asid?: number;
  /** False: a page is taken from the host when it is first written, and reads as zeros until then. */
  readonly isPopulated?: boolean;
  readonly faults?: MemoryFaults;
}

/** A page that holds something, as the host reads it. */
export interface HostPage {
  readonly guestAddress: number;
  readonly bytes: Uint8Array;
}

/**
 * The RAM of one guest, from both sides.
 *
 * The guest decides page by page whether a page is private (the C-bit is set; the state of every page at the start) or
 * shared with the host. Flipping a page does not convert what is stored in it: the guest writes it again, as Linux does.
 *
 * A page that nobody wrote is zero in DRAM. The host reads zeros from it; the guest reads those zeros *decrypted* when
 * the page is private, which is noise. Memory becomes the ciphertext of zeros only when the guest clears it.
 */
export class GuestRam implements Disposable {
  readonly sizeBytes: number;
  readonly asid: number | undefined;
  /** System physical address of guest address 0; guest RAM is contiguous. */
  readonly systemAddress: number;
  readonly #memory: HostMemory;
  readonly #faults: MemoryFaults;
  readonly #sharedPages = new Set<number>();
  #isReleased = false;

  constructor(options: GuestRamOptions) {
    this.#memory = options.memory;
    this.sizeBytes = options.sizeBytes;
    this.asid = options.asid;
    this.#faults = options.faults ?? new Set();
    this.systemAddress = options.memory.dram.allocate(options.sizeBytes, options);
  }

  /** True where the host reads what the guest wrote. */
  isShared(guestAddress: number): boolean {
    return this.asid === undefined || this.#sharedPages.has(Math.floor(guestAddress / PAGE_BYTES));
  }

  /** Sets the pages of a range shared (C-bit clear) or private. */
  setShared(guestAddress: number, length: number, isShared: boolean): void {
    this.#assertInside(guestAddress, length);
    const end = Math.ceil((guestAddress + length) / PAGE_BYTES);
    for (let page = Math.floor(guestAddress / PAGE_BYTES); page < end; page++) {
      if (isShared) this.#sharedPages.add(page);
      else this.#sharedPages.delete(page);
    }
  }

  /** What the guest reads. Throws MEMORY_ADDRESS_INVALID, MEMORY_KEY_MISSING. */
  read(guestAddress: number, length: number): Uint8Array {
    this.#assertInside(guestAddress, length);
    const whole = new Uint8Array(length);
    this.#forEachRun(guestAddress, length, (start, count, key) => {
      whole.set(
        key === undefined ? this.hostRead(start, count) : this.#readPrivate(key, start, count),
        start - guestAddress,
      );
    });
    return whole;
  }

  /** What the guest writes. Throws MEMORY_ADDRESS_INVALID, MEMORY_KEY_MISSING. */
  write(guestAddress: number, bytes: Uint8Array): void {
    this.#assertInside(guestAddress, bytes.length);
    this.#forEachRun(guestAddress, bytes.length, (start, count, key) => {
      const part = bytes.subarray(start - guestAddress, start - guestAddress + count);
      if (key === undefined) this.hostWrite(start, part);
      else this.#writePrivate(key, start, part);
    });
  }

  /** What the host reads at the same place: ciphertext of private pages, plain text of the others. */
  hostRead(guestAddress: number, length: number): Uint8Array {
    this.#assertInside(guestAddress, length);
    return this.#memory.read(this.systemAddress + guestAddress, length);
  }

  hostWrite(guestAddress: number, bytes: Uint8Array): void {
    this.#assertInside(guestAddress, bytes.length);
    this.#memory.write(this.systemAddress + guestAddress, bytes);
  }

  /** Every page that holds something, in ascending order, one at a time; the pages left out read as zeros. */
  *hostPages(): Generator<HostPage> {
    for (const address of this.#memory.dram.touchedIn(this.systemAddress, this.sizeBytes)) {
      const guestAddress = address - this.systemAddress;
      const count = Math.min(PAGE_BYTES, this.sizeBytes - guestAddress);
      yield { guestAddress, bytes: this.#memory.read(address, count) };
    }
  }

  /** Gives the DRAM back to the host; the contents are gone. */
  [Symbol.dispose](): void {
    if (this.#isReleased) return;
    const isDecrypted = this.#decryptLeftovers();
    this.#isReleased = true;
    const keepsContents = isDecrypted || this.#faults.has('freed-memory-survives');
    this.#memory.dram.release(this.systemAddress, this.sizeBytes, { keepsContents });
  }

  /** What a key that outlives its guest does to the memory that the guest leaves; false without that fault. */
  #decryptLeftovers(): boolean {
    if (this.asid === undefined || !this.#faults.has('memory-key-survives')) return false;
    for (const { guestAddress, bytes } of this.hostPages())
      this.hostWrite(guestAddress, this.read(guestAddress, bytes.length));
    return true;
  }

  /** The slot that encrypts a page, or `undefined` where it is stored as it is. */
  #keyOf(guestAddress: number): number | undefined {
    return this.isShared(guestAddress) && !this.#faults.has('shared-page-encrypted') ? undefined : this.asid;
  }

  #readPrivate(asid: number, guestAddress: number, length: number): Uint8Array {
    const skipped = guestAddress % BLOCK_BYTES;
    const blocks = roundUp(skipped + length);
    const plain = this.#memory.readEncrypted(asid, this.systemAddress + guestAddress - skipped, blocks);
    return plain.subarray(skipped, skipped + length);
  }

  #writePrivate(asid: number, guestAddress: number, bytes: Uint8Array): void {
    const skipped = guestAddress % BLOCK_BYTES;
    const blocks = roundUp(skipped + bytes.length);
    if (skipped === 0 && blocks === bytes.length) {
      this.#memory.writeEncrypted(asid, this.systemAddress + guestAddress, bytes);
      return;
    }
    const plain = Uint8Array.from(this.#readPrivate(asid, guestAddress - skipped, blocks));
    plain.set(bytes, skipped);
    this.#memory.writeEncrypted(asid, this.systemAddress + guestAddress - skipped, plain);
  }

  /** Visits the parts of a range in which all pages are stored the same way. */
  #forEachRun(
    guestAddress: number,
    length: number,
    visit: (start: number, count: number, key: number | undefined) => void,
  ): void {
    const end = guestAddress + length;
    let start = guestAddress;
    while (start < end) {
      const key = this.#keyOf(start);
      let next = Math.min(end, pageAfter(start));
      while (next < end && this.#keyOf(next) === key) next = Math.min(end, pageAfter(next));
      visit(start, next - start, key);
      start = next;
    }
  }

  #assertInside(guestAddress: number, length: number): void {
    if (this.#isReleased) throw memoryError('MEMORY_ADDRESS_INVALID', 'the memory of this guest was given back');
    const isInside = Number.isSafeInteger(guestAddress) && guestAddress >= 0 && length >= 0;
    if (isInside && guestAddress + length <= this.sizeBytes) return;
    throw memoryError(
      'MEMORY_ADDRESS_INVALID',
      `${length} bytes at guest address ${String(guestAddress)} lie outside the ${this.sizeBytes} bytes of RAM`,
    );
  }
}

function pageAfter(address: number): number {
  return (Math.floor(address / PAGE_BYTES) + 1) * PAGE_BYTES;
}

function roundUp(length: number): number {
  return Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES;
}
