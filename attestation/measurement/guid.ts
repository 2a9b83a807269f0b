import { fromHex } from '../../core/bytes.ts';

/** Text form of the 16 bytes of a GUID in mixed order: the first three groups are little-endian. */
export function formatGuid(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  const byte = (index: number) => hex.slice(index * 2, index * 2 + 2);
  const group = (...indices: number[]) => indices.map(byte).join('');
  return [group(3, 2, 1, 0), group(5, 4), group(7, 6), group(8, 9), group(10, 11, 12, 13, 14, 15)].join('-');
}

/** Bytes of a GUID literal, in mixed order. The inverse of `formatGuid`. */
export function guidBytes(guid: string): Uint8Array {
  const plain = fromHex(guid.replaceAll('-', '')) ?? new Uint8Array();
  const at = (index: number) => plain[index] ?? 0;
  return Uint8Array.of(at(3), at(2), at(1), at(0), at(5), at(4), at(7), at(6), ...plain.subarray(8));
}
