import { createHash } from 'node:crypto';
import { concatBytes } from '../../core/bytes.ts';
import { Secret } from '../../core/secret.ts';
import type { LaunchDigest, Mnonce, Tek, Tik } from '../brands.ts';
import { resolveVcpuPages, type Vcpus } from '../measurement/digest.ts';
import { computeKernelHashes, encodeKernelHashes, type KernelFiles } from '../measurement/kernel-hashes.ts';
import { computeLaunchMeasurement, type LaunchContext } from '../measurement/measurement.ts';
import { sampleOvmf } from '../measurement/sample-ovmf.ts';
import { type ExplainInputs, type Explanation, explainLaunch } from './launch.ts';

export const TIK = new Uint8Array(16).map((_, index) => 0x10 + index) as Tik;
export const TEK = new Uint8Array(16).map((_, index) => 0x80 + index) as Tek;
export const MNONCE = new Uint8Array(16).map((_, index) => 0xf0 ^ index) as Mnonce;
export const CONTEXT: LaunchContext = { apiMajor: 1, apiMinor: 55, buildId: 21, policy: 0x5 };
export const FIRMWARE = sampleOvmf();
export const KERNEL: KernelFiles = {
  kernel: Buffer.from('a kernel'),
  initrd: Buffer.from('an initrd'),
  cmdline: 'console=ttyS0 root=/dev/vda1',
};
export const VCPUS: Vcpus = { kind: 'built', count: 4, cpuSignature: 0x00a0_0f11, form: 'legacy' };
export const GUEST = { guestFirmware: FIRMWARE, kernel: KERNEL, vcpus: VCPUS };

/** What really happened; each field replaces one of the baseline. */
export interface Truth {
  readonly context?: Partial<LaunchContext>;
  readonly firmware?: Uint8Array;
  readonly kernel?: KernelFiles | undefined;
  readonly kernelBytes?: Uint8Array;
  readonly cmdlineBytes?: string;
  readonly vcpus?: Vcpus | undefined;
  readonly pages?: readonly Uint8Array[];
  readonly key?: Uint8Array;
}

export function digestOf(truth: Truth): LaunchDigest {
  const merged = { firmware: FIRMWARE, kernel: KERNEL, vcpus: VCPUS, ...truth };
  const hash = createHash('sha256').update(merged.firmware);
  if (merged.kernelBytes) hash.update(merged.kernelBytes);
  else if (merged.kernel !== undefined) {
    const hashes = computeKernelHashes(merged.kernel);
    const cmdline =
      merged.cmdlineBytes === undefined ? hashes.cmdline : createHash('sha256').update(merged.cmdlineBytes).digest();
    hash.update(encodeKernelHashes({ ...hashes, cmdline }));
  }
  for (const page of merged.pages ?? pagesOf(merged.vcpus, merged.firmware)) hash.update(page);
  return new Uint8Array(hash.digest()) as LaunchDigest;
}

export function pagesOf(vcpus: Vcpus | undefined, firmware = FIRMWARE): Uint8Array[] {
  if (vcpus === undefined) return [];
  const { count, bsp, ap } = resolveVcpuPages(vcpus, firmware);
  return Array.from({ length: count }, (_, index) => (index === 0 ? bsp : (ap ?? bsp)));
}

export function measured(truth: Truth = {}): Uint8Array {
  const context = { ...CONTEXT, ...truth.context };
  const key = new Secret((truth.key ?? TIK) as Tik);
  return concatBytes(computeLaunchMeasurement(key, context, digestOf(truth), MNONCE), MNONCE);
}

export function explain(measurement: string | Uint8Array, given: Partial<ExplainInputs> = {}): Promise<Explanation> {
  return explainLaunch({
    measurement,
    context: CONTEXT,
    tik: new Secret(TIK),
    tek: new Secret(TEK),
    guest: GUEST,
    ...given,
  });
}

export function dimensions(explanation: Explanation): string[] {
  return explanation.outcome === 'explained' ? explanation.changes.map(({ dimension }) => dimension) : [];
}

export const [BSP, AP] = pagesOf(VCPUS) as [Uint8Array, Uint8Array];
export const givenPages = (changes: Partial<{ count: number; bsp: Uint8Array; ap: Uint8Array }> = {}): Vcpus => ({
  kind: 'given',
  count: 4,
  bsp: BSP,
  ap: AP,
  ...changes,
});
export const withVcpus = (vcpus: Partial<Vcpus>): Vcpus => ({ ...VCPUS, ...vcpus }) as Vcpus;
export interface Case {
  readonly name: string;
  readonly measurement?: string | Uint8Array;
  readonly truth?: Truth;
  readonly given?: Partial<ExplainInputs>;
  readonly dimension: string;
  readonly words: string | RegExp;
}
