import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { meanInterval, ratioInterval, studentQuantile } from './statistics.ts';

describe('studentQuantile', () => {
  // NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2: critical values of Student's t distribution.
  it.each([
    [1, 12.706, 63.657, 318.313],
    [2, 4.303, 9.925, 22.327],
    [3, 3.182, 5.841, 10.215],
    [5, 2.571, 4.032, 5.893],
    [10, 2.228, 3.169, 4.143],
    [11, 2.201, 3.106, 4.024],
    [20, 2.086, 2.845, 3.552],
    [30, 2.042, 2.75, 3.385],
    [60, 2.0, 2.66, 3.232],
    [100, 1.984, 2.626, 3.174],
  ])('with %i degrees of freedom is that of the printed table', (degrees, at975, at995, at999) => {
    expect(studentQuantile(0.975, degrees)).toBeCloseTo(at975, 3);
    expect(studentQuantile(0.995, degrees)).toBeCloseTo(at995, 3);
    expect(Math.abs(studentQuantile(0.999, degrees) - at999)).toBeLessThan(0.005);
  });

  it('comes to that of the normal distribution with many degrees of freedom', () => {
    expect(studentQuantile(0.975, 1e6)).toBeCloseTo(1.95996, 4);
    expect(studentQuantile(0.5, 7)).toBeCloseTo(0, 12);
  });

  it.each([
    [0.4, 3],
    [1, 3],
    [Number.NaN, 3],
    [0.9, 0],
  ])('knows none for probability %d and %d degrees', (probability, degrees) => {
    expect(() => studentQuantile(probability, degrees)).toThrow(RangeError);
  });
});

describe('meanInterval', () => {
  it("is that of a worked example: Gosset's (Student 1908) ten patients, extra hours of sleep", () => {
    const hours = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
    const { estimate, low, high } = meanInterval(hours, 0.95);
    expect(estimate).toBeCloseTo(1.58, 10);
    expect([low, high].map((value) => value.toFixed(4))).toEqual(['0.7001', '2.4599']);
  });

  it('needs two values', () => {
    expect(() => meanInterval([1], 0.95)).toThrow(RangeError);
    expect(() => meanInterval([], 0.95)).toThrow(RangeError);
  });

  it('of equal values is that value', () => {
    expect(meanInterval([2, 2, 2], 0.95)).toEqual({ estimate: 2, low: 2, high: 2 });
  });
});

describe('ratioInterval', () => {
  it('cancels what drifts over both numbers of a pair', () => {
    const pairs = [1, 5, 20, 300].map((speed) => ({ control: speed, subject: speed * 1.06 }));
    const { estimate, low, high } = ratioInterval(pairs, 0.95);
    for (const value of [estimate, low, high]) expect(value).toBeCloseTo(1.06, 12);
  });

  it('says of exchanged sides the inverse', () => {
    const positive = fc.double({ min: 0.01, max: 1000, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.record({ subject: positive, control: positive }), { minLength: 2 }), (pairs) => {
        const there = ratioInterval(pairs, 0.95);
        const back = ratioInterval(
          pairs.map(({ subject, control }) => ({ subject: control, control: subject })),
          0.95,
        );
        expect(Math.log(there.estimate)).toBeCloseTo(-Math.log(back.estimate), 9);
        expect(Math.log(there.low)).toBeCloseTo(-Math.log(back.high), 6);
        expect(there.low).toBeLessThanOrEqual(there.estimate);
      }),
    );
  });

  it('holds the true ratio as often as it says: 95 of 100 times, of normal noise', () => {
    const random = lehmer(20240613);
    const normal = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
    const runs = 4000;
    let held = 0;
    for (let run = 0; run < runs; run++) {
      const pairs = Array.from({ length: 6 }, () => ({ control: 100, subject: 103 * Math.exp(0.02 * normal()) }));
      const { low, high } = ratioInterval(pairs, 0.95);
      if (low <= 1.03 && 1.03 <= high) held++;
    }
    expect(held / runs).toBeGreaterThan(0.94);
    expect(held / runs).toBeLessThan(0.96);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('takes no %d', (subject) => {
    const pairs = [
      { subject, control: 1 },
      { subject: 1, control: 1 },
    ];
    expect(() => ratioInterval(pairs, 0.95)).toThrow(RangeError);
  });
});

/** Numbers between 0 and 1 that look random and are the same each time (Park and Miller's generator). */
function lehmer(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}
