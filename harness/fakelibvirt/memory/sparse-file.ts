import { PAGE_BYTES } from './tweak.ts';

/** A file of the emulated host that is mostly holes. */
export class SparseFile {
  readonly size: number;
  readonly #pages = new Map<number, Uint8Array>();

  constructor(size: number) {
    this.size = size;
  }

  static of(bytes: Uint8Array): SparseFile {
    const file = new SparseFile(bytes.length);
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) file.put(at, bytes.subarray(at, at + PAGE_BYTES));
    return file;
  }

  /** Sets up to a page at a multiple of the page size. */
  put(offset: number, bytes: Uint8Array): void {
    if (bytes.some((byte) => byte !== 0)) this.#pages.set(offset / PAGE_BYTES, Uint8Array.from(bytes));
  }

  /** At most `length` bytes; fewer at the end. */
  read(offset: number, length: number): Uint8Array {
    const whole = new Uint8Array(Math.max(0, Math.min(length, this.size - offset)));
    for (let at = 0; at < whole.length; ) {
      const inPage = (offset + at) % PAGE_BYTES;
      const count = Math.min(PAGE_BYTES - inPage, whole.length - at);
      const page = this.#pages.get(Math.floor((offset + at) / PAGE_BYTES));
      if (page !== undefined) whole.set(page.subarray(inPage, inPage + count), at);
      at += count;
    }
    return whole;
  }
}
