import { attestationError } from '../errors.ts';

/** What CPUID leaf 1 says about a CPU, in display form (family 25 is Zen 3 and Zen 4). */
export interface CpuSku {
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
}

export interface KnownCpu extends CpuSku {
  /** CPUID leaf 1 EAX, which QEMU puts into RDX of each VMSA. */
  readonly signature: number;
  /** QEMU model names and silicon that have this signature. */
  readonly names: readonly string[];
}

/**
 * CPUID leaf 1 EAX of a family (0..270), model (0..255) and stepping (0..15).
 *
 * Error: `CPU_SIGNATURE_INVALID`. Source: AMD APM volume 3, CPUID Fn0000_0001_EAX.
 */
export function encodeCpuSignature({ family, model, stepping }: CpuSku): number {
  checkPart('family', family, 0xf + 0xff);
  checkPart('model', model, 0xff);
  checkPart('stepping', stepping, 0xf);
  // Below family 15 the hardware has no extended model; such a CPU has no SEV, and QEMU encodes it all the same.
  const extendedFamily = Math.max(family - 0xf, 0);
  const baseFamily = Math.min(family, 0xf);
  return (extendedFamily << 20) | ((model >> 4) << 16) | (baseFamily << 8) | ((model & 0xf) << 4) | stepping;
}

/** The inverse of `encodeCpuSignature`; reserved bits are ignored. */
export function decodeCpuSignature(signature: number): CpuSku {
  const baseFamily = (signature >>> 8) & 0xf;
  return {
    family: baseFamily === 0xf ? 0xf + ((signature >>> 20) & 0xff) : baseFamily,
    model: (((signature >>> 16) & 0xf) << 4) | ((signature >>> 4) & 0xf),
    stepping: signature & 0xf,
  };
}

/**
 * Signatures that a SEV-ES guest on an EPYC host can have.
 *
 * Sources: QEMU target/i386/cpu.c (builtin models; all versions of a model share one signature), linux-firmware
 * amd-ucode/README (family, model and stepping of each silicon), AMD-SB-3019.
 */
export const KNOWN_CPUS: readonly KnownCpu[] = (
  [
    [23, 1, 2, 'EPYC', 'EPYC-IBPB', 'Naples'],
    [23, 49, 0, 'EPYC-Rome', 'Rome'],
    [25, 1, 0, 'Milan'],
    [25, 1, 1, 'EPYC-Milan', 'Milan'],
    [25, 1, 2, 'Milan-X'],
    [25, 17, 0, 'EPYC-Genoa', 'Genoa'],
    [25, 17, 1, 'Genoa'],
    [25, 17, 2, 'Genoa-X'],
    [25, 160, 1, 'Bergamo'],
    [25, 160, 2, 'Bergamo and Siena'],
    [26, 0, 0, 'EPYC-Turin'],
    [26, 2, 0, 'Turin'],
    [26, 2, 1, 'Turin'],
    [26, 17, 0, 'Turin Dense'],
  ] as const
).map(([family, model, stepping, ...names]) => {
  const sku = { family, model, stepping };
  return { ...sku, signature: encodeCpuSignature(sku), names };
});

/** `0x00a00f11 (25/1/1: EPYC-Milan, Milan)`. */
export function formatCpuSignature(signature: number): string {
  const { family, model, stepping } = decodeCpuSignature(signature);
  const known = KNOWN_CPUS.find((cpu) => cpu.signature === signature);
  const names = known === undefined ? '' : `: ${known.names.join(', ')}`;
  return `0x${signature.toString(16).padStart(8, '0')} (${family}/${model}/${stepping}${names})`;
}

function checkPart(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 0 && value <= max) return;
  throw attestationError('CPU_SIGNATURE_INVALID', `CPU ${name} must be an integer from 0 to ${max}, got ${value}`, {
    details: { name, max, actual: String(value) },
  });
}
