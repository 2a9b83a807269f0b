import type { SevFacts } from '../facts.ts';
import type { Host } from '../host.ts';
import { readMachine } from '../machine.ts';
import { issueCommands, parseSnpPlatformStatus } from '../secure-processor/device.ts';

/** A test's result in words; `passed` is absent where it could not be made. */
export interface TestResult {
  readonly passed?: boolean;
  readonly words: string;
}

/** What the tests of one host found. */
export interface ActiveResults {
  /** LAUNCH_START with owner's points that lie on another curve. */
  readonly badPoints: TestResult;
  /** DBG_DECRYPT under NODBG. */
  readonly debug: TestResult;
  /** The same content at the same place has the same ciphertext: `passed` when it has not. */
  readonly ciphertext: TestResult;
  /** The digest covers where content is loaded: `passed` when it does. */
  readonly addresses: TestResult;
  /** LAUNCH_START of SEV-ES on a host with SEV-SNP on. */
  readonly esBesideSnp: TestResult;
}

/** What decides whether a defect is on this host. Absent is unknown, never "fixed". */
export interface DefectReadings {
  readonly generation: string | undefined;
  readonly firmware: { readonly apiMajor: number; readonly apiMinor: number; readonly build: number } | undefined;
  readonly microcode: number | undefined;
  readonly kernel: string | undefined;
  /** SEV-SNP is on in the kernel. */
  readonly isSnpOn: boolean;
  /** Security versions, told by a host with SEV-SNP on; else why not. */
  readonly tcb: { readonly snp: number; readonly ucode: number } | { readonly because: string };
  readonly isCiphertextHidden: boolean;
  readonly tests: ActiveResults;
}

export async function readForDefects(
  host: Host,
  facts: SevFacts,
  found: Pick<DefectReadings, 'firmware' | 'tests'>,
): Promise<DefectReadings> {
  const { generation, microcode } = await readMachine(host);
  const isSnpOn = facts.kvmParameters.sevSnp === true;
  const snp = isSnpOn
    ? await readSnpStatus(host)
    : { because: 'SEV-SNP is off, and the TCB is told only when it is on' };
  const isTurin = generation?.startsWith('Turin') === true;
  return {
    ...found,
    generation,
    microcode,
    kernel: facts.versions.kernel,
    isSnpOn,
    tcb: 'because' in snp ? snp : { snp: byteOf(snp.currentTcb, isTurin ? 3 : 6), ucode: byteOf(snp.currentTcb, 7) },
    isCiphertextHidden: 'because' in snp ? false : snp.isCiphertextHidden,
  };
}

async function readSnpStatus(host: Host) {
  const answers = await issueCommands(host, [{ command: 'SNP_PLATFORM_STATUS' }]);
  if ('because' in answers) return answers;
  const [bytes] = answers[0]?.outputs ?? [];
  return bytes === undefined ? { because: 'SNP_PLATFORM_STATUS was refused' } : parseSnpPlatformStatus(bytes);
}

/** Byte of a TCB_VERSION (SEV-SNP ABI 56860): Milan and Genoa have snp in 6, Turin in 3; microcode is in 7. */
function byteOf(tcb: bigint, index: number): number {
  return Number((tcb >> BigInt(8 * index)) & 0xffn);
}
