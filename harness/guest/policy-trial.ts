import { formatSevPolicy } from '../../attestation/index.ts';
import type { ScenarioContext } from '../fixtures/scenario.ts';
import { firmwareStatusIn } from '../host/refusal.ts';
import { type BareAnswer, launchEnd } from '../host/secure-processor/bare-launch.ts';
import { endText, statusWord } from '../host/secure-processor/program.ts';
import { readClaims } from './attested.ts';
import type { sessionText } from './platform.ts';
import { demandsEs } from './policies.ts';
import type { GuestLauncher } from './running.ts';

const MEMORY_MIB = 64;
const ALL_FLAGS = 0x3f;
/** What the page holds that DBG_DECRYPT is asked for: 16 bytes of text. */
export const DEBUG_PATTERN_HEX = '53455648204f574e4552205345435254';

/** What became of one policy that a guest was started with. */
export interface PolicyRow {
  readonly policy: number;
  readonly expected: 'starts' | 'refused';
  readonly outcome: 'started' | 'refused';
  /** Of LAUNCH_START, where the refusal names it. */
  readonly status: number | undefined;
  readonly text: string;
  /** Policies that QEMU and libvirt told. */
  readonly told: readonly number[];
  readonly firmware: { readonly apiMajor: number; readonly apiMinor: number } | undefined;
}

/** Starts a paused guest under a policy that its owner signed, reads what is told of it, and stops it. */
export async function tryPolicy(
  { signal }: ScenarioContext,
  launcher: GuestLauncher,
  session: ReturnType<typeof sessionText>,
  policy: number,
  expected: PolicyRow['expected'],
): Promise<PolicyRow> {
  signal.throwIfAborted();
  const kind = demandsEs(policy) ? 'sev-es' : 'sev';
  const launch = await launcher.launch(kind, 'policy', { policy, session, memoryMiB: MEMORY_MIB, isPaused: true });
  if (launch.outcome === 'refused') {
    const { text } = launch.refusal;
    const status = firmwareStatusIn(text, 'LAUNCH_START');
    return { policy, expected, outcome: 'refused', text, told: [], firmware: undefined, status };
  }
  try {
    const { guest } = launch;
    const said = (await guest.domain.monitorCommand({ execute: 'query-sev' })) as Record<string, unknown>;
    // domlaunchsecinfo waits for a measurement of the whole guest firmware, so it is read where one flag, or all, are set.
    const isTelling = policy === ALL_FLAGS || Number.isInteger(Math.log2(policy));
    const claims = isTelling ? [(await readClaims(guest)).context.policy] : [];
    const firmware = { apiMajor: Number(said['api-major']), apiMinor: Number(said['api-minor']) };
    return {
      policy,
      expected,
      outcome: 'started',
      text: '',
      told: [Number(said.policy), ...claims],
      firmware,
      status: undefined,
    };
  } finally {
    await launch.guest.stop();
  }
}

export function reportText(policy: number, answer: BareAnswer | undefined): string {
  const asked = formatSevPolicy(policy);
  if (answer?.reportedPolicy !== undefined)
    return `${asked}: the firmware says ${formatSevPolicy(answer.reportedPolicy)}`;
  return `${asked}: ${answer === undefined ? 'no answer' : endText(launchEnd(answer))}`;
}

export function debugText(policy: number, answer: BareAnswer | undefined): string {
  return `${formatSevPolicy(policy)}: DBG_DECRYPT ${answer?.debug === undefined ? 'was not reached' : endText(answer.debug)}`;
}

function outcomeText({ outcome, status, text }: PolicyRow): string {
  if (outcome === 'started') return 'started';
  return status === undefined
    ? `refused before LAUNCH_START: ${text.split('\n')[0]?.slice(-90)}`
    : `refused: ${statusWord(status)}`;
}

export function rowText(row: PolicyRow): string {
  return `${formatSevPolicy(row.policy)}: ${outcomeText(row)}`;
}

export function toldText({ policy, told }: PolicyRow): string {
  return `${formatSevPolicy(policy)} is told as ${told.map((value) => formatSevPolicy(value)).join(' and as ')}`;
}

export function matrixTable(machine: string, rows: readonly PolicyRow[]): string {
  const line = (...cells: readonly string[]) =>
    [cells[0]?.padEnd(48), cells[1]?.padEnd(9), cells[2]?.padEnd(44), cells[3]].join(' ').trimEnd();
  return [
    machine,
    'Each policy is asked for by an owner who signed it; the guests are paused before their first instruction.',
    '',
    line('policy', 'must', 'did', 'told by query-sev (domlaunchsecinfo)'),
    ...rows.map((row) => {
      const [query, ...info] = row.told.map((value) => `0x${value.toString(16).padStart(4, '0')}`);
      return line(
        formatSevPolicy(row.policy),
        row.expected === 'starts' ? 'start' : 'refuse',
        outcomeText(row),
        query === undefined ? '' : `${query}${info.length > 0 ? ` (${info.join()})` : ''}`,
      );
    }),
    '',
  ].join('\n');
}

export function bareTable(machine: string, policies: readonly number[], answers: readonly BareAnswer[]): string {
  const line = (...cells: readonly string[]) =>
    [cells[0]?.padEnd(48), cells[1]?.padEnd(22), cells[2]?.padEnd(12), cells[3]].join(' ').trimEnd();
  return [
    machine,
    'Launches by ioctls of KVM, without QEMU, which never asks for DBG_DECRYPT: its monitor shows ciphertext under any policy.',
    '',
    line('policy', 'LAUNCH_START', 'firmware says', 'DBG_DECRYPT of a private page'),
    ...policies.map((policy, index) => {
      const answer = answers[index];
      if (answer === undefined) return line(formatSevPolicy(policy), 'no answer', '', '');
      const { debug, reportedPolicy } = answer;
      const says = reportedPolicy === undefined ? '-' : `0x${reportedPolicy.toString(16).padStart(4, '0')}`;
      const read =
        debug === undefined
          ? '-'
          : debug.errno === 0
            ? `SUCCESS, ${debug.seenHex === DEBUG_PATTERN_HEX ? 'the plain text' : 'not the plain text'}`
            : endText(debug);
      return line(formatSevPolicy(policy), endText(launchEnd(answer)), says, read);
    }),
    '',
  ].join('\n');
}
