import { fromBase64 } from '../../../core/bytes.ts';
import { type CommandEnd, type ProgramHost, runHostProgram } from './program.ts';

/** Platform commands that the kernel's driver lets a program of the host issue (linux/psp-sev.h). */
export type DeviceCommand =
  | 'FACTORY_RESET'
  | 'PLATFORM_STATUS'
  | 'PEK_GEN'
  | 'PEK_CSR'
  | 'PDH_GEN'
  | 'PDH_CERT_EXPORT'
  | 'GET_ID'
  | 'SNP_PLATFORM_STATUS';

export interface DeviceRequest {
  readonly command: DeviceCommand;
  /** Length of each buffer that the caller offers. */
  readonly lengths?: readonly number[];
}

export interface DeviceAnswer extends CommandEnd {
  /** Lengths as the command left them: what it wrote, or what it needs. */
  readonly lengths: readonly number[];
  readonly outputs: readonly Uint8Array[];
}

/** Sizes of what the commands return (SEV API, appendix C.1; GET_ID for two sockets). */
export const CERTIFICATE_BYTES = 2084;
export const CHAIN_BYTES = 3 * CERTIFICATE_BYTES;
export const IDS_BYTES = 128;

export const WHOLE_CHAIN: DeviceRequest = { command: 'PDH_CERT_EXPORT', lengths: [CERTIFICATE_BYTES, CHAIN_BYTES] };

/**
 * Issues commands on /dev/sev, one after the other, in one visit of the host.
 *
 * `unknown` where the device cannot be reached; a command that was refused is an answer.
 */
export async function issueCommands(
  host: ProgramHost,
  commands: readonly DeviceRequest[],
): Promise<readonly DeviceAnswer[] | { readonly because: string }> {
  const wire = commands.map(({ command, lengths = [] }) => ({ command, lengths: [...lengths] }));
  const answer = await runHostProgram(host, 'sev-device', { device: '/dev/sev', commands: wire });
  if (answer.outcome === 'unknown') return { because: answer.because };
  const value = answer.value as { unopened?: number; answers?: readonly WireAnswer[] };
  if (value.answers === undefined) return { because: unopened('/dev/sev', value.unopened) };
  return value.answers.map(({ outputs, ...rest }) => ({
    ...rest,
    outputs: outputs.map((text) => fromBase64(text) ?? new Uint8Array()),
  }));
}

type WireAnswer = Omit<DeviceAnswer, 'outputs'> & { readonly outputs: readonly string[] };

export function unopened(path: string, errno: number | undefined): string {
  return errno === 2 ? `${path} is not there` : `${path} cannot be opened (errno ${errno ?? '?'}): run as root`;
}

export type PlatformState = 'UNINIT' | 'INIT' | 'WORKING';

/** PLATFORM_STATUS (linux/psp-sev.h, struct sev_user_data_status). */
export interface PlatformStatus {
  readonly api: string;
  readonly build: number;
  readonly state: PlatformState | 'unknown';
  /** The firmware was started with SEV-ES. */
  readonly isEsEnabled: boolean;
  /** An owner has imported a certificate: PEK_GEN would end that. */
  readonly isExternallyOwned: boolean;
  readonly guestCount: number;
}

const STATES: readonly PlatformState[] = ['UNINIT', 'INIT', 'WORKING'];
const OWNED = 1;
/** SEV_STATUS_FLAGS_CONFIG_ES */
const CONFIG_ES = 0x100;

export function parsePlatformStatus(bytes: Uint8Array): PlatformStatus {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    api: `${view.getUint8(0)}.${view.getUint8(1)}`,
    build: view.getUint8(7),
    state: STATES[view.getUint8(2)] ?? 'unknown',
    isEsEnabled: (view.getUint32(3, true) & CONFIG_ES) !== 0,
    isExternallyOwned: (view.getUint32(3, true) & OWNED) !== 0,
    guestCount: view.getUint32(8, true),
  };
}

/** PLATFORM_STATUS, or why nobody could ask for it. */
export async function readPlatformStatus(host: ProgramHost): Promise<PlatformStatus | { readonly because: string }> {
  const answers = await issueCommands(host, [{ command: 'PLATFORM_STATUS' }]);
  if ('because' in answers) return answers;
  const [bytes] = answers[0]?.outputs ?? [];
  return bytes === undefined ? { because: 'PLATFORM_STATUS failed' } : parsePlatformStatus(bytes);
}

/** What SNP_PLATFORM_STATUS says of a host with SEV-SNP on (linux/psp-sev.h, struct sev_user_data_snp_status). */
export interface SnpPlatformStatus {
  readonly currentTcb: bigint;
  readonly isCiphertextHidden: boolean;
}

const CIPHERTEXT_HIDING = 1 << 6;

export function parseSnpPlatformStatus(bytes: Uint8Array): SnpPlatformStatus {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    currentTcb: view.getBigUint64(16, true),
    isCiphertextHidden: (view.getUint32(8, true) & CIPHERTEXT_HIDING) !== 0,
  };
}
