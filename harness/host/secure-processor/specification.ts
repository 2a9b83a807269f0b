import type { PlatformState } from './device.ts';
import { type ProgramHost, runHostProgram, statusWord } from './program.ts';

/** `none`: the handle of the command belongs to no guest. */
type GuestState = 'none' | 'LUPDATE' | 'LSECRET' | 'RUNNING' | 'SUPDATE' | 'RUPDATE' | 'SENT';

interface Rule {
  readonly platform: readonly PlatformState[];
  /** Absent: the command is not about a guest, or takes any handle. */
  readonly guest?: readonly GuestState[];
}

const EVERYWHERE = ['UNINIT', 'INIT', 'WORKING'] as const;
const STARTED = ['INIT', 'WORKING'] as const;
const ANY_GUEST = ['LUPDATE', 'LSECRET', 'RUNNING', 'SUPDATE', 'RUPDATE', 'SENT'] as const;

function onGuest(...guest: readonly GuestState[]): Rule {
  return { platform: ['WORKING'], guest };
}

/** Where AMD allows each command: SEV API 55766 rev 3.24, platform and guest state machines and "Actions" of each command. */
const SPECIFICATION: Readonly<Record<string, Rule>> = {
  INIT: { platform: ['UNINIT'] },
  SHUTDOWN: { platform: EVERYWHERE },
  FACTORY_RESET: { platform: ['UNINIT'] },
  PLATFORM_STATUS: { platform: EVERYWHERE },
  PEK_GEN: { platform: ['INIT'] },
  PEK_CSR: { platform: STARTED },
  PEK_CERT_IMPORT: { platform: ['INIT'] },
  PDH_CERT_EXPORT: { platform: STARTED },
  PDH_GEN: { platform: STARTED },
  DF_FLUSH: { platform: EVERYWHERE },
  GET_ID: { platform: EVERYWHERE },
  DECOMMISSION: onGuest(...ANY_GUEST),
  ACTIVATE: onGuest('LUPDATE', 'LSECRET', 'RUNNING', 'SUPDATE', 'RUPDATE'),
  DEACTIVATE: onGuest(...ANY_GUEST),
  GUEST_STATUS: { platform: STARTED },
  LAUNCH_START: { platform: STARTED },
  LAUNCH_UPDATE_DATA: onGuest('LUPDATE'),
  LAUNCH_UPDATE_VMSA: onGuest('LUPDATE'),
  LAUNCH_MEASURE: onGuest('LUPDATE'),
  LAUNCH_SECRET: onGuest('LSECRET'),
  LAUNCH_FINISH: onGuest('LSECRET'),
  ATTESTATION: onGuest('LSECRET', 'RUNNING', 'SUPDATE', 'SENT'),
  SEND_START: onGuest('RUNNING'),
  SEND_UPDATE_DATA: onGuest('SUPDATE'),
  SEND_UPDATE_VMSA: onGuest('SUPDATE'),
  SEND_FINISH: onGuest('SUPDATE'),
  SEND_CANCEL: onGuest('SUPDATE'),
  RECEIVE_START: { platform: STARTED },
  RECEIVE_UPDATE_DATA: onGuest('RUPDATE'),
  RECEIVE_UPDATE_VMSA: onGuest('RUPDATE'),
  RECEIVE_FINISH: onGuest('RUPDATE'),
  DBG_DECRYPT: onGuest(...ANY_GUEST),
  DBG_ENCRYPT: onGuest(...ANY_GUEST),
};

/** Commands of the specification that the emulated firmware does not have: they are named, never left out. */
const NOT_ASKED = ['INIT_EX', 'DOWNLOAD_FIRMWARE', 'ACTIVATE_EX', 'SNP_* (all)'];

interface Column {
  readonly platform: PlatformState;
  readonly guest: GuestState;
}

const COLUMNS: readonly Column[] = [
  { platform: 'UNINIT', guest: 'none' },
  { platform: 'INIT', guest: 'none' },
  ...(['none', ...ANY_GUEST] as const).map((guest) => ({ platform: 'WORKING', guest }) as const),
];

const INVALID_PLATFORM_STATE = 1;
const INVALID_GUEST_STATE = 2;
const INVALID_GUEST = 16;

/** The status that a command with right arguments must have; the platform's state is looked at first, then the handle. */
export function specifiedStatus(command: string, { platform, guest }: Column): number {
  const rule = SPECIFICATION[command];
  if (rule === undefined || !rule.platform.includes(platform)) return INVALID_PLATFORM_STATE;
  if (rule.guest === undefined) return 0;
  if (guest === 'none') return INVALID_GUEST;
  return rule.guest.includes(guest) ? 0 : INVALID_GUEST_STATE;
}

export interface StateTable {
  /** Command by state: what differs from the specification. */
  readonly deviations: readonly string[];
  readonly cells: number;
  /** For people: a row per command, a column per state. */
  readonly text: string;
}

/**
 * Every guest and platform command in every state, with right arguments.
 *
 * A real firmware cannot be asked: the driver keeps SHUTDOWN, INIT and the guest states to itself.
 */
export async function readStateTable(host: ProgramHost): Promise<StateTable | { readonly because: string }> {
  const commands = Object.keys(SPECIFICATION);
  const answer = await runHostProgram(host, 'state-table', {
    commands,
    columns: COLUMNS.map((column) => ({ ...column })),
  });
  if (answer.outcome === 'unknown') return { because: answer.because };
  const { rows } = answer.value as { readonly rows: readonly (readonly number[])[] };
  const deviations = commands.flatMap((command, row) =>
    COLUMNS.flatMap((column, index) => {
      const [expected, actual] = [specifiedStatus(command, column), rows[row]?.[index] ?? -1];
      if (expected === actual) return [];
      return [`${command} in ${stateName(column)}: ${statusWord(actual)}, specified ${statusWord(expected)}`];
    }),
  );
  return { deviations, cells: commands.length * COLUMNS.length, text: formatTable(commands, rows, deviations) };
}

function stateName({ platform, guest }: Column): string {
  return platform === 'WORKING' ? `WORKING/${guest}` : platform;
}

function formatTable(
  commands: readonly string[],
  rows: readonly (readonly number[])[],
  deviations: readonly string[],
): string {
  const heads = COLUMNS.map(({ platform, guest }) => (platform === 'WORKING' ? guest : platform));
  const line = (first: string, cells: readonly string[]) =>
    [first.padEnd(20), ...cells.map((cell) => cell.padEnd(8))].join(' ').trimEnd();
  return [
    'Asked of a spare emulated firmware of the same version and the same faults; right arguments, each state reached by commands.',
    'Numbers are status codes; a dot is success; * differs from SEV API 55766.',
    '',
    line('', ['platform', 'platform', 'WORKING, by the state of the guest that the handle names']),
    line('command', heads),
    ...commands.map((command, row) =>
      line(
        command,
        COLUMNS.map((column, index) => {
          const status = rows[row]?.[index] ?? -1;
          const mark = status === specifiedStatus(command, column) ? '' : '*';
          return `${status === 0 ? '.' : status}${mark}`;
        }),
      ),
    ),
    '',
    `1 ${statusWord(1)}, 2 ${statusWord(2)}, 16 ${statusWord(16)}`.replaceAll(/ \(\d+\)/g, ''),
    `Not asked, because the emulated firmware does not have them: ${NOT_ASKED.join(', ')}.`,
    deviations.length === 0 ? 'No deviation.' : `Deviations:\n${deviations.join('\n')}`,
    '',
  ].join('\n');
}
