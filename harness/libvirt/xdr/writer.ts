import { libvirtError } from '../errors.ts';

const INITIAL_BYTES = 256;

/** Writes XDR (RFC 4506). Values that the protocol cannot carry are refused with `XDR_UNENCODABLE`. */
export class XdrWriter {
  #bytes = Buffer.alloc(INITIAL_BYTES);
  #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset);
  #length = 0;

  int(value: number): void {
    if (!Number.isInteger(value) || value < -0x80000000 || value > 0x7fffffff) throw unencodable(`int ${value}`);
    const start = this.#grow(4);
    this.#view.setInt32(start, value);
  }

  uint(value: number): void {
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) throw unencodable(`unsigned int ${value}`);
    const start = this.#grow(4);
    this.#view.setUint32(start, value);
  }

  hyper(value: bigint): void {
    if (BigInt.asIntN(64, value) !== value) throw unencodable(`hyper ${value}`);
    const start = this.#grow(8);
    this.#view.setBigInt64(start, value);
  }

  uhyper(value: bigint): void {
    if (BigInt.asUintN(64, value) !== value) throw unencodable(`unsigned hyper ${value}`);
    const start = this.#grow(8);
    this.#view.setBigUint64(start, value);
  }

  double(value: number): void {
    const start = this.#grow(8);
    this.#view.setFloat64(start, value);
  }

  bool(value: boolean): void {
    this.uint(value ? 1 : 0);
  }

  fixedOpaque(value: Uint8Array, length: number): void {
    if (value.length !== length) throw unencodable(`opaque of ${value.length} bytes where ${length} are needed`);
    this.#append(value);
  }

  opaque(value: Uint8Array, maxLength: number): void {
    if (value.length > maxLength) throw unencodable(`opaque of ${value.length} bytes, limit ${maxLength}`);
    this.uint(value.length);
    this.#append(value);
  }

  string(value: string, maxLength: number): void {
    const length = Buffer.byteLength(value, 'utf8');
    if (length > maxLength) throw unencodable(`string of ${length} bytes, limit ${maxLength}`);
    this.uint(length);
    const start = this.#grow((length + 3) & ~3);
    this.#bytes.write(value, start, 'utf8');
  }

  /** A C `char` array: four wire bytes each character, NUL to the end, and always one NUL. */
  fixedChars(value: string, count: number): void {
    const text = Buffer.from(value, 'utf8');
    if (text.length >= count) throw unencodable(`char array of ${text.length} bytes, limit ${count - 1}`);
    const start = this.#grow(count * 4);
    for (const [index, byte] of text.entries()) this.#view.setInt32(start + index * 4, byte);
  }

  /** As libvirt sends them: the terminating NUL counts. */
  chars(value: string, maxLength: number): void {
    const count = Buffer.byteLength(value, 'utf8') + 1;
    if (count > maxLength) throw unencodable(`char array of ${count} bytes, limit ${maxLength}`);
    this.uint(count);
    this.fixedChars(value, count);
  }

  optional<T>(value: T | null, writeValue: (writer: XdrWriter, value: T) => void): void {
    this.bool(value !== null);
    if (value !== null) writeValue(this, value);
  }

  list<T>(values: readonly T[], maxLength: number, writeElement: (writer: XdrWriter, value: T) => void): void {
    if (values.length > maxLength) throw unencodable(`list of ${values.length}, limit ${maxLength}`);
    this.uint(values.length);
    for (const value of values) writeElement(this, value);
  }

  /** The bytes written so far, as a copy. */
  finish(): Uint8Array {
    return new Uint8Array(this.#bytes.subarray(0, this.#length));
  }

  #append(value: Uint8Array): void {
    const start = this.#grow((value.length + 3) & ~3);
    this.#bytes.set(value, start);
  }

  /** Reserves zeroed bytes and returns where they begin. It may replace the view: call it before naming `this.#view`. */
  #grow(byteCount: number): number {
    const start = this.#length;
    const needed = start + byteCount;
    if (needed > this.#bytes.length) {
      const larger = Buffer.alloc(Math.max(needed, this.#bytes.length * 2));
      larger.set(this.#bytes);
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer, larger.byteOffset);
    }
    this.#length = needed;
    return start;
  }
}

function unencodable(what: string) {
  return libvirtError('XDR_UNENCODABLE', `cannot encode ${what}`);
}
