import { SEV_STATUS, type SevStatus, type SevStatusName, sevStatusName } from './status.ts';

/** In the order of their numbers (SEV API, "Platform state machine" and "Guest state machine"). */
export const PLATFORM_STATES = ['UNINIT', 'INIT', 'WORKING'] as const;
export const GUEST_STATES = ['UNINIT', 'LUPDATE', 'LSECRET', 'RUNNING', 'SUPDATE', 'RUPDATE', 'SENT'] as const;

export type PlatformState = (typeof PLATFORM_STATES)[number];
export type GuestState = (typeof GUEST_STATES)[number];
/** A guest that has a handle; `UNINIT` is the absence of one. */
export type LiveGuestState = Exclude<GuestState, 'UNINIT'>;

interface CommandRule {
  readonly id: number;
  readonly platform: readonly PlatformState[];
  /** Absent: the command is about the platform. `any-handle` takes handles that do not exist, too. */
  readonly guest?: readonly LiveGuestState[] | 'any-handle';
}

const EVERYWHERE = PLATFORM_STATES;
const UP = ['INIT', 'WORKING'] as const;
const WORKING = ['WORKING'] as const;
const LIVE = ['LUPDATE', 'LSECRET', 'RUNNING', 'SUPDATE', 'RUPDATE', 'SENT'] as const;

/** Where each command is allowed: the specification's state tables as data. */
export const COMMANDS = {
  INIT: { id: 0x01, platform: ['UNINIT'] },
  SHUTDOWN: { id: 0x02, platform: EVERYWHERE },
  FACTORY_RESET: { id: 0x03, platform: ['UNINIT'] },
  PLATFORM_STATUS: { id: 0x04, platform: EVERYWHERE },
  PEK_GEN: { id: 0x05, platform: ['INIT'] },
  PEK_CSR: { id: 0x06, platform: UP },
  PEK_CERT_IMPORT: { id: 0x07, platform: ['INIT'] },
  PDH_CERT_EXPORT: { id: 0x08, platform: UP },
  PDH_GEN: { id: 0x09, platform: UP },
  DF_FLUSH: { id: 0x0a, platform: EVERYWHERE },
  GET_ID: { id: 0x0c, platform: EVERYWHERE },
  DECOMMISSION: { id: 0x20, platform: WORKING, guest: LIVE },
  ACTIVATE: { id: 0x21, platform: WORKING, guest: ['LUPDATE', 'LSECRET', 'RUNNING', 'SUPDATE', 'RUPDATE'] },
  DEACTIVATE: { id: 0x22, platform: WORKING, guest: LIVE },
  GUEST_STATUS: { id: 0x23, platform: UP, guest: 'any-handle' },
  LAUNCH_START: { id: 0x30, platform: UP },
  LAUNCH_UPDATE_DATA: { id: 0x31, platform: WORKING, guest: ['LUPDATE'] },
  LAUNCH_UPDATE_VMSA: { id: 0x32, platform: WORKING, guest: ['LUPDATE'] },
  LAUNCH_MEASURE: { id: 0x33, platform: WORKING, guest: ['LUPDATE'] },
  LAUNCH_SECRET: { id: 0x34, platform: WORKING, guest: ['LSECRET'] },
  LAUNCH_FINISH: { id: 0x35, platform: WORKING, guest: ['LSECRET'] },
  ATTESTATION: { id: 0x36, platform: WORKING, guest: ['LSECRET', 'RUNNING', 'SUPDATE', 'SENT'] },
  SEND_START: { id: 0x40, platform: WORKING, guest: ['RUNNING'] },
  SEND_UPDATE_DATA: { id: 0x41, platform: WORKING, guest: ['SUPDATE'] },
  SEND_UPDATE_VMSA: { id: 0x42, platform: WORKING, guest: ['SUPDATE'] },
  SEND_FINISH: { id: 0x43, platform: WORKING, guest: ['SUPDATE'] },
  SEND_CANCEL: { id: 0x44, platform: WORKING, guest: ['SUPDATE'] },
  RECEIVE_START: { id: 0x50, platform: UP },
  RECEIVE_UPDATE_DATA: { id: 0x51, platform: WORKING, guest: ['RUPDATE'] },
  RECEIVE_UPDATE_VMSA: { id: 0x52, platform: WORKING, guest: ['RUPDATE'] },
  RECEIVE_FINISH: { id: 0x53, platform: WORKING, guest: ['RUPDATE'] },
  DBG_DECRYPT: { id: 0x60, platform: WORKING, guest: LIVE },
  DBG_ENCRYPT: { id: 0x61, platform: WORKING, guest: LIVE },
} as const satisfies Readonly<Record<string, CommandRule>>;

export type CommandName = keyof typeof COMMANDS;

export const COMMAND_NAMES = Object.keys(COMMANDS) as readonly CommandName[];

export function isAllowedOnPlatform(command: CommandName, state: PlatformState): boolean {
  const rule: CommandRule = COMMANDS[command];
  return rule.platform.includes(state);
}

export function isAllowedOnGuest(command: CommandName, state: LiveGuestState): boolean {
  const { guest }: CommandRule = COMMANDS[command];
  return guest === undefined || guest === 'any-handle' || guest.includes(state);
}

/**
 * The status of a command whose arguments are right, from the states alone.
 *
 * `guest` is the state behind the handle of the call; `UNINIT` means that there is no such guest. Commands about the
 * platform do not look at it.
 */
export function statusByState(command: CommandName, platform: PlatformState, guest: GuestState): SevStatus {
  if (!isAllowedOnPlatform(command, platform)) return SEV_STATUS.INVALID_PLATFORM_STATE;
  const rule: CommandRule = COMMANDS[command];
  if (rule.guest === undefined || rule.guest === 'any-handle') return SEV_STATUS.SUCCESS;
  if (guest === 'UNINIT') return SEV_STATUS.INVALID_GUEST;
  return isAllowedOnGuest(command, guest) ? SEV_STATUS.SUCCESS : SEV_STATUS.INVALID_GUEST_STATE;
}

export interface CommandTableRow {
  readonly command: CommandName;
  readonly id: number;
  /** Status by column, in the order of `COMMAND_TABLE_COLUMNS`. */
  readonly cells: readonly { readonly status: SevStatus; readonly name: SevStatusName }[];
}

/** `UNINIT`, `INIT`, then a WORKING platform by the state of the guest in question. */
export const COMMAND_TABLE_COLUMNS: readonly { readonly platform: PlatformState; readonly guest: GuestState }[] = [
  { platform: 'UNINIT', guest: 'UNINIT' },
  { platform: 'INIT', guest: 'UNINIT' },
  ...GUEST_STATES.map((guest) => ({ platform: 'WORKING', guest }) as const),
];

/** Status of every command in every state: what a report prints and a qualification compares. */
export function commandTable(): readonly CommandTableRow[] {
  return COMMAND_NAMES.map((command) => ({
    command,
    id: COMMANDS[command].id,
    cells: COMMAND_TABLE_COLUMNS.map(({ platform, guest }) => {
      const status = statusByState(command, platform, guest);
      return { status, name: sevStatusName(status) };
    }),
  }));
}
