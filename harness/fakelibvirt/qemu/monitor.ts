import { isAtLeast } from '../profiles/profile.ts';
import { refusal, systemRefusal } from '../refusal.ts';
import type { Domain, LiveDomain } from '../state/domain.ts';
import { announce, powerOff, runVcpus } from '../state/lifecycle.ts';
import type { Machine } from '../state/machine.ts';
import { resetDomain } from '../state/power.ts';
import { sevInfo } from '../state/sev-info.ts';
import { injectLaunchSecret, type LaunchAnswer, launchMeasurement, sevState } from '../state/sev-launch.ts';
import { STATE, STATES } from '../state/states.ts';
import { hmpExamine, savePhysicalMemory } from './memory-commands.ts';
import { MIGRATION_BLOCKER } from './texts.ts';

/** The answer of one QMP command: a value, or QEMU's error class and words. */
type Answer = { readonly value: unknown } | { readonly errorClass: string; readonly words: string };

interface Context {
  readonly machine: Machine;
  readonly domain: Domain;
  readonly live: LiveDomain;
  /** Of a QMP command. */
  readonly given: Readonly<Record<string, unknown>>;
}

const COMMANDS: Readonly<Record<string, (context: Context) => Answer>> = {
  'query-status': ({ machine, live }) => {
    const isRunning = live.qemu.runState === 'running';
    // `singlestep` left the answer with QEMU 9.0.
    const singlestep = isAtLeast(machine.profile.qemu, [9, 0, 0]) ? {} : { singlestep: false };
    return { value: { status: live.qemu.runState, ...singlestep, running: isRunning } };
  },
  'query-sev': querySev,
  'query-sev-capabilities': ({ machine, live }) => {
    if (live.definition.virtType !== 'kvm') return generic('KVM not enabled');
    if (!machine.kvm.isSevEnabled) return generic('SEV is not enabled in KVM');
    const of = new Map(sevInfo(machine).map((param) => [param.field, param.value]));
    const keys = ['reduced-phys-bits', 'cbitpos', 'cert-chain', 'pdh', 'cpu0-id'];
    return { value: Object.fromEntries(keys.map((key) => [key, of.get(key)])) };
  },
  'query-sev-launch-measure': ({ machine, live }) => {
    const answer = launchMeasurement(machine, live);
    return 'words' in answer ? generic(answer.words) : { value: { data: answer.value } };
  },
  'sev-inject-launch-secret': ({ machine, live, given }) => {
    const { 'packet-header': header, secret, gpa } = given;
    if (typeof header !== 'string') return generic("Parameter 'packet-header' is missing");
    if (typeof secret !== 'string') return generic("Parameter 'secret' is missing");
    const guestAddress = typeof gpa === 'number' ? gpa : undefined;
    return fromLaunch(injectLaunchSecret(machine, live, { header, secret, guestAddress }));
  },
  pmemsave: ({ machine, live, given }) => {
    const { val, size, filename } = given;
    if (typeof val !== 'number') return generic("Parameter 'val' is missing");
    if (typeof size !== 'number') return generic("Parameter 'size' is missing");
    if (typeof filename !== 'string') return generic("Parameter 'filename' is missing");
    const words = savePhysicalMemory(machine, live.qemu.guest, { address: val, size, path: filename });
    return words === undefined ? { value: {} } : generic(words);
  },
  'query-sev-attestation-report': ({ live }) =>
    generic(
      live.qemu.sev ? 'SEV: Failed to query the attestation report length ret=-22 fw_err=0 ()' : 'SEV is not enabled',
    ),
  // The blocker of target/i386/sev.c comes with LAUNCH_FINISH: a guest that has not run shows none.
  'query-migrate': ({ live: { qemu } }) => ({
    value: qemu.guest.isEncrypted && qemu.guest.hasRun ? { 'blocked-reasons': [MIGRATION_BLOCKER] } : {},
  }),
  'query-version': ({ machine }) => {
    const [major, minor, micro] = machine.profile.qemu;
    return { value: { qemu: { micro, minor, major }, package: '' } };
  },
  'query-kvm': ({ live }) => ({ value: { enabled: live.definition.virtType === 'kvm', present: true } }),
  'query-name': ({ domain }) => ({ value: { name: domain.name } }),
  'query-uuid': ({ domain }) => ({ value: { UUID: domain.uuid } }),
  stop: ({ machine, domain, live }) => {
    if (domain.state[0] === STATE.running) {
      live.qemu.runState = 'paused';
      domain.state = STATES.pausedUnknown;
      announce(machine, domain, 'suspendedPaused');
    }
    return { value: {} };
  },
  cont: ({ machine, domain }) => {
    if (domain.state[0] === STATE.paused) {
      runVcpus(machine, domain);
      domain.state = STATES.runningUnpaused;
      announce(machine, domain, 'resumedUnpaused');
    }
    return { value: {} };
  },
  system_reset: ({ machine, domain }) => {
    resetDomain(machine, domain);
    return { value: {} };
  },
};

