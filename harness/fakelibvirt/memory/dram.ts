import { memoryError } from './errors.ts';
import { PAGE_BYTES } from './tweak.ts';

/** 48-bit system physical addresses, and nothing for guests in the lowest GiB. */
const FIRST_ADDRESS = 2 ** 30;
const END_ADDRESS = 2 ** 48;

/** Bytes that stand in DRAM, as the host sees them without any key: sparse, and zero where nobody wrote. */
export class Dram {
  readonly #pages = new Map<number, Uint8Array>();
  /** Ranges that were given back, by size; the next range of that size stands in the same place. */
  readonly #free = new Map<number, number[]>();
  #next = FIRST_ADDRESS;

  /** Pages that hold something. */
  get touchedPages(): number {
    return this.#pages.size;
  }

  /**
   * Reserves a contiguous range and returns its address; it reads as zero, as the host kernel hands out memory. Where a
   * fault has kept what stood there, only who takes all pages at once (`isPopulated`) meets it.
   */
  allocate(bytes: number, { isPopulated = true }: { readonly isPopulated?: boolean } = {}): number {
    const size = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    const recycled = this.#free.get(size)?.pop();
    if (recycled !== undefined) {
      if (!isPopulated) this.#clear(recycled, size);
      return recycled;
    }
    const address = this.#next;
    if (!(bytes > 0) || address + size > END_ADDRESS) {
      throw memoryError('MEMORY_ADDRESS_INVALID', `cannot allocate ${bytes} bytes of the emulated DRAM`);
    }
    this.#next += size;
    return address;
  }

  /** Gives a range back. Its contents are gone, as the kernel clears memory before it hands it on, unless a fault keeps them. */
  release(address: number, bytes: number, { keepsContents = false } = {}): void {
    const size = Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES;
    if (!keepsContents) this.#clear(address, size);
    this.#free.set(size, [...(this.#free.get(size) ?? []), address]);
  }

  #clear(address: number, size: number): void {
    for (const page of this.#touchedIn(address, size)) this.#pages.delete(page);
  }

  read(address: number, length: number): Uint8Array {
    assertRange(address, length);
    const whole = new Uint8Array(length);
    forEachPage(address, length, (page, offset, at, count) => {
      const stored = this.#pages.get(page);
      if (stored) whole.set(stored.subarray(offset, offset + count), at);
    });
    return whole;
  }

  write(address: number, bytes: Uint8Array): void {
    assertRange(address, bytes.length);
    forEachPage(address, bytes.length, (page, offset, at, count) => {
      let stored = this.#pages.get(page);
      if (!stored) {
        stored = new Uint8Array(PAGE_BYTES);
        this.#pages.set(page, stored);
      }
      stored.set(bytes.subarray(at, at + count), offset);
    });
  }

  /** Addresses of the pages in a range that somebody wrote, ascending. */
  touchedIn(address: number, length: number): number[] {
    assertRange(address, length);
    return this.#touchedIn(address, length).map((page) => page * PAGE_BYTES);
  }

  #touchedIn(address: number, length: number): number[] {
    const first = Math.floor(address / PAGE_BYTES);
    const end = Math.ceil((address + length) / PAGE_BYTES);
    const found: number[] = [];
    if (end - first <= this.#pages.size) {
      for (let page = first; page < end; page++) if (this.#pages.has(page)) found.push(page);
      return found;
    }
    for (const page of this.#pages.keys()) if (page >= first && page < end) found.push(page);
    return found.sort((a, b) => a - b);
  }
}

function forEachPage(
  address: number,
  length: number,
  visit: (page: number, offset: number, at: number, count: number) => void,
): void {
  let at = 0;
  while (at < length) {
    const offset = (address + at) % PAGE_BYTES;
    const count = Math.min(length - at, PAGE_BYTES - offset);
    visit(Math.floor((address + at) / PAGE_BYTES), offset, at, count);
    at += count;
  }
}

function assertRange(address: number, length: number): void {
  const isInside = Number.isSafeInteger(address) && address >= 0 && length >= 0 && address + length <= END_ADDRESS;
  if (!isInside) {
    throw memoryError('MEMORY_ADDRESS_INVALID', `no DRAM for ${length} bytes at address ${String(address)}`);
  }
}
