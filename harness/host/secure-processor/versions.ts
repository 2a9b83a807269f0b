import { createHash } from 'node:crypto';
import { fromBase64 } from '../../../core/bytes.ts';
import { errorText, isSevHarnessError } from '../../../core/errors.ts';
import type { LiveGuest } from '../../guest/running.ts';
import type { SevFacts } from '../facts.ts';
import type { Host } from '../host.ts';
import { readKernelLog } from '../preflight/read.ts';
import { IDS_BYTES, issueCommands, readPlatformStatus, WHOLE_CHAIN } from './device.ts';

/** What one source says, or why it says nothing. */
export type Told = { readonly source: string } & ({ readonly value: string } | { readonly because: string });

/** `1.55 build 29`, as each source of a host with a running guest tells it. */
export async function readFirmwareVersions(host: Host, { domain }: LiveGuest): Promise<Told[]> {
  const info = await domain.launchSecurityInfo();
  const query = (await domain.monitorCommand({ execute: 'query-sev' })) as Record<string, unknown>;
  const platform = await readPlatformStatus(host);
  return [
    { source: 'domlaunchsecinfo', value: version(info['sev-api-major'], info['sev-api-minor'], info['sev-build-id']) },
    { source: 'query-sev', value: version(query['api-major'], query['api-minor'], query['build-id']) },
    {
      source: 'PLATFORM_STATUS of /dev/sev',
      ...('because' in platform ? platform : { value: `${platform.api} build ${platform.build}` }),
    },
    { source: 'kernel log of ccp', ...(await fromKernelLog(host)) },
  ];
}

function version(major: unknown, minor: unknown, build: unknown): string {
  return `${major}.${minor} build ${build}`;
}

const LOG_LINE = /\bSEV API:\s*(\d+)\.(\d+) build:\s*(\d+)/;

async function fromKernelLog(host: Host): Promise<{ readonly value: string } | { readonly because: string }> {
  const log = await readKernelLog(host);
  if (log.outcome !== 'read') return { because: log.because };
  const [, major, minor, build] =
    log.value.map((line) => LOG_LINE.exec(line)).findLast((found) => found !== null) ?? [];
  if (build === undefined) return { because: 'the log has no such line: it is lost when the log wraps around' };
  return { value: version(major, minor, build) };
}

const CHIP_ID_BYTES = 64;

/** PDH, chain and chip id as libvirt, QEMU and the firmware tell them: the first bytes of their SHA-256. */
export async function readIdentities(
  host: Host,
  facts: SevFacts,
  guest: LiveGuest,
): Promise<Readonly<Record<string, Told[]>>> {
  const qemu = await askQemu(guest);
  const device = await issueCommands(host, [WHOLE_CHAIN, { command: 'GET_ID', lengths: [IDS_BYTES] }]);
  const [exported, ids] = 'because' in device ? [] : device;
  const why = 'because' in device ? device.because : 'the firmware refused';
  const { pdh, certChain, cpu0Id } = facts.nodeSevInfo ?? {};
  const row = (libvirt: string | undefined, name: string, bytes: Uint8Array | undefined, length?: number): Told[] => [
    { source: 'nodesevinfo', ...digestOf(decoded(libvirt), length, 'this libvirt does not tell it') },
    {
      source: 'query-sev-capabilities',
      ...digestOf(decoded(qemu[name]), length, qemu.because ?? 'this QEMU does not tell it'),
    },
    { source: '/dev/sev', ...digestOf(bytes, length, why) },
  ];
  return {
    PDH: row(pdh, 'pdh', exported?.outputs[0]),
    'certificate chain': row(certChain, 'cert-chain', exported?.outputs[1]),
    'id of chip 0': row(cpu0Id, 'cpu0-id', ids?.outputs[0], CHIP_ID_BYTES),
  };
}

/** A QEMU that may not open /dev/sev once it runs refuses. */
async function askQemu({ domain }: LiveGuest): Promise<Readonly<Record<string, string | undefined>>> {
  try {
    return (await domain.monitorCommand({ execute: 'query-sev-capabilities' })) as Record<string, string>;
  } catch (error) {
    if (!isSevHarnessError(error, 'QEMU_MONITOR')) throw error;
    return { because: errorText(error) };
  }
}

function decoded(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : fromBase64(text);
}

function digestOf(bytes: Uint8Array | undefined, length: number | undefined, because: string) {
  if (bytes === undefined) return { because };
  return { value: createHash('sha256').update(bytes.subarray(0, length)).digest('hex').slice(0, 16) };
}

/** Sources that say something else than the first one that says anything. */
export function disagreements(told: readonly Told[]): string[] {
  const said = told.flatMap((one) => ('value' in one ? [one] : []));
  const [first] = said;
  if (first === undefined) return [];
  return said
    .filter(({ value }) => value !== first.value)
    .map(({ source, value }) => `${source} says ${value}, ${first.source} says ${first.value}`);
}

/** A line for each source. */
export function formatTold(what: string, told: readonly Told[]): string {
  const lines = told.map(
    (one) => `  ${one.source.padEnd(30)} ${'value' in one ? one.value : `unknown: ${one.because}`}`,
  );
  return [what, ...lines].join('\n');
}
