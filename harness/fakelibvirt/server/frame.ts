import { concatBytes } from '../../../core/bytes.ts';
import {
  MESSAGE_MAX,
  type MessageHeader,
  readMessageHeader,
  writeMessageHeader,
} from '../../libvirt/protocol/libvirt.gen.ts';
import { XdrReader } from '../../libvirt/xdr/reader.ts';
import { XdrWriter } from '../../libvirt/xdr/writer.ts';
import { fakelibvirtError } from '../errors.ts';

const LENGTH_BYTES = 4;
const HEADER_BYTES = 24;

export interface Frame {
  readonly header: MessageHeader;
  readonly payload: Uint8Array;
}

/** Cuts what a socket delivers into frames. A length outside libvirt's limits is `FRAME_MALFORMED`. */
export class FrameSplitter {
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** Length of the frame being collected, 0 before its first four bytes are here. */
  #wanted = 0;

  push(chunk: Uint8Array): Frame[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const frames: Frame[] = [];
    for (let bytes = this.#take(); bytes !== undefined; bytes = this.#take()) frames.push(parseFrame(bytes));
    return frames;
  }

  #take(): Uint8Array | undefined {
    if (this.#wanted === 0) {
      if (this.#buffered < LENGTH_BYTES) return undefined;
      const bytes = this.#join();
      this.#wanted = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
      checkLength(this.#wanted);
    }
    if (this.#buffered < this.#wanted) return undefined;
    const bytes = this.#join();
    const frame = bytes.subarray(0, this.#wanted);
    this.#chunks = [bytes.subarray(this.#wanted)];
    this.#buffered -= this.#wanted;
    this.#wanted = 0;
    return frame;
  }

  #join(): Uint8Array {
    const [first] = this.#chunks;
    const joined = first !== undefined && this.#chunks.length === 1 ? first : concatBytes(...this.#chunks);
    this.#chunks = [joined];
    return joined;
  }
}

function checkLength(length: number): void {
  if (length >= LENGTH_BYTES + HEADER_BYTES && length <= LENGTH_BYTES + MESSAGE_MAX) return;
  throw fakelibvirtError(
    'FRAME_MALFORMED',
    `client sent a frame of ${length} bytes, expected ${LENGTH_BYTES + HEADER_BYTES} to ${LENGTH_BYTES + MESSAGE_MAX}`,
    { details: { length } },
  );
}

function parseFrame(bytes: Uint8Array): Frame {
  const header = readMessageHeader(new XdrReader(bytes.subarray(LENGTH_BYTES, LENGTH_BYTES + HEADER_BYTES)));
  return { header, payload: bytes.subarray(LENGTH_BYTES + HEADER_BYTES) };
}

export function encodeFrame(header: MessageHeader, payload: Uint8Array): Uint8Array {
  const writer = new XdrWriter();
  writer.uint(LENGTH_BYTES + HEADER_BYTES + payload.length);
  writeMessageHeader(writer, header);
  return concatBytes(writer.finish(), payload);
}
