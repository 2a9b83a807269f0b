import type { SnpLaunchDigest } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { requireHashesArea, resolveVcpuPages, type Vcpus } from './digest.ts';
import { encodeKernelHashes, KERNEL_HASHES_BYTES, type KernelHashes } from './kernel-hashes.ts';
import { parseOvmfTable } from './ovmf.ts';
import { PAGE_TYPE, SnpDigestChain } from './snp-chain.ts';
import { PAGE_BYTES, parseSnpMetadata, type SnpSection } from './snp-metadata.ts';
import type { Vmm } from './vmsa.ts';

/** Everything that the launch digest of a SEV-SNP guest covers. */
export interface SnpLaunchInputs {
  /** Whole pages: the image that ends at 4 GiB. */
  readonly guestFirmware: Uint8Array;
  /** With `kernel-hashes=on`. */
  readonly kernelHashes?: KernelHashes;
  /** SEV_FEATURES of built pages must have bit 0 (SNP active) set by the caller. */
  readonly vcpus: Vcpus;
}

export const FOUR_GIB = 0x1_0000_0000;

/**
 * Launch digest of a SEV-SNP guest, 48 bytes: a hash chain over each page with its address and type.
 *
 * Unlike the digest of SEV and SEV-ES it covers addresses. Errors: as `computeLaunchDigest`, and `OVMF_NO_SNP_METADATA`.
 * Source: SEV-SNP ABI 56860 rev 1.55, section 8.17; QEMU target/i386/sev.c.
 */
export function computeSnpLaunchDigest(inputs: SnpLaunchInputs): SnpLaunchDigest {
  const { guestFirmware, kernelHashes, vcpus } = inputs;
  const pages = resolveVcpuPages(vcpus, guestFirmware);
  const chain = firmwareChain(guestFirmware);
  const vmm = vcpus.kind === 'built' ? (vcpus.vmm ?? 'qemu') : 'qemu';
  const sections = parseSnpMetadata(guestFirmware);
  const hashesPage = kernelHashes && kernelHashesPage(guestFirmware, sections, kernelHashes);
  measureSections(chain, sections, { vmm, ...(hashesPage && { hashesPage }) });
  chain.vmsa(pages.bsp);
  for (let index = 1; index < pages.count; index += 1) chain.vmsa(pages.ap ?? pages.bsp);
  return chain.digest;
}

/** Adds the areas of the metadata, in the order in which the VMM measures them. */
export function measureSections(
  chain: SnpDigestChain,
  sections: readonly SnpSection[],
  { vmm = 'qemu', hashesPage }: { readonly vmm?: Vmm; readonly hashesPage?: Uint8Array } = {},
): void {
  const isEc2 = vmm === 'ec2' || vmm === 'ec2-2023';
  const ordered = isEc2
    ? [...sections].sort((a, b) => Number(a.kind === 'cpuid') - Number(b.kind === 'cpuid'))
    : sections;
  for (const section of ordered) {
    switch (section.kind) {
      case 'sec-mem':
        chain.pages(section, vmm === 'gce' ? PAGE_TYPE.unmeasured : PAGE_TYPE.zero);
        break;
      case 'svsm-caa':
        chain.pages(section, PAGE_TYPE.zero);
        break;
      case 'secrets':
        chain.pages(section, PAGE_TYPE.secrets);
        break;
      case 'cpuid':
        chain.pages(section, PAGE_TYPE.cpuid);
        break;
      case 'kernel-hashes':
        if (hashesPage === undefined) chain.pages(section, PAGE_TYPE.zero);
        else chain.page(PAGE_TYPE.normal, BigInt(section.gpa), hashesPage);
        break;
    }
  }
}

/** The digest after the firmware's own pages, before metadata and vCPUs: a fingerprint of the image. */
export function computeSnpFirmwareDigest(guestFirmware: Uint8Array): SnpLaunchDigest {
  return firmwareChain(guestFirmware).digest;
}

function firmwareChain(guestFirmware: Uint8Array): SnpDigestChain {
  const chain = new SnpDigestChain();
  chain.image(guestFirmware, FOUR_GIB);
  return chain;
}

function kernelHashesPage(image: Uint8Array, sections: readonly SnpSection[], hashes: KernelHashes): Uint8Array {
  const table = parseOvmfTable(image);
  requireHashesArea(table);
  const offset = (table.hashesArea?.baseGpa ?? 0) % PAGE_BYTES;
  if (!sections.some(({ kind }) => kind === 'kernel-hashes') || offset + KERNEL_HASHES_BYTES > PAGE_BYTES) {
    throw attestationError(
      'OVMF_NO_HASHES_TABLE',
      'guest firmware does not support kernel hashes: no such page in its SEV metadata',
      {
        hint: 'Use an AmdSev build of OVMF, or leave out kernel, initrd and command line.',
      },
    );
  }
  const page = new Uint8Array(PAGE_BYTES);
  page.set(encodeKernelHashes(hashes), offset);
  return page;
}
