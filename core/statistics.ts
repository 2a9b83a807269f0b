/** What a measured value may be, given its samples: the true one lies inside with the confidence that was asked for. */
export interface Interval {
  readonly estimate: number;
  readonly low: number;
  readonly high: number;
}

/** Two numbers that were measured one right after the other. */
export interface Pair {
  readonly subject: number;
  readonly control: number;
}

/**
 * The ratio subject to control, from pairs of positive numbers: Student's t interval on the mean of the logarithms of the
 * pairs' ratios, taken back by the exponential function.
 *
 * What drifts over time meets both numbers of a pair and cancels out; the logarithm makes "twice" and "half" equally far
 * from 1. The pairs must be independent, and their logarithms not far from normally distributed. Throws `RangeError` for
 * fewer than two pairs, for numbers that are not positive, and for a confidence outside 0 to 1.
 */
export function ratioInterval(pairs: readonly Pair[], confidence: number): Interval {
  const logs = pairs.map(({ subject, control }) => Math.log(subject / control));
  if (!logs.every(Number.isFinite)) throw new RangeError('a ratio needs positive numbers');
  const { estimate, low, high } = meanInterval(logs, confidence);
  return { estimate: Math.exp(estimate), low: Math.exp(low), high: Math.exp(high) };
}

/** Student's t interval of the mean. Throws `RangeError` for fewer than two values and a confidence outside 0 to 1. */
export function meanInterval(values: readonly number[], confidence: number): Interval {
  const count = values.length;
  if (count < 2) throw new RangeError(`an interval needs at least two values, got ${count}`);
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const standardError = Math.sqrt(squares / (count - 1) / count);
  const half = studentQuantile((1 + confidence) / 2, count - 1) * standardError;
  return { estimate: mean, low: mean - half, high: mean + half };
}

const BISECTIONS = 100;

/** The value that Student's t with these degrees of freedom stays below with this probability, 0.5 to 1 exclusive. */
export function studentQuantile(probability: number, degrees: number): number {
  if (!(probability >= 0.5 && probability < 1) || !(degrees > 0))
    throw new RangeError(`no quantile of Student's t for probability ${probability} and ${degrees} degrees of freedom`);
  let [low, high] = [0, 1];
  while (studentCdf(high, degrees) < probability) high *= 2;
  for (let step = 0; step < BISECTIONS; step++) {
    const middle = (low + high) / 2;
    if (studentCdf(middle, degrees) < probability) low = middle;
    else high = middle;
  }
  return high;
}

/** Abramowitz and Stegun, 26.7.1, for t at or above 0. */
function studentCdf(t: number, degrees: number): number {
  return 1 - incompleteBeta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2;
}

const TINY = 1e-300;
const FRACTIONS = 500;
const CLOSE = 1e-15;

/** The regularized incomplete beta function, by its continued fraction (DLMF 8.17.22, modified Lentz). */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  // The fraction converges fast on this side of the mean only.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(a * Math.log(x) + b * Math.log(1 - x) + logGamma(a + b) - logGamma(a) - logGamma(b)) / a;
  const awayFromZero = (value: number) => (Math.abs(value) < TINY ? TINY : value);
  let d = 1 / awayFromZero(1 - ((a + b) * x) / (a + 1));
  let c = 1;
  let fraction = d;
  for (let m = 1; m <= FRACTIONS; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / awayFromZero(1 + even * d);
    c = awayFromZero(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / awayFromZero(1 + odd * d);
    c = awayFromZero(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < CLOSE) break;
  }
  return front * fraction;
}

/** Stirling's series (DLMF 5.11.1) where it is exact to 1e-15, and the recurrence down to smaller arguments. */
function logGamma(z: number): number {
  if (z < 15) return logGamma(z + 1) - Math.log(z);
  const inverse = 1 / z;
  const series = inverse * (1 / 12 - inverse ** 2 * (1 / 360 - inverse ** 2 * (1 / 1260 - inverse ** 2 * (1 / 1680))));
  return (z - 0.5) * Math.log(z) - z + Math.log(2 * Math.PI) / 2 + series;
}
