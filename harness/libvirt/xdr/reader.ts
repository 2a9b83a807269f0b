import { libvirtError } from '../errors.ts';

/**
 * Reads XDR (RFC 4506) from bytes that a peer sent: every length is checked against its limit and against what is left
 * before anything is allocated. All failures are `XDR_MALFORMED`.
 */
export class XdrReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    // A view, not a copy: Buffer reads short texts several times faster than TextDecoder, and keeps a leading U+FEFF.
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get offset(): number {
    return this.#offset;
  }

  int(): number {
    return this.#view.getInt32(this.#take(4));
  }

  uint(): number {
    return this.#view.getUint32(this.#take(4));
  }

  hyper(): bigint {
    return this.#view.getBigInt64(this.#take(8));
  }

  uhyper(): bigint {
    return this.#view.getBigUint64(this.#take(8));
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  /** RFC 4506 section 4.4: anything but 0 and 1 is malformed. */
  bool(): boolean {
    const value = this.uint();
    if (value > 1) throw this.malformed(`bool is ${value}, expected 0 or 1`);
    return value === 1;
  }

  /** A copy of `length` bytes, with the padding to four skipped. */
  fixedOpaque(length: number): Uint8Array {
    const start = this.#take(paddedLength(length));
    // Not slice(): on a Node Buffer that would share memory with the message.
    return new Uint8Array(this.#bytes.subarray(start, start + length));
  }

  /** `length` bytes as lowercase hex. */
  fixedHex(length: number): string {
    const start = this.#take(paddedLength(length));
    return this.#bytes.toString('hex', start, start + length);
  }

  opaque(maxLength: number): Uint8Array {
    return this.fixedOpaque(this.length(maxLength, 1, 'opaque'));
  }

  /** Text; bytes that are not UTF-8 become U+FFFD, because error texts quote whatever QEMU printed. */
  string(maxLength: number): string {
    const length = this.length(maxLength, 1, 'string');
    const start = this.#take(paddedLength(length));
    return this.#bytes.toString('utf8', start, start + length);
  }

  /** A C `char` array: each character takes four bytes on the wire; ends at the first NUL. */
  fixedChars(count: number): string {
    const start = this.#take(count * 4);
    const text = Uint8Array.from({ length: count }, (_, index) => this.#view.getInt32(start + index * 4) & 0xff);
    const end = text.indexOf(0);
    return Buffer.from(end < 0 ? text : text.subarray(0, end)).toString('utf8');
  }

  chars(maxLength: number): string {
    return this.fixedChars(this.length(maxLength, 4, 'char array'));
  }

  optional<T>(readValue: (reader: XdrReader) => T): T | null {
    return this.bool() ? readValue(this) : null;
  }

  list<T>(maxLength: number, readElement: (reader: XdrReader) => T): T[] {
    // Every element of the protocol takes at least four bytes, so a hostile count cannot make us loop past the message.
    const count = this.length(maxLength, 4, 'list');
    const elements: T[] = [];
    for (let index = 0; index < count; index++) elements.push(readElement(this));
    return elements;
  }

  /** Refuses bytes after the value. */
  end(): void {
    const left = this.#bytes.length - this.#offset;
    if (left !== 0) throw this.malformed(`${left} bytes after the end of the value`);
  }

  malformed(what: string) {
    return libvirtError('XDR_MALFORMED', `malformed XDR at byte ${this.#offset}: ${what}`, {
      details: { offset: this.#offset },
    });
  }

  private length(maxLength: number, elementBytes: number, what: string): number {
    const length = this.uint();
    if (length > maxLength) throw this.malformed(`${what} of length ${length}, limit ${maxLength}`);
    const left = this.#bytes.length - this.#offset;
    if (length * elementBytes > left) throw this.malformed(`${what} of length ${length}, ${left} bytes left`);
    return length;
  }

  #take(byteCount: number): number {
    const start = this.#offset;
    const left = this.#bytes.length - start;
    if (byteCount > left) throw this.malformed(`${byteCount} bytes wanted, ${left} left`);
    this.#offset += byteCount;
    return start;
  }
}

function paddedLength(length: number): number {
  return (length + 3) & ~3;
}
