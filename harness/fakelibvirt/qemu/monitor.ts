import { toBase64 } from '../../../core/bytes.ts';
import { isAtLeast, versionNumber } from '../profiles/profile.ts';
import { refusal, systemRefusal } from '../refusal.ts';
import type { Domain, LiveDomain } from '../state/domain.ts';
import { announce, runVcpus } from '../state/lifecycle.ts';
import type { Machine } from '../state/machine.ts';
import { powerOff, resetDomain } from '../state/power.ts';
import { sevInfo } from '../state/sev-info.ts';
import { STATE, STATES } from '../state/states.ts';

/** The answer of one QMP command: a value, or QEMU's error class and words. */
type Answer = { readonly value: unknown } | { readonly errorClass: string; readonly words: string };

interface Context {
  readonly machine: Machine;
  readonly domain: Domain;
  readonly live: LiveDomain;
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
    const measurement =
      live.qemu.sev?.handle === undefined ? undefined : machine.platform.launchMeasure(live.qemu.sev.handle);
    if (measurement === undefined) return generic('SEV launch measurement is not available');
    return { value: { data: toBase64(measurement) } };
  },
  'query-sev-attestation-report': ({ live }) =>
    generic(
      live.qemu.sev ? 'SEV: Failed to query the attestation report length ret=-22 fw_err=0 ()' : 'SEV is not enabled',
    ),
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
      runVcpus(domain);
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
  return isHmp ? runHmp({ machine, domain, live }, command) : runQmp({ machine, domain, live }, command);
}

function runQmp(context: Context, command: string): string {
  const request = parseRequest(command);
  const first = Object.keys(request).find((key) => !['execute', 'arguments', 'id'].includes(key));
  if (Array.isArray(request)) return bareError('QMP input must be a JSON object');
  if (first !== undefined) return bareError(`QMP input member '${first}' is unexpected`);
  const name = String((request as Record<string, unknown>).execute);
  const id = `libvirt-${400 + context.live.qemu.nextMonitorId++}`;
  if (name === 'quit') endAndFail(context);
  const run = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  const answer = run
    ? run(context)
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
      return `unknown command: '${line.trim().split(/\s+/)[0]}'\r\n`;
  }
}

/** QEMU goes, and the monitor with it. */
function endAndFail({ machine, domain, live }: Context): never {
  powerOff(machine, domain, live, 'shutdownHost');
  throw systemRefusal(104, 'QEMU', 'Unable to read from monitor');
}

function querySev({ machine, live }: Context): Answer {
  const { sev, definition } = live.qemu;
  const firmware = machine.profile.sevFirmware;
  const security = definition.launchSecurity;
  const isOn = sev !== undefined && firmware !== undefined && security?.type === 'sev';
  const newer = isOn && versionNumber(machine.profile.qemu) >= 9_001_000n ? { 'sev-type': 'sev' } : {};
  return {
    value: {
      enabled: isOn,
      'api-minor': isOn ? firmware.apiMinor : 0,
      handle: isOn ? (sev.handle ?? 0) : 0,
      state: isOn ? live.qemu.sevState : 'uninit',
      'api-major': isOn ? firmware.apiMajor : 0,
      ...newer,
      'build-id': isOn ? firmware.build : 0,
      policy: isOn ? security.policy : 0,
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
