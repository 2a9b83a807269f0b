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
  let bits = 0;
  for (let value = 0; value < 256; value++) {
    const share = (histogram[from + value] as number) / total;
    if (share > 0) bits -= share * Math.log2(share);
  }
  return Math.min(8, bits + (kinds - 1) / (2 * total * Math.LN2));
}

export function histogramOf(bytes: Uint8Array): Uint32Array {
  const histogram = new Uint32Array(256);
  for (const byte of bytes) histogram[byte] = (histogram[byte] as number) + 1;
  return histogram;
}
