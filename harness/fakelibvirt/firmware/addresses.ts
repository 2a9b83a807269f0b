/** AES works on blocks, so commands take addresses and lengths that are multiples of 16. */
export const BLOCK_BYTES = 16;

/** System physical addresses have 48 bits. */
const END_ADDRESS = 2 ** 48;
/** Large regions are worked through in pieces, so that no second copy of a whole guest is held. */
const PIECE_BYTES = 2 ** 20;

export function isBlockAddress(address: number): boolean {
  return Number.isSafeInteger(address) && address >= 0 && address < END_ADDRESS && address % BLOCK_BYTES === 0;
}

/** Whole blocks, at least one, as many as a 32-bit length field can say, all below the end of memory. */
export function isBlockLength(length: number, address: number): boolean {
  return length > 0 && length < 2 ** 32 && length % BLOCK_BYTES === 0 && address + length <= END_ADDRESS;
}

export function forEachPiece(length: number, visit: (offset: number, count: number) => void): void {
  for (let offset = 0; offset < length; offset += PIECE_BYTES) visit(offset, Math.min(PIECE_BYTES, length - offset));
}
