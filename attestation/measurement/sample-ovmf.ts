import { concatBytes } from '../../core/bytes.ts';
import { guidBytes } from './guid.ts';

/** What an invented OVMF image holds; `undefined` leaves an entry out. */
export interface SampleOvmf {
  readonly sizeBytes?: number;
  readonly hashesArea?: readonly [baseGpa: number, sizeBytes: number] | undefined;
  readonly secretArea?: readonly [baseGpa: number, sizeBytes: number] | undefined;
  readonly resetEip?: number | undefined;
  /** More entries, nearest to the footer first. */
  readonly more?: readonly { readonly guid: string; readonly data: Uint8Array }[];
  /** Fills the code before the table. */
  readonly fill?: number;
}

const DEFAULTS = {
  sizeBytes: 4096,
  hashesArea: [0x0080_fc00, 0x400],
  secretArea: [0x0080_f800, 0x400],
  resetEip: 0x0080_b004,
  more: [],
  fill: 0xa5,
} as const satisfies SampleOvmf;

/** An image that no CPU could run, with a table like that of an AmdSev build: for tests and fuzzing. */
export function sampleOvmf(options: SampleOvmf = {}): Uint8Array {
  const { sizeBytes, hashesArea, secretArea, resetEip, more, fill } = { ...DEFAULTS, ...options };
  const entries = [
    ...more.map(({ guid, data }) => ovmfEntry(guid, data)),
    ...(hashesArea ? [ovmfEntry('7255371f-3a3b-4b04-927b-1da6efa8d454', uint32s(...hashesArea))] : []),
    ...(secretArea ? [ovmfEntry('4c2eb361-7d9b-4cc3-8081-127c90d3d294', uint32s(...secretArea))] : []),
    ...(resetEip === undefined ? [] : [ovmfEntry('00f771de-1a7e-4fcb-890e-68c77e2fb44e', uint32s(resetEip))]),
  ].reverse();
  const length = entries.reduce((sum, entry) => sum + entry.length, 18);
  const footer = concatBytes(
    Uint8Array.of(length & 0xff, length >> 8),
    guidBytes('96b582de-1fb2-45f7-baea-a366c55a082d'),
  );
  const table = concatBytes(...entries, footer);
  const image = new Uint8Array(sizeBytes).fill(fill);
  image.set(table, sizeBytes - 32 - table.length);
  return image;
}

/** One entry as it lies in the image: data, length, GUID. */
export function ovmfEntry(guid: string, data: Uint8Array, length = data.length + 18): Uint8Array {
  return concatBytes(data, Uint8Array.of(length & 0xff, length >> 8), guidBytes(guid));
}

export function uint32s(...values: number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4));
  for (const [index, value] of values.entries()) view.setUint32(index * 4, value, true);
  return new Uint8Array(view.buffer);
}

const SNP_SECTIONS = [
  [0x80_0000, 0x9000, 1],
  [0x80_d000, 0x1000, 2],
  [0x80_e000, 0x1000, 3],
  [0x80_f000, 0x1000, 0x10],
] as const;

/** An image with SEV metadata, 0x200 bytes before its end. */
export function sampleSnpOvmf(
  sections: readonly (readonly [gpa: number, size: number, type: number])[] = SNP_SECTIONS,
  options: SampleOvmf = {},
): Uint8Array {
  const offset = 0x200;
  const image = sampleOvmf({
    ...options,
    more: [{ guid: 'dc886566-984a-4798-a75e-5585a7bf67cc', data: uint32s(offset) }],
  });
  const metadata = uint32s(0x5645_5341, 16 + 12 * sections.length, 1, sections.length, ...sections.flat());
  image.set(metadata, image.length - offset);
  return image;
}
