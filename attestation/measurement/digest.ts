import { createHash } from 'node:crypto';
import type { LaunchDigest } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { encodeKernelHashes, KERNEL_HASHES_BYTES, type KernelHashes } from './kernel-hashes.ts';
import { type OvmfTable, parseOvmfTable } from './ovmf.ts';
import { integerInRange } from './range.ts';
import { BSP_RESET_EIP, buildVmsa, parseVmsa, type Vmm, type VmsaForm } from './vmsa.ts';

/** More than KVM allows on any host (KVM_MAX_VCPUS). */
export const MAX_VCPUS = 4096;

/** Pages that the caller has, from a host or a tool: one for the boot vCPU, one for all others. */
export interface GivenVcpus {
  readonly kind: 'given';
  readonly count: number;
  readonly bsp: Uint8Array;
  /** Needed when `count` is above 1. */
  readonly ap?: Uint8Array;
}

/** Pages to be built; the start of the second and later vCPUs comes from the guest firmware. */
export interface BuiltVcpus {
  readonly kind: 'built';
  readonly count: number;
  readonly cpuSignature: number;
  readonly form: VmsaForm;
  readonly sevFeatures?: number;
  readonly vmm?: Vmm;
}

export type Vcpus = GivenVcpus | BuiltVcpus;

/** Everything that the launch digest of a SEV or SEV-ES guest covers. */
export interface LaunchInputs {
  /** The whole image that is mapped as flash 0: OVMF.fd or OVMF_CODE.fd, never the VARS file. */
  readonly guestFirmware: Uint8Array;
  /** With `kernel-hashes=on`. */
  readonly kernelHashes?: KernelHashes;
  /** SEV-ES only. */
  readonly vcpus?: Vcpus;
}

export interface VcpuPages {
  readonly count: number;
  readonly bsp: Uint8Array;
  readonly ap: Uint8Array | undefined;
}

/**
 * Launch digest of a SEV guest, or with `vcpus` of a SEV-ES guest: SHA-256 over guest firmware, kernel hashes table and
 * one VMSA page per vCPU. Nothing is verified here: this is what a measurement must match.
 *
 * Errors: `LAUNCH_INPUT_INVALID`, `VMSA_MALFORMED`, `KERNEL_HASHES_MALFORMED`, `OVMF_NO_HASHES_TABLE`,
 * `OVMF_NO_RESET_BLOCK`, `OVMF_NO_TABLE`, `OVMF_MALFORMED`. Source: SEV API 55766 rev 3.24, section 6.5 (GCTX.LD).
 */
export function computeLaunchDigest(inputs: LaunchInputs): LaunchDigest {
  const pages = inputs.vcpus && resolveVcpuPages(inputs.vcpus, inputs.guestFirmware);
  const hash = createHash('sha256').update(checkFirmware(inputs.guestFirmware));
  if (inputs.kernelHashes !== undefined) {
    requireHashesArea(parseOvmfTable(inputs.guestFirmware));
    hash.update(encodeKernelHashes(inputs.kernelHashes));
  }
  if (pages !== undefined) {
    hash.update(pages.bsp);
    for (let index = 1; index < pages.count; index += 1) hash.update(pages.ap ?? pages.bsp);
  }
  return new Uint8Array(hash.digest()) as LaunchDigest;
}

/** The VMSA pages of a guest, validated. Errors as `computeLaunchDigest`. */
export function resolveVcpuPages(vcpus: Vcpus, guestFirmware: Uint8Array): VcpuPages {
  const count = integerInRange('number of vCPUs', vcpus.count, 1, MAX_VCPUS);
  if (vcpus.kind === 'built') {
    const { kind: _kind, count: _count, ...spec } = vcpus;
    const ap = count > 1 ? buildVmsa({ ...spec, resetEip: requireResetEip(guestFirmware) }) : undefined;
    return { count, bsp: buildVmsa({ ...spec, resetEip: BSP_RESET_EIP }), ap };
  }
  if (count > 1 && vcpus.ap === undefined) {
    throw attestationError(
      'LAUNCH_INPUT_INVALID',
      `${count} vCPUs need a VMSA page for the second and later ones, none given`,
      {
        details: { count },
        hint: 'Give the page of vCPU 1 too, or the CPU family, model and stepping instead of pages.',
      },
    );
  }
  return { count, bsp: parseVmsa(vcpus.bsp), ap: count > 1 && vcpus.ap ? parseVmsa(vcpus.ap) : undefined };
}

/** Where the second and later vCPUs start. Errors: `OVMF_NO_RESET_BLOCK`, `OVMF_NO_TABLE`, `OVMF_MALFORMED`. */
export function requireResetEip(guestFirmware: Uint8Array): number {
  const { resetEip } = parseOvmfTable(guestFirmware);
  if (resetEip) return resetEip;
  throw attestationError(
    'OVMF_NO_RESET_BLOCK',
    `guest firmware names no SEV-ES reset vector: reset block expected in its table, ${resetEip === 0 ? 'found address 0' : 'found none'}`,
    { hint: 'Use an OVMF build with SEV-ES support for guests with more than one vCPU.' },
  );
}

/** The kernel hashes must have a place in guest memory, or QEMU refuses to start. Error: `OVMF_NO_HASHES_TABLE`. */
export function requireHashesArea({ hashesArea }: OvmfTable): void {
  if (hashesArea !== undefined && hashesArea.sizeBytes >= KERNEL_HASHES_BYTES) return;
  const found = hashesArea === undefined ? 'none' : `one of ${hashesArea.sizeBytes} bytes`;
  throw attestationError(
    'OVMF_NO_HASHES_TABLE',
    `guest firmware does not support kernel hashes: area of at least ${KERNEL_HASHES_BYTES} bytes expected, found ${found}`,
    { hint: 'Use an AmdSev build of OVMF, or leave out kernel, initrd and command line.' },
  );
}

function checkFirmware(image: Uint8Array): Uint8Array {
  if (image.length > 0) return image;
  throw attestationError('LAUNCH_INPUT_INVALID', 'guest firmware must not be empty, is 0 bytes');
}
