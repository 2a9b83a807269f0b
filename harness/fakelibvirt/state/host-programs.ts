import { fromBase64, fromHex } from '../../../core/bytes.ts';
import { hardwareFaults } from '../faults/hardware.ts';
import { runningFirmware } from '../faults/platform-lies.ts';
import { COMMAND_NAMES, type CommandName } from '../firmware/commands.ts';
import { type ProbeState, StateProbe } from '../firmware/state-probe.ts';
import { launchBareVm } from '../kernel/bare-launch.ts';
import { type IoctlRequest, issueOnDevice } from '../kernel/sev-device.ts';
import { sevGeneration } from '../profiles/profile.ts';
import { readHostFile } from './host-files.ts';
import type { Machine } from './machine.ts';

/** What a program of the host ended with; output of a program that failed says why. */
export interface ProgramResult {
  readonly exitCode: number;
  readonly output: string;
}

const ENOENT = 2;

/** The emulated host's own counterparts of the programs that the harness runs on a real one: JSON in, JSON out. */
const PROGRAMS: Readonly<Record<string, (machine: Machine, input: never) => object>> = {
  'sev-device': (machine, { commands }: { readonly commands: readonly IoctlRequest[] }) =>
    hasSevDevice(machine)
      ? { answers: commands.map((command) => issueOnDevice(machine.sevDriver, command)) }
      : { unopened: ENOENT },
  'bare-launch': (machine, { launches }: { readonly launches: readonly WireLaunch[] }) =>
    hasSevDevice(machine)
      ? { answers: launches.map((launch) => launchBareVm(machine, fromWire(launch))) }
      : { unopened: ENOENT },
  'ksm-settings': ({ ksm }, settings: Readonly<Record<string, number>>) => ({
    refused: Object.entries(settings).flatMap(([name, value]) => (ksm.set(name, value) ? [] : [name])),
  }),
  'state-table': (machine, { commands, columns }: StateTableInput) => {
    const probe = new StateProbe({
      version: runningFirmware(machine),
      generation: sevGeneration(machine.profile),
      faults: hardwareFaults(machine.faults),
    });
    const states = columns.map(
      ({ platform, guest }): ProbeState => ({ platform, guest: guest === 'none' ? 'UNINIT' : guest }),
    );
    return { rows: commands.filter(isCommand).map((command) => states.map((state) => probe.try(command, state))) };
  },
};

interface WireLaunch {
  readonly isEs: boolean;
  readonly policy: number;
  readonly dhCert?: string;
  readonly session?: string;
  readonly loads: readonly { readonly page: number; readonly fillHex: string }[];
  readonly debugPage?: number;
  readonly isMeasured?: boolean;
}

interface StateTableInput {
  readonly commands: readonly string[];
  readonly columns: readonly {
    readonly platform: ProbeState['platform'];
    readonly guest: ProbeState['guest'] | 'none';
  }[];
}

export function runProgram(machine: Machine, name: string, input: string): ProgramResult {
  const program = Object.hasOwn(PROGRAMS, name) ? PROGRAMS[name] : undefined;
  if (program === undefined) return { exitCode: 127, output: `the emulated host has no program '${name}'` };
  try {
    return { exitCode: 0, output: JSON.stringify(program(machine, JSON.parse(input) as never)) };
  } catch (error) {
    // Whatever was sent: a program that stumbles over its input ends, and the host does not.
    return { exitCode: 1, output: String(error) };
  }
}

function fromWire({ dhCert, session, loads, isMeasured = false, ...rest }: WireLaunch) {
  const material =
    dhCert === undefined || session === undefined
      ? {}
      : { material: { dhCert: bytes(fromBase64(dhCert)), session: bytes(fromBase64(session)) } };
  return {
    ...rest,
    ...material,
    isMeasured,
    loads: loads.map(({ page, fillHex }) => ({ page, fill: bytes(fromHex(fillHex)) })),
  };
}

function bytes(decoded: Uint8Array | undefined): Uint8Array {
  return decoded ?? new Uint8Array();
}

/** The device has no read operation, and is there all the same. */
function hasSevDevice(machine: Machine): boolean {
  const reading = readHostFile(machine, '/dev/sev', 0, 1);
  return reading.ok || reading.errno !== 'ENOENT';
}

function isCommand(name: string): name is CommandName {
  return (COMMAND_NAMES as readonly string[]).includes(name);
}
