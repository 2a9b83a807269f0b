import fc from 'fast-check';
import { expect, test } from 'vitest';
import { concatBytes } from '../../../core/bytes.ts';
import { MESSAGE_MAX } from '../../libvirt/protocol/libvirt.gen.ts';
import { encodeFrame, FrameSplitter } from './frame.ts';

const header = fc.record({
  prog: fc.nat(0xffffffff),
  vers: fc.nat(0xffffffff),
  proc: fc.integer(),
  type: fc.integer(),
  serial: fc.nat(0xffffffff),
  status: fc.integer(),
});

test('frames come out as they went in, however the stream is cut', () => {
  const frame = fc.record({ header, payload: fc.uint8Array({ maxLength: 200 }) });
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 97 })), (frames, cuts) => {
      const stream = concatBytes(...frames.map((one) => encodeFrame(one.header, one.payload)));
      const splitter = new FrameSplitter();
      const out = [];
      for (let at = 0, turn = 0; at < stream.length; turn++) {
        const size = cuts[turn % Math.max(1, cuts.length)] ?? stream.length;
        out.push(...splitter.push(stream.subarray(at, at + size)));
        at += size;
      }
      expect(out.map((one) => ({ header: one.header, payload: [...one.payload] }))).toEqual(
        frames.map((one) => ({ header: one.header, payload: [...one.payload] })),
      );
    }),
  );
});

test.each([0, 3, 27, MESSAGE_MAX + 5, 0xffffffff])('refuses a frame that says it has %i bytes', (length) => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length);
  expect(() => new FrameSplitter().push(bytes)).toThrowError(/client sent a frame of/);
});

test('does not reserve memory for a frame that is only announced', () => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, MESSAGE_MAX);
  const before = process.memoryUsage().arrayBuffers;
  expect(new FrameSplitter().push(bytes)).toEqual([]);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MESSAGE_MAX / 8);
});