/** `virDomainQemuMonitorCommand`: QMP, or with `isHmp` a line for a human. */
export function runMonitorCommand(
  machine: Machine,
  domain: Domain,
  live: LiveDomain,
  command: string,
  isHmp: boolean,
): string {
  const context = { machine, domain, live, given: {} };
  return isHmp ? runHmp(context, command) : runQmp(context, command);
}

function runQmp(context: Context, command: string): string {
  const request = parseRequest(command);
  const first = Object.keys(request).find((key) => !['execute', 'arguments', 'id'].includes(key));
  if (Array.isArray(request)) return bareError('QMP input must be a JSON object');
  if (first !== undefined) return bareError(`QMP input member '${first}' is unexpected`);
  const { execute, arguments: given } = request as { execute?: unknown; arguments?: unknown };
  const name = String(execute);
  const id = `libvirt-${400 + context.live.qemu.nextMonitorId++}`;
  if (name === 'quit') endAndFail(context);
  const run = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const answer = run
    ? run({ ...context, given: isRecord(given) ? given : {} })
    : { errorClass: 'CommandNotFound', words: `The command ${name} has not been found` };
  if ('value' in answer) return JSON.stringify({ return: answer.value, id });
  return JSON.stringify({ id, error: { class: answer.errorClass, desc: answer.words } });
}

function parseRequest(command: string): object {
  try {
    const parsed: unknown = JSON.parse(command);
    if (typeof parsed === 'object' && parsed !== null) return parsed;
  } catch {
    // Refused below, in the words of libvirt's own parser.
  }
  const quote = `${' '.repeat(39)} ${command.slice(0, 60)}`.slice(1);
  const pointer = `${' '.repeat(21)}(right here) ------^`;
  throw refusal(
    'INTERNAL_ERROR',
    'NONE',
    `cannot parse json ${command}: lexical error: invalid char in json text.\n${quote}\n${pointer}\n`,
  );
}

function bareError(desc: string): string {
  return JSON.stringify({ error: { class: 'GenericError', desc } });
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function fromLaunch(answer: LaunchAnswer<unknown>): Answer {
  return 'words' in answer ? generic(answer.words) : answer;
}

function generic(words: string): Answer {
  return { errorClass: 'GenericError', words };
}

function runHmp(context: Context, line: string): string {
  const { machine, live } = context;
  switch (line.trim()) {
    case 'info status': {
      const { runState } = live.qemu;
      return `VM status: ${runState === 'running' ? 'running' : `paused${runState === 'paused' ? '' : ` (${runState})`}`}\r\n`;
    }
    case 'info version':
      return `${machine.profile.qemu.join('.')}\r\n`;
    case 'info sev':
      return live.qemu.sev ? hmpSev(context) : 'SEV is not enabled\r\n';
    case 'quit':
      return endAndFail(context);
    case 'stop':
    case 'cont':
    case 'system_reset':
      COMMANDS[line.trim()]?.(context);
      return '';
    default:
      return runHmpMemory(context, line) ?? `unknown command: '${line.trim().split(/\s+/)[0]}'\r\n`;
  }
}

/** QEMU goes, and the monitor with it. */
function endAndFail({ machine, domain, live }: Context): never {
  powerOff(machine, domain, live, 'shutdownHost');
  throw systemRefusal(104, 'QEMU', 'Unable to read from monitor');
}

function runHmpMemory({ machine, live }: Context, line: string): string | undefined {
  const saved = /^pmemsave\s+(\S+)\s+(\S+)\s+"?([^"]+)"?$/.exec(line.trim());
  if (saved === null) return hmpExamine(live.qemu.guest, line);
  const [, address, size, path = ''] = saved;
  const words = savePhysicalMemory(machine, live.qemu.guest, { address: Number(address), size: Number(size), path });
  return words === undefined ? '' : `Error: ${words}\r\n`;
}

function querySev({ machine, live }: Context): Answer {
  const state = sevState(machine, live);
  const newer = state && isAtLeast(machine.profile.qemu, [9, 1, 0]) ? { 'sev-type': 'sev' } : {};
  return {
    value: {
      enabled: state !== undefined,
      'api-minor': state?.apiMinor ?? 0,
      handle: state?.handle ?? 0,
      state: state?.state ?? 'uninit',
      'api-major': state?.apiMajor ?? 0,
      ...newer,
      'build-id': state?.build ?? 0,
      policy: state?.policy ?? 0,
    },
  };
}

function hmpSev(context: Context): string {
  const { value } = querySev(context) as { value: Record<string, unknown> };
  const policy = Number(value.policy);
  return [
    `handle: ${value.handle}`,
    `state: ${value.state}`,
    `build: ${value['build-id']}`,
    `api version: ${value['api-major']}.${value['api-minor']}`,
    `debug: ${(policy & 1) !== 0 ? 'off' : 'on'}`,
    `key-sharing: ${(policy & 2) !== 0 ? 'off' : 'on'}`,
    '',
  ].join('\r\n');
}
