import { createHash } from 'node:crypto';
import type { SnpLaunchDigest } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { PAGE_BYTES, type SnpSection } from './snp-metadata.ts';

/** SEV-SNP ABI 56860, PAGE_TYPE. */
export const PAGE_TYPE = { normal: 1, vmsa: 2, zero: 3, unmeasured: 4, secrets: 5, cpuid: 6 } as const;
const PAGE_INFO_BYTES = 0x70;
const DIGEST_BYTES = 48;
const VMSA_GPA = 0xffff_ffff_f000n;

/** LD of SEV-SNP while pages are added to it, one by one. */
export class SnpDigestChain {
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

  /** All pages of an image that lies right below `endGpa`. */
  image(image: Uint8Array, endGpa: number): void {
    if (image.length === 0 || image.length % PAGE_BYTES !== 0 || image.length > endGpa) {
      throw attestationError(
        'LAUNCH_INPUT_INVALID',
        `image below 0x${endGpa.toString(16)} must be whole pages of ${PAGE_BYTES} bytes, is ${image.length} bytes`,
      );
    }
    for (let offset = 0; offset < image.length; offset += PAGE_BYTES) {
      const gpa = BigInt(endGpa - image.length + offset);
      this.page(PAGE_TYPE.normal, gpa, image.subarray(offset, offset + PAGE_BYTES));
    }
  }

  vmsa(contents: Uint8Array): void {
    this.page(PAGE_TYPE.vmsa, VMSA_GPA, contents);
  }
}
