import { createHash } from 'node:crypto';
import type { SnpLaunchDigest } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { requireHashesArea, resolveVcpuPages, type Vcpus } from './digest.ts';
import { encodeKernelHashes, KERNEL_HASHES_BYTES, type KernelHashes } from './kernel-hashes.ts';
import { parseOvmfTable } from './ovmf.ts';
import { PAGE_BYTES, parseSnpMetadata, type SnpSection } from './snp-metadata.ts';

/** Everything that the launch digest of a SEV-SNP guest covers. */
export interface SnpLaunchInputs {
  /** Whole pages: the image that ends at 4 GiB. */
  readonly guestFirmware: Uint8Array;
  /** With `kernel-hashes=on`. */
  readonly kernelHashes?: KernelHashes;
  /** SEV_FEATURES of built pages must have bit 0 (SNP active) set by the caller. */
  readonly vcpus: Vcpus;
}

/** SEV-SNP ABI 56860, PAGE_TYPE. */
const PAGE_TYPE = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const;
const PAGE_INFO_BYTES = 0x70;
const DIGEST_BYTES = 48;
const VMSA_GPA = 0xffff_ffff_f000n;
const FOUR_GIB = 0x1_0000_0000;

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
        chain.page(PAGE_TYPE.secrets, BigInt(section.gpa));
        break;
      case 'cpuid':
        chain.page(PAGE_TYPE.cpuid, BigInt(section.gpa));
        break;
      case 'kernel-hashes':
        if (hashesPage === undefined) chain.pages(section, PAGE_TYPE.zero);
        else chain.page(PAGE_TYPE.normal, BigInt(section.gpa), hashesPage);
        break;
    }
  }
  chain.page(PAGE_TYPE.vmsa, VMSA_GPA, pages.bsp);
  for (let index = 1; index < pages.count; index += 1) chain.page(PAGE_TYPE.vmsa, VMSA_GPA, pages.ap ?? pages.bsp);
  return chain.digest;
}

/** The digest after the firmware's own pages, before metadata and vCPUs: a fingerprint of the image. */
export function computeSnpFirmwareDigest(guestFirmware: Uint8Array): SnpLaunchDigest {
  return firmwareChain(guestFirmware).digest;
}

function firmwareChain(image: Uint8Array): Chain {
  if (image.length === 0 || image.length % PAGE_BYTES !== 0 || image.length > FOUR_GIB) {
    throw attestationError(
      'LAUNCH_INPUT_INVALID',
      `guest firmware must be whole pages of ${PAGE_BYTES} bytes, is ${image.length} bytes`,
    );
  }
  const chain = new Chain();
  for (let offset = 0; offset < image.length; offset += PAGE_BYTES) {
    const gpa = BigInt(FOUR_GIB - image.length + offset);
    chain.page(PAGE_TYPE.normal, gpa, image.subarray(offset, offset + PAGE_BYTES));
  }
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

class Chain {
  #digest = new Uint8Array(DIGEST_BYTES);

  get digest(): SnpLaunchDigest {
    return this.#digest.slice() as SnpLaunchDigest;
  }

  page(type: number, gpa: bigint, contents?: Uint8Array): void {
    const info = new Uint8Array(PAGE_INFO_BYTES);
    info.set(this.#digest);
    if (contents !== undefined) info.set(createHash('sha384').update(contents).digest(), DIGEST_BYTES);
    const view = new DataView(info.buffer);
    view.setUint16(0x60, PAGE_INFO_BYTES, true);
    view.setUint8(0x62, type);
    view.setBigUint64(0x68, gpa, true);
    this.#digest = new Uint8Array(createHash('sha384').update(info).digest());
  }

  pages({ gpa, sizeBytes }: SnpSection, type: number): void {
    for (let offset = 0; offset < sizeBytes; offset += PAGE_BYTES) this.page(type, BigInt(gpa + offset));
  }
}
