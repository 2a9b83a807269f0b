import type { Host } from '../host.ts';
import {
  CERTIFICATE_BYTES,
  CHAIN_BYTES,
  type DeviceCommand,
  type DeviceRequest,
  IDS_BYTES,
  issueCommands,
  WHOLE_CHAIN,
} from './device.ts';
import { endText } from './program.ts';

/** Platform commands as a program of the host may issue them, and how each must end without a guest and beside one. */
interface DriverRule {
  readonly request: DeviceRequest;
  readonly idle: string;
  readonly working: string;
}

const ALWAYS = { idle: 'SUCCESS', working: 'SUCCESS' } as const;

/**
 * SEV API 55766, chapter 5, through Linux drivers/crypto/ccp/sev-dev.c, which starts the firmware where a command needs
 * it and refuses a factory reset beside a guest itself.
 */
const RULES: readonly DriverRule[] = [
  { request: { command: 'PLATFORM_STATUS' }, ...ALWAYS },
  { request: { command: 'GET_ID', lengths: [IDS_BYTES] }, ...ALWAYS },
  { request: { command: 'PEK_CSR', lengths: [CERTIFICATE_BYTES] }, ...ALWAYS },
  { request: WHOLE_CHAIN, ...ALWAYS },
  { request: { command: 'PDH_GEN' }, idle: 'SUCCESS', working: 'SUCCESS' },
  { request: { command: 'PEK_GEN' }, idle: 'SUCCESS', working: 'INVALID_PLATFORM_STATE (1)' },
  // Without a guest it would delete the platform's keys, which PEK_GEN shows as well.
  { request: { command: 'FACTORY_RESET' }, idle: 'not tried', working: 'EBUSY by the driver' },
];

export type DriverState = 'idle' | 'working';

export interface DriverRow {
  readonly command: string;
  readonly state: DriverState;
  readonly expected: string;
  readonly actual: string;
}

/** Commands that leave the platform as it was. */
export const HARMLESS: readonly DeviceCommand[] = ['PLATFORM_STATUS', 'GET_ID', 'PEK_CSR', 'PDH_CERT_EXPORT'];
/** Commands that make new keys, or would if the platform did not have to refuse them beside a guest. */
export const DESTRUCTIVE: readonly DeviceCommand[] = ['PEK_GEN', 'FACTORY_RESET', 'PDH_GEN'];

/** Issues these commands, in this order, in the state that the platform is in. */
export async function tryDriverCommands(
  host: Host,
  state: DriverState,
  commands: readonly DeviceCommand[],
): Promise<readonly DriverRow[] | { readonly because: string }> {
  const rules = commands.flatMap((command) => RULES.filter(({ request }) => request.command === command));
  const answers = await issueCommands(
    host,
    rules.map(({ request }) => request),
  );
  if ('because' in answers) return answers;
  return rules.map((rule, index) => {
    const answer = answers[index];
    const { command } = rule.request;
    return { command, state, expected: rule[state], actual: answer === undefined ? 'no answer' : endText(answer) };
  });
}

/** Rows that did not end as specified. */
export function driverDeviations(rows: readonly DriverRow[]): string[] {
  return rows
    .filter(({ expected, actual }) => expected !== actual)
    .map(({ command, state, expected, actual }) => `${command}, ${stateText(state)}: ${actual}, specified ${expected}`);
}

function stateText(state: DriverState): string {
  return state === 'idle' ? 'without a guest' : 'beside a guest';
}

/** Buffers too small by far: each must be refused, and the length that is needed be told. */
const SHORT: readonly { readonly request: DeviceRequest; readonly needs: readonly number[] }[] = [
  { request: { command: 'PEK_CSR', lengths: [16] }, needs: [CERTIFICATE_BYTES] },
  { request: { command: 'PDH_CERT_EXPORT', lengths: [16, 16] }, needs: [CERTIFICATE_BYTES, CHAIN_BYTES] },
  { request: { command: 'GET_ID', lengths: [16] }, needs: [64] },
];

/** What is wrong with the refusals of short buffers. */
export async function tryShortBuffers(host: Host): Promise<readonly string[] | { readonly because: string }> {
  const answers = await issueCommands(
    host,
    SHORT.map(({ request }) => request),
  );
  if ('because' in answers) return answers;
  return SHORT.flatMap(({ request, needs }, index) => {
    const answer = answers[index];
    if (answer === undefined) return [`${request.command}: no answer`];
    const end = endText(answer);
    if (end !== 'INVALID_LENGTH (4)') return [`${request.command}: ${end}, specified INVALID_LENGTH (4)`];
    // GET_ID needs 64 bytes for each socket.
    const isEnough = needs.every((bytes, buffer) => (answer.lengths[buffer] ?? 0) >= bytes);
    return isEnough
      ? []
      : [`${request.command}: needs ${answer.lengths.join(' and ')} bytes, specified ${needs.join(' and ')}`];
  });
}

export function formatDriverRows(rows: readonly DriverRow[]): string {
  const line = (...cells: readonly string[]) =>
    cells
      .map((cell) => cell.padEnd(30))
      .join(' ')
      .trimEnd();
  return [
    line('command', 'when', 'specified', 'found'),
    ...rows.map(({ command, state, expected, actual }) =>
      line(command, stateText(state), expected, expected === actual ? actual : `${actual} *`),
    ),
  ].join('\n');
}
