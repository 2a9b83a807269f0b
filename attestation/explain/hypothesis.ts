import { createHash, createHmac, type Hash, timingSafeEqual } from 'node:crypto';
import { isSevHarnessError } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import { encodeKernelHashes, KERNEL_HASHES_BYTES } from '../measurement/kernel-hashes.ts';
import { type OvmfTable, parseOvmfTable } from '../measurement/ovmf.ts';
import { BSP_RESET_EIP, buildVmsa, patchVmsa, type VmsaPatch, type VmsaSpec } from '../measurement/vmsa.ts';
import type { Reading } from './readings.ts';

/** A guest firmware image that may have been measured. Compared by identity, hashed once. */
export interface Image {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What was hashed for the kernel; `cmdline` is the bytes, terminator included. */
export interface KernelGuess {
  readonly cmdline: Uint8Array;
  readonly initrdSha256: Uint8Array;
  readonly kernelSha256: Uint8Array;
  readonly padded: boolean;
}

export interface VcpuGuess {
  readonly count: number;
  /** Pages that the caller gave, or what to build them from. */
  readonly pages: { readonly bsp: Uint8Array; readonly ap: Uint8Array | undefined } | Omit<VmsaSpec, 'resetEip'>;
  /** What differs from those pages. */
  readonly patch: VmsaPatch;
  readonly order: 'bsp-first' | 'swapped' | 'bsp-for-all';
  /** The second and later vCPUs start where the image says, even if given pages say otherwise. */
  readonly resetFromImage: boolean;
}

/** What the launch digest covers. Compared by identity: equal objects share one digest. */
export interface GuestGuess {
  readonly image: Image;
  readonly kernel: KernelGuess | undefined;
  readonly vcpus: VcpuGuess | undefined;
}

/** One assumption about what really happened at launch. */
export interface Hypothesis {
  readonly reading: Reading | undefined;
  /** What was given as a measurement is the launch digest itself. */
  readonly asDigest: boolean;
  readonly guest: GuestGuess | { readonly digest: Uint8Array };
  readonly apiMajor: number;
  readonly apiMinor: number;
  readonly buildId: number;
  readonly policy: number;
  readonly key: Secret<Uint8Array>;
}

interface Run {
  readonly hash: Hash;
  /** Digest after 1, 2, … vCPUs. */
  readonly digests: Uint8Array[];
  readonly first: Uint8Array;
  readonly others: Uint8Array | undefined;
}

/** Tests hypotheses; hashes each image once and each list of vCPUs as far as needed, whatever the number of tests. */
export class Laboratory {
  readonly #digests = new WeakMap<GuestGuess, Uint8Array>();
  readonly #prefixes = new Map<string, Hash>();
  readonly #runs = new Map<string, Run>();
  readonly #images = new Map<Image, { id: number; hash: Hash; table: OvmfTable | undefined }>();

  /** `undefined` when the hypothesis contradicts itself and so cannot be tested. */
  fits(hypothesis: Hypothesis): boolean | undefined {
    const { reading, guest } = hypothesis;
    if (reading === undefined || (!hypothesis.asDigest && reading.mnonce === undefined)) return undefined;
    const digest = 'digest' in guest ? guest.digest : this.#digest(guest);
    if (digest === undefined) return undefined;
    if (hypothesis.asDigest) return timingSafeEqual(digest, reading.measurement);
    const { apiMajor, apiMinor, buildId, policy } = hypothesis;
    const head = Uint8Array.of(4, apiMajor, apiMinor, buildId, policy, policy >>> 8, policy >>> 16, policy >>> 24);
    const hmac = createHmac('sha256', hypothesis.key.reveal()).update(head).update(digest);
    return timingSafeEqual(hmac.update(reading.mnonce ?? new Uint8Array()).digest(), reading.measurement);
  }

  /** AP reset vector that an image names. */
  resetEip(image: Image): number | undefined {
    return this.#image(image).table?.resetEip;
  }

  #image(image: Image) {
    let known = this.#images.get(image);
    if (known === undefined) {
      const hash = createHash('sha256').update(image.bytes);
      known = { id: this.#images.size, hash, table: tableOf(image.bytes) };
      this.#images.set(image, known);
    }
    return known;
  }

  #digest(guest: GuestGuess): Uint8Array | undefined {
    const cached = this.#digests.get(guest);
    if (cached !== undefined) return cached;
    const image = this.#image(guest.image);
    const table = guest.kernel === undefined ? undefined : encodeGuess(guest.kernel);
    const prefixKey = `${image.id}|${table === undefined ? '' : Buffer.from(table).toString('latin1')}`;
    let prefix = this.#prefixes.get(prefixKey);
    if (prefix === undefined) {
      prefix = table === undefined ? image.hash : image.hash.copy().update(table);
      this.#prefixes.set(prefixKey, prefix);
    }
    const digest = guest.vcpus ? this.#digestWithVcpus(guest.image, guest.vcpus, prefix, prefixKey) : digestOf(prefix);
    if (digest !== undefined) this.#digests.set(guest, digest);
    return digest;
  }

  #digestWithVcpus(image: Image, vcpus: VcpuGuess, prefix: Hash, prefixKey: string): Uint8Array | undefined {
    const { count, pages, patch, order, resetFromImage } = vcpus;
    const key = [
      prefixKey,
      JSON.stringify('bsp' in pages ? patch : { ...pages, ...patch }),
      order,
      resetFromImage,
    ].join('|');
    let run = this.#runs.get(key);
    if (run === undefined) {
      const { bsp, ap } = pagesOf(vcpus, this.resetEip(image));
      const first = order === 'swapped' ? ap : bsp;
      if (first === undefined) return undefined;
      run = { hash: prefix.copy(), digests: [], first, others: order === 'bsp-first' ? ap : bsp };
      this.#runs.set(key, run);
    }
    while (run.digests.length < count) {
      const page = run.digests.length === 0 ? run.first : run.others;
      if (page === undefined) return undefined;
      run.digests.push(digestOf(run.hash.update(page)));
    }
    return run.digests[count - 1];
  }
}

function pagesOf({ pages, patch, resetFromImage }: VcpuGuess, resetEip: number | undefined) {
  if (!('bsp' in pages)) {
    const spec = { ...pages, ...patch };
    const ap = resetEip ? buildVmsa({ ...spec, resetEip }) : undefined;
    return { bsp: buildVmsa({ ...spec, resetEip: BSP_RESET_EIP }), ap };
  }
  const bsp = patchVmsa(pages.bsp, patch);
  if (pages.ap !== undefined && !resetFromImage) return { bsp, ap: patchVmsa(pages.ap, patch) };
  return { bsp, ap: resetEip ? patchVmsa(pages.ap ?? pages.bsp, { ...patch, resetEip }) : undefined };
}

function encodeGuess(kernel: KernelGuess): Uint8Array {
  const cmdline = new Uint8Array(createHash('sha256').update(kernel.cmdline).digest());
  const table = encodeKernelHashes({ cmdline, initrd: kernel.initrdSha256, kernel: kernel.kernelSha256 });
  return kernel.padded ? table : table.subarray(0, KERNEL_HASHES_BYTES - 8);
}

function digestOf(hash: Hash): Uint8Array {
  return hash.copy().digest();
}

/** An image without a readable table can still have been measured. */
function tableOf(bytes: Uint8Array): OvmfTable | undefined {
  try {
    return parseOvmfTable(bytes);
  } catch (error) {
    if (isSevHarnessError(error)) return undefined;
    throw error;
  }
}
