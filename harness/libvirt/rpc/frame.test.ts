import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSevHarnessError } from '../../../core/errors.ts';
import { emulatorProgram, qemuProgram, remoteProgram } from '../protocol/libvirt.gen.ts';
import { rawMessage } from '../testing/scripted-peer.ts';
import { encodeFrame, FRAME_MAX_BYTES, type Frame, FrameDecoder } from './frame.ts';

const frames: fc.Arbitrary<Frame> = fc.record({
  program: fc.constantFrom(remoteProgram, qemuProgram, emulatorProgram),
  procedure: fc.integer({ min: -0x80000000, max: 0x7fffffff }),
  type: fc.constantFrom(1, 2, 3),
  serial: fc.integer({ min: 0, max: 0xffffffff }),
  status: fc.constantFrom(0, 1, 2),
  body: fc.uint8Array({ maxLength: 300 }),
});

/** Cuts at the given places, which may repeat: empty chunks happen too. */
function cut(bytes: Uint8Array, places: readonly number[]): Buffer[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((end, index) => Buffer.from(bytes.subarray(edges[index], end)));
}

function decodeAll(chunks: readonly Uint8Array[]): Frame[] {
  const decoder = new FrameDecoder();
  decoder.expect(qemuProgram);
  decoder.expect(emulatorProgram);
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]);
}

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    return isSevHarnessError(error) ? error.code : `not coded: ${error}`;
  }
  return 'nothing thrown';
}

describe('frames', () => {
  it('come out as they went in, however the bytes are chunked', () => {
    fc.assert(
      fc.property(fc.array(frames, { maxLength: 8 }), fc.array(fc.nat(5000), { maxLength: 40 }), (sent, places) => {
        const bytes = Buffer.concat(sent.map(encodeFrame));
        expect(decodeAll(cut(bytes, places))).toEqual(sent);
      }),
    );
  });

  it('come out as they went in, one byte at a time', () => {
    fc.assert(
      fc.property(fc.array(frames, { minLength: 1, maxLength: 3 }), (sent) => {
        const bytes = Buffer.concat(sent.map(encodeFrame));
        expect(decodeAll(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(sent);
      }),
    );
  });

  it('keep their bodies when the chunk they came in is overwritten after the next push', () => {
    const frame = { program: remoteProgram, procedure: 1, type: 1, serial: 9, status: 0, body: Buffer.from('held') };
    const bytes = encodeFrame(frame);
    const decoder = new FrameDecoder();
    expect([...decoder.push(bytes.subarray(0, 30))]).toEqual([]);
    const [first] = [...decoder.push(bytes.subarray(30))];
    expect([...decoder.push(encodeFrame({ ...frame, body: Buffer.from('next') }))]).toHaveLength(1);
    expect(Buffer.from(first?.body ?? []).toString()).toBe('held');
  });

  it('never end in anything but frames or LIBVIRT_PROTOCOL, for random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 10 }), (chunks) => {
        expect(['nothing thrown', 'LIBVIRT_PROTOCOL']).toContain(codeOf(() => decodeAll(chunks)));
      }),
      { numRuns: 2000 },
    );
  });

  it('never end in anything but frames or LIBVIRT_PROTOCOL, for good bytes with one of them changed', () => {
    fc.assert(
      fc.property(frames, fc.nat(27), fc.integer({ min: 1, max: 255 }), (frame, at, flip) => {
        const bytes = encodeFrame(frame);
        bytes[at] = (bytes[at] ?? 0) ^ flip;
        expect(['nothing thrown', 'LIBVIRT_PROTOCOL']).toContain(codeOf(() => decodeAll([bytes])));
      }),
      { numRuns: 2000 },
    );
  });

  it('are refused when shorter than their header or longer than libvirt allows, from the length alone', () => {
    for (const length of [0, 4, 27, FRAME_MAX_BYTES + 1, 0x80000000, 0xffffffff]) {
      const four = Buffer.alloc(4);
      four.writeUInt32BE(length);
      expect(codeOf(() => decodeAll([four]))).toBe('LIBVIRT_PROTOCOL');
    }
    for (const length of [28, FRAME_MAX_BYTES]) {
      const four = Buffer.alloc(4);
      four.writeUInt32BE(length);
      expect(codeOf(() => decodeAll([four]))).toBe('nothing thrown');
    }
  });

  it.each([
    ['a program that was not called', { program: 0x20008088 }, /program 0x20008088, which we have not called/],
    ['an unknown version', { version: 2 }, /version 2 of program 0x20008086, we speak version 1/],
    ['a call', { type: 0 }, /type 0/],
    ['file descriptors', { type: 5 }, /type 5/],
    ['a type that is not defined', { type: 99 }, /type 99/],
    ['a status that is not defined', { status: 3 }, /status 3/],
  ])('are refused for %s as soon as the header is there', (_, wrong, text) => {
    const header = rawMessage({ procedure: 1, type: 1, serial: 0, length: 1000, ...wrong }).subarray(0, 28);
    expect(() => decodeAll([header])).toThrow(text);
  });

  it('do not reserve what they only claim: ten thousand decoders of 32 MiB promises fit in memory', () => {
    const promise = rawMessage({ procedure: 1, type: 1, serial: 0, length: FRAME_MAX_BYTES });
    const before = process.memoryUsage();
    const decoders = Array.from({ length: 10000 }, () => {
      const decoder = new FrameDecoder();
      expect([...decoder.push(promise.subarray(0, 20)), ...decoder.push(promise.subarray(20))]).toEqual([]);
      return decoder;
    });
    const after = process.memoryUsage();
    expect(decoders.every((decoder) => decoder.waitingBytes === 28)).toBe(true);
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(2 ** 31);
  });

  it('of the largest size are taken, and one byte more is not sent', () => {
    const body = new Uint8Array(FRAME_MAX_BYTES - 28).fill(7);
    const largest = { program: remoteProgram, procedure: 1, type: 1, serial: 1, status: 0, body };
    const bytes = encodeFrame(largest);
    const decoder = new FrameDecoder();
    let got: Frame | undefined;
    for (let start = 0; start < bytes.length; start += 65536) {
      for (const frame of decoder.push(bytes.subarray(start, start + 65536))) got = frame;
    }
    expect(got?.body.length).toBe(body.length);
    expect(Buffer.compare(got?.body ?? new Uint8Array(0), body)).toBe(0);
    const tooMuch = { ...largest, body: new Uint8Array(body.length + 1) };
    expect(codeOf(() => encodeFrame(tooMuch))).toBe('XDR_UNENCODABLE');
  });
});
