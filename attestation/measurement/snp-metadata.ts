import { attestationError } from '../errors.ts';
import { parseOvmfTable } from './ovmf.ts';

export const PAGE_BYTES = 4096;

/** What QEMU has to do with an area of guest memory before the first vCPU runs. */
export type SnpSectionKind = 'sec-mem' | 'secrets' | 'cpuid' | 'svsm-caa' | 'kernel-hashes';

export interface SnpSection {
  readonly kind: SnpSectionKind;
  readonly gpa: number;
  readonly sizeBytes: number;
}

const KINDS: ReadonlyMap<number, SnpSectionKind> = new Map([
  [1, 'sec-mem'],
  [2, 'secrets'],
  [3, 'cpuid'],
  [4, 'svsm-caa'],
  [0x10, 'kernel-hashes'],
]);

const ONE_PAGE: ReadonlySet<SnpSectionKind> = new Set(['secrets', 'cpuid', 'kernel-hashes']);

const SIGNATURE = 'ASEV';
const HEADER_BYTES = 16;
const SECTION_BYTES = 12;
/** 256 MiB: real images have under 8 MiB, and each page costs a hash. */
const MAX_PAGES = 0x1_0000;

/**
 * The areas that an OVMF image wants to be set up for SEV-SNP, in the order in which they are measured.
 *
 * Errors: `OVMF_NO_SNP_METADATA`, `OVMF_MALFORMED`, `OVMF_NO_TABLE`.
 * Source: OvmfPkg/ResetVector/X64/OvmfSevMetadata.asm, QEMU hw/i386/pc_sysfw_ovmf.c.
 */
export function parseSnpMetadata(image: Uint8Array): readonly SnpSection[] {
  const { sevMetadataFromEnd } = parseOvmfTable(image);
  if (sevMetadataFromEnd === undefined) {
    throw attestationError('OVMF_NO_SNP_METADATA', 'guest firmware has no SEV metadata, which a SEV-SNP guest needs', {
      hint: 'Use an OVMF build with SEV-SNP support.',
    });
  }
  const start = image.length - sevMetadataFromEnd;
  const room = image.length - start;
  if (start < 0 || room < HEADER_BYTES) {
    throw malformed(
      `it must start within the image of ${image.length} bytes, starts ${sevMetadataFromEnd} before its end`,
    );
  }
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const signature = Buffer.from(image.subarray(start, start + 4)).toString('latin1');
  const [size, version, count] = [
    view.getUint32(start + 4, true),
    view.getUint32(start + 8, true),
    view.getUint32(start + 12, true),
  ];
  if (signature !== SIGNATURE)
    throw malformed(`it must begin with ${SIGNATURE}, begins with ${JSON.stringify(signature)}`);
  if (version !== 1) throw malformed(`its version must be 1, is ${version}`);
  if (size > room || size !== HEADER_BYTES + count * SECTION_BYTES) {
    throw malformed(`its ${count} sections and its size of ${size} bytes do not fit together, or not into the image`);
  }
  const sections = Array.from({ length: count }, (_, index) =>
    readSection(view, start + HEADER_BYTES + index * SECTION_BYTES),
  );
  const pages = sections.reduce((sum, { sizeBytes }) => sum + sizeBytes / PAGE_BYTES, 0);
  if (pages > MAX_PAGES) throw malformed(`its sections must have ${MAX_PAGES} pages at most, have ${pages}`);
  return sections;
}

function readSection(view: DataView, offset: number): SnpSection {
  const [gpa, sizeBytes, type] = [
    view.getUint32(offset, true),
    view.getUint32(offset + 4, true),
    view.getUint32(offset + 8, true),
  ];
  const kind = KINDS.get(type);
  if (kind === undefined) throw malformed(`section type 0x${type.toString(16)} is unknown`);
  if (gpa % PAGE_BYTES !== 0 || sizeBytes % PAGE_BYTES !== 0 || sizeBytes === 0) {
    throw malformed(`section ${kind} must be whole pages, is ${sizeBytes} bytes at 0x${gpa.toString(16)}`);
  }
  if (ONE_PAGE.has(kind) && sizeBytes !== PAGE_BYTES) {
    throw malformed(`section ${kind} must be one page, is ${sizeBytes} bytes`);
  }
  return { kind, gpa, sizeBytes };
}

function malformed(what: string) {
  return attestationError('OVMF_MALFORMED', `SEV metadata of the guest firmware is malformed: ${what}`);
}
