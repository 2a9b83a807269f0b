import type { MemoryPicture } from '../../../reports/model/run.ts';
import { entropyBits } from './histogram.ts';
import { SAMPLED_OF } from './kernel.ts';
import type { MemoryScan, MemorySurvey } from './survey.ts';

/** A scan under the name that the report gives its guest. */
export interface NamedScan {
  readonly name: string;
  readonly scan: MemoryScan;
}

/** Memories side by side, for the report. */
export function memoryPicture(scans: readonly NamedScan[]): MemoryPicture {
  return {
    sampledOf: SAMPLED_OF,
    guests: scans.map(({ name, scan }) => ({
      name,
      readBy: scan.route.title,
      bytes: scan.bytes,
      pagesOfZeros: scan.pagesOfZeros,
      histogram: scan.histogram,
      bytesPerTile: scan.entropyMap.bytesPerTile,
      tileBits: scan.entropyMap.bits.map((bits) => Math.round(bits * 10) / 10),
    })),
  };
}

/** What was counted in each memory, and how certain the counts are. */
export function countsText(scans: readonly NamedScan[]): string {
  return scans
    .map(({ name, scan: { bytes, token, pagesOfZeros, equalPages, histogram } }) => {
      const error =
        equalPages.standardError === 0 ? 'exact' : `±${(equalPages.standardError * 100).toFixed(1)} %, estimated`;
      return [
        name,
        `  memory read              ${bytes} bytes`,
        `  places of the canary     ${token?.hits ?? 0}`,
        `  pages of zeros           ${pagesOfZeros}`,
        `  contents of other pages  ${equalPages.contents} (${error})`,
        `  pages like another page  ${equalPages.pagesOfRepeated}, in ${equalPages.repeated} groups, the largest of ${equalPages.most}`,
        `  entropy of other pages   ${entropyBits(histogram).toFixed(3)} bits per byte, from one byte in ${SAMPLED_OF}`,
      ].join('\n');
    })
    .join('\n\n');
}

/** Which ways of reading were used and what each can show, on this host and on others. */
export function routesText({ reached, outOfReach }: MemorySurvey): string {
  const lines = [
    ...reached.map(({ route }) => ({ route, here: 'used' })),
    ...outOfReach.map(({ route, because }) => ({ route, here: `out of reach: ${because}` })),
  ];
  return lines
    .map(
      ({ route, here }) => `${route.title}\n  here     ${here}\n  SEV      ${route.onSev}\n  SEV-SNP  ${route.onSnp}`,
    )
    .join('\n\n');
}
