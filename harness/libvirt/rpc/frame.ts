import { libvirtError } from '../errors.ts';
import { keepaliveProgram, MESSAGE_STATUS, MESSAGE_TYPE, type Program } from '../protocol/codec.ts';
import { MESSAGE_MAX, remoteProgram } from '../protocol/libvirt.gen.ts';

/** One message: the header fields of virnetprotocol.x and the XDR bytes behind them. */
export interface Frame {
  readonly program: Program;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
  readonly body: Uint8Array;
}

const LENGTH_BYTES = 4;
const HEADER_BYTES = 24;
/** Length word and header, no body. */
export const FRAME_MIN_BYTES = LENGTH_BYTES + HEADER_BYTES;
/** VIR_NET_MESSAGE_MAX does not count the length word (virnetprotocol.x). */
export const FRAME_MAX_BYTES = LENGTH_BYTES + MESSAGE_MAX;

/** What a server may send to us; a call is ours to make, and a frame with file descriptors cannot reach Node. */
const RECEIVED_TYPES: ReadonlySet<number> = new Set([MESSAGE_TYPE.reply, MESSAGE_TYPE.message, MESSAGE_TYPE.stream]);
const STATUSES: ReadonlySet<number> = new Set(Object.values(MESSAGE_STATUS));

/** The bytes of one message. Throws `XDR_UNENCODABLE` when it is longer than libvirt accepts. */
export function encodeFrame(frame: Frame): Uint8Array {
  const length = FRAME_MIN_BYTES + frame.body.length;
  if (length > FRAME_MAX_BYTES) {
    throw libvirtError('XDR_UNENCODABLE', `cannot send a message of ${length} bytes, the limit is ${FRAME_MAX_BYTES}`);
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, length);
  view.setUint32(4, frame.program.id);
  view.setUint32(8, frame.program.version);
  view.setInt32(12, frame.procedure);
  view.setUint32(16, frame.type);
  view.setUint32(20, frame.serial);
  view.setUint32(24, frame.status);
  bytes.set(frame.body, FRAME_MIN_BYTES);
  return bytes;
}

/**
 * Cuts a byte stream into messages, however it is chunked.
 *
 * Holds at most twice the bytes that have really arrived: a claimed length never sizes an allocation. A message that breaks
 * a rule throws `LIBVIRT_PROTOCOL`, as soon as its header is there; after that the decoder must not be used again.
 */
export class FrameDecoder {
  readonly #programs = new Map<number, Program>([keepaliveProgram, remoteProgram].map((each) => [each.id, each]));
  #waiting = new Uint8Array(0);
  #waitingLength = 0;

  /** How many bytes of an incomplete message have arrived. */
  get waitingBytes(): number {
    return this.#waitingLength;
  }

  /** Lets messages of another program in, because we have called one of its procedures. */
  expect(program: Program): void {
    if (!this.#programs.has(program.id)) this.#programs.set(program.id, program);
  }

  /** The messages that `chunk` completes. Their bodies stay valid; `chunk` must not be changed afterwards. */
  *push(chunk: Uint8Array): Generator<Frame, void> {
    // A Buffer's slice() shares memory where a Uint8Array's copies, so Buffers stop here.
    const plain = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    const resumed = this.#waitingLength > 0;
    const data = resumed ? this.#append(plain) : plain;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let start = 0;
    for (;;) {
      const left = data.length - start;
      if (left < LENGTH_BYTES) break;
      const length = checkedLength(view.getUint32(start));
      if (left < FRAME_MIN_BYTES) break;
      const header = readHeader(view, start, this.#programs);
      if (left < length) break;
      start += length;
      yield { ...header, body: data.subarray(start - length + FRAME_MIN_BYTES, start) };
    }
    if (start === 0 && resumed) return;
    this.#waitingLength = data.length - start;
    this.#waiting = data.slice(start);
  }

  #append(chunk: Uint8Array): Uint8Array {
    const length = this.#waitingLength + chunk.length;
    if (length > this.#waiting.length) {
      const larger = new Uint8Array(length * 2);
      larger.set(this.#waiting.subarray(0, this.#waitingLength));
      this.#waiting = larger;
    }
    this.#waiting.set(chunk, this.#waitingLength);
    this.#waitingLength = length;
    return this.#waiting.subarray(0, length);
  }
}

function checkedLength(length: number): number {
  if (length < FRAME_MIN_BYTES) {
    throw protocolError(`a message of ${length} bytes, the shortest possible has ${FRAME_MIN_BYTES}`);
  }
  if (length > FRAME_MAX_BYTES) throw protocolError(`a message of ${length} bytes, the limit is ${FRAME_MAX_BYTES}`);
  return length;
}

function readHeader(view: DataView, start: number, programs: ReadonlyMap<number, Program>): Omit<Frame, 'body'> {
  const id = view.getUint32(start + 4);
  const version = view.getUint32(start + 8);
  const program = programs.get(id);
  if (program === undefined) throw protocolError(`a message of program 0x${id.toString(16)}, which we have not called`);
  if (program.version !== version) {
    throw protocolError(`version ${version} of program 0x${id.toString(16)}, we speak version ${program.version}`);
  }
  const procedure = view.getInt32(start + 12);
  const type = view.getUint32(start + 16);
  if (!RECEIVED_TYPES.has(type)) {
    throw protocolError(`a message of type ${type}, a server may send 1 (reply), 2 (message) and 3 (stream)`);
  }
  const status = view.getUint32(start + 24);
  if (!STATUSES.has(status)) throw protocolError(`a message of status ${status}, defined are 0 to 2`);
  return { program, procedure, type, serial: view.getUint32(start + 20), status };
}

function protocolError(what: string) {
  return libvirtError('LIBVIRT_PROTOCOL', `the peer sent ${what}`);
}
