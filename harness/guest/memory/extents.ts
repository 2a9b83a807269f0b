/** Guest-physical memory without a gap. */
export interface MemoryRange {
  readonly guestAddress: number;
  readonly bytes: number;
}

/** A range, and where it stands in a file. */
export interface FileExtent extends MemoryRange {
  readonly fileOffset: number;
}

/** A range, and how much memory stands before it, gaps not counted. */
export type Positioned<Range extends MemoryRange> = Range & { readonly position: number };

export function totalBytes(ranges: readonly MemoryRange[]): number {
  return ranges.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Cuts ranges into pieces of `bytes` at most, counted from the start of each range. */
export function* inPieces<Range extends MemoryRange>(
  ranges: readonly Range[],
  bytes: number,
): Generator<Positioned<Range>> {
  let position = 0;
  for (const range of ranges) {
    for (let at = 0; at < range.bytes; at += bytes) {
      const piece = partOf(range, at, Math.min(bytes, range.bytes - at));
      yield { ...piece, position };
      position += piece.bytes;
    }
  }
}

/** The part of a range that begins `at` bytes after its start. */
function partOf<Range extends MemoryRange>(range: Range, at: number, bytes: number): Range {
  const moved = { ...range, guestAddress: range.guestAddress + at, bytes };
  return 'fileOffset' in moved ? { ...moved, fileOffset: (moved.fileOffset as number) + at } : moved;
}

/** Where `[guestAddress, guestAddress + bytes)` stands in a file; `undefined` when it does not stand there whole and in one piece. */
export function fileOffsetOf(extents: readonly FileExtent[], guestAddress: number, bytes: number): number | undefined {
  const extent = extents.find(
    (one) => one.guestAddress <= guestAddress && guestAddress + bytes <= one.guestAddress + one.bytes,
  );
  return extent && extent.fileOffset + guestAddress - extent.guestAddress;
}
