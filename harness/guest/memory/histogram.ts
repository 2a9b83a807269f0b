/** Thousands of histograms are looked at, most of them with small counts. */
const WEIGHTS = Float64Array.from({ length: 1024 }, (_, count) => weightOf(count));

function weightOf(count: number): number {
  return count === 0 ? 0 : count * Math.log2(count);
}

/** Shannon entropy of a histogram of 256 byte values, in bits (0 to 8), with the correction of Miller and Madow (1955) for small samples. */
export function entropyBits(histogram: ArrayLike<number>, from = 0): number {
  let total = 0;
  let kinds = 0;
  for (let value = 0; value < 256; value++) {
    const count = histogram[from + value] as number;
    total += count;
    if (count > 0) kinds++;
  }
  if (kinds < 2) return 0;
  let sum = 0;
  for (let value = 0; value < 256; value++) {
    const count = histogram[from + value] as number;
    sum += count < WEIGHTS.length ? (WEIGHTS[count] as number) : weightOf(count);
  }
  const bits = Math.log2(total) - sum / total;
  return Math.min(8, bits + (kinds - 1) / (2 * total * Math.LN2));
}

export function histogramOf(bytes: Uint8Array): Uint32Array {
  const histogram = new Uint32Array(256);
  for (const byte of bytes) histogram[byte] = (histogram[byte] as number) + 1;
  return histogram;
}
