import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { equalBytes } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import { snpFuzzTargets } from '../snp/fuzz-targets.ts';
import { fuzzTargets } from './fuzz-targets.ts';

type Edit = (bytes: Uint8Array) => Uint8Array;

const byte = fc.integer({ min: 0, max: 255 });
const edits: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })).map(
    ([at, mask]): Edit =>
      (bytes) =>
        bytes.map((value, index) => (index === at % bytes.length ? value ^ mask : value)),
  ),
  fc.nat().map(
    (length): Edit =>
      (bytes) =>
        bytes.slice(0, length % (bytes.length + 1)),
  ),
  fc.array(byte, { minLength: 1, maxLength: 64 }).map(
    (tail): Edit =>
      (bytes) =>
        Uint8Array.of(...bytes, ...tail),
  ),
  fc.tuple(fc.nat(), fc.nat(), byte).map(
    ([start, length, value]): Edit =>
      (bytes) =>
        Uint8Array.from(bytes).fill(value, start % bytes.length, (start % bytes.length) + (length % 600)),
  ),
  fc.tuple(fc.nat(), fc.nat(), fc.nat()).map(
    ([to, from, length]): Edit =>
      (bytes) =>
        Uint8Array.from(bytes).copyWithin(
          to % bytes.length,
          from % bytes.length,
          (from % bytes.length) + (length % 2084),
        ),
  ),
);

/** Whether the target took the bytes; throws what is not a coded refusal. */
function accepts(run: (bytes: Uint8Array) => boolean, bytes: Uint8Array): boolean {
  try {
    return run(bytes);
  } catch (error) {
    if (isSevHarnessError(error)) return false;
    throw error;
  }
}

describe.each([...fuzzTargets(), ...snpFuzzTargets()].map((target) => [target.name, target] as const))(
  '%s',
  (name, target) => {
    const numRuns = name.startsWith('verify') || name.startsWith('open-session') ? 60 : 300;

    it('takes its seed', () => {
      expect(accepts(target.run, target.seed)).toBe(true);
    });

    it('takes or refuses any bytes, without a crash', () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 4096, size: 'max' }), (bytes) => {
          const taken = accepts(target.run, Uint8Array.from(bytes));
          return !target.sealed || !taken;
        }),
        { numRuns },
      );
    });

    it(`takes or refuses any change of its seed${target.sealed ? ', and refuses each' : ''}`, () => {
      fc.assert(
        fc.property(fc.array(edits, { minLength: 1, maxLength: 3 }), (steps) => {
          const mutant = steps.reduce((bytes, edit) => (bytes.length === 0 ? bytes : edit(bytes)), target.seed);
          const taken = accepts(target.run, mutant);
          return !target.sealed || !taken || equalBytes(mutant, target.seed);
        }),
        { numRuns },
      );
    });
  },
);
