import type { JsonValue } from '../../../core/errors.ts';
import { errnoName, statusName } from '../../diagnosis/status.ts';
import type { LibvirtConnection } from '../../libvirt/index.ts';
import type { HostShell } from '../shell.ts';
import { BARE_LAUNCH_SCRIPT, KSM_SETTINGS_SCRIPT, SEV_DEVICE_SCRIPT } from './scripts.ts';

/** `state-table` exists on emulated hosts only: it drives a spare firmware through every state. */
export type HostProgram = 'sev-device' | 'bare-launch' | 'state-table' | 'ksm-settings';

/** The part of a host that its programs need. */
export interface ProgramHost {
  readonly shell: Pick<HostShell, 'where' | 'run'>;
  readonly connection: Pick<LibvirtConnection, 'callEmulator'>;
}

/** What a program printed, or why nobody knows what it would print. */
export type ProgramAnswer =
  | { readonly outcome: 'answered'; readonly value: unknown }
  | { readonly outcome: 'unknown'; readonly because: string };

const SCRIPTS: Readonly<Partial<Record<HostProgram, string>>> = {
  'sev-device': SEV_DEVICE_SCRIPT,
  'bare-launch': BARE_LAUNCH_SCRIPT,
  'ksm-settings': KSM_SETTINGS_SCRIPT,
};

/** Runs a program where the Secure Processor and the kernel are: Python on a real host, the emulated host's own counterpart otherwise. */
export async function runHostProgram(
  host: ProgramHost,
  program: HostProgram,
  input: JsonValue,
): Promise<ProgramAnswer> {
  if (host.shell.where === 'emulated') {
    const { exitCode, output } = await host.connection.callEmulator('runProgram', {
      name: program,
      input: JSON.stringify(input),
    });
    return exitCode === 0
      ? { outcome: 'answered', value: JSON.parse(output) }
      : { outcome: 'unknown', because: output };
  }
  const script = SCRIPTS[program];
  if (script === undefined)
    return { outcome: 'unknown', because: 'only an emulated firmware can be driven through all states' };
  const reading = await host.shell.run(['python3', '-c', script, JSON.stringify(input)]);
  if (reading.outcome === 'absent') return { outcome: 'unknown', because: 'the host has no python3' };
  if (reading.outcome === 'unreadable') return { outcome: 'unknown', because: reading.because };
  const output = Buffer.from(reading.bytes).toString();
  try {
    return { outcome: 'answered', value: JSON.parse(output) };
  } catch {
    return { outcome: 'unknown', because: `the program printed no JSON: ${output.slice(0, 200)}` };
  }
}

/** How one command ended: errno of the ioctl, and the firmware's status where the firmware was asked. */
export interface CommandEnd {
  readonly errno: number;
  readonly status: number | null;
}

/** `SUCCESS`, the firmware's status as `POLICY_FAILURE (7)`, or the errno of a driver that did not ask it. */
export function endText({ errno, status }: CommandEnd): string {
  if (errno === 0) return 'SUCCESS';
  return status === null || status === 0 ? `${errnoName(String(errno))} by the driver` : statusWord(status);
}

/** A status of the firmware by name and number; 0 is `SUCCESS`. */
export function statusWord(status: number): string {
  return status === 0 ? 'SUCCESS' : `${statusName(status)} (${status})`;
}
