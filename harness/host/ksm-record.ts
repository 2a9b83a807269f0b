import { isSevHarnessError, type SevHarnessError } from '../../core/errors.ts';
import { harnessError } from '../errors.ts';
import type { ScenarioContext } from '../fixtures/scenario.ts';
import { guestName, type Owner } from '../guest/ownership.ts';
import type { Host } from './host.ts';
import {
  HASTY,
  hurryKsm,
  KSM_NAMES,
  type Ksm,
  type KsmSettings,
  putKsm,
  readKsm,
  restoreKsm,
  UNMERGED,
} from './ksm.ts';
import { type LeaseFile, leaseFile } from './leases/file.ts';
import { leaseFolder } from './leases/hold.ts';
import { parseOwner } from './leases/record.ts';

/** How kernel samepage merging was before a run changed it, written down on the host before the change. */
export interface KsmRecord {
  readonly owner: Owner;
  /** Of the host: its kernel forgets the settings when it starts anew. */
  readonly bootId: string;
  readonly before: KsmSettings;
  readonly during: KsmSettings;
}

const FORMAT = 'sev-harness ksm 1';
const ROLE = 'ksm';
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

function isKsmRecordName(name: string): boolean {
  return /^sevh-[0-9a-z]+-ksm$/.test(name);
}

function recordFile(host: Host, name: string) {
  return leaseFile(host.shell, leaseFolder(), name);
}

/**
 * Merging that runs on a host, or that we may switch on for a while; the scenario's cleanup puts it back. Off and written
 * down when this returns. Throws `HOST_LEASE_UNUSABLE`, `HOST_KSM`.
 */
export async function borrowKsm({
  host,
  settings,
  cleanup,
}: Pick<ScenarioContext, 'host' | 'settings' | 'cleanup'>): Promise<Ksm | { readonly outOfReach: string }> {
  const ksm = await readKsm(host);
  if ('outOfReach' in ksm || ksm.isRunning) return ksm;
  if (host.kind === 'real' && !settings.allowDestructive)
    return {
      outOfReach:
        'KSM is off on this host, and only --allow-destructive lets the harness switch it on for a while (name ksm alone: others make new platform keys with it)',
    };
  const forget = await writeDown(host, ksm, settings.owner);
  const owesNothing = cleanup.push('put kernel samepage merging back', async () => {
    await restoreKsm(host, ksm);
    await forget();
  });
  const refused = await hurryKsm(host, ksm);
  if (refused !== undefined) {
    // Who may not write the settings cannot put them back either: it would look as if something were left.
    if (await isAsFound(host, ksm)) {
      owesNothing();
      await forget();
    }
    return refused;
  }
  await restoreKsm(host, ksm);
  return ksm;
}

async function isAsFound(host: Host, { found }: Ksm): Promise<boolean> {
  const now = await readKsm(host);
  return !('outOfReach' in now) && KSM_NAMES.every((name) => now.found[name] === found[name]);
}

/** Beside the host's lease, for `reap`. Returns what removes it. An emulated host forgets with its end. */
async function writeDown(host: Host, { found }: Ksm, owner: Owner): Promise<() => Promise<void>> {
  if (host.kind === 'emulated') return async () => {};
  const file = recordFile(host, guestName(owner.runId, ROLE));
  const record: KsmRecord = { owner, bootId: await bootId(host), before: found, during: HASTY };
  await file.swap(await file.look(), formatKsmRecord(record));
  return async () => {
    await file.swap(await file.look(), undefined);
  };
}

export function formatKsmRecord({ owner, bootId, before, during }: KsmRecord): string {
  return JSON.stringify({ format: FORMAT, ...owner, bootId, before, during });
}

/** Anybody may have written the file: what is no record is none, and a record names nothing but these three settings. */
export function parseKsmRecord(text: string): KsmRecord | undefined {
  let json: { format?: unknown; bootId?: unknown; before?: unknown; during?: unknown };
  try {
    json = Object(JSON.parse(text));
  } catch {
    return undefined;
  }
  const [owner, before, during] = [parseOwner(json), settingsOf(json.before), settingsOf(json.during)];
  if (json.format !== FORMAT || typeof json.bootId !== 'string') return undefined;
  if (owner === undefined || before === undefined || during === undefined) return undefined;
  return { owner, bootId: json.bootId, before, during };
}

function settingsOf(value: unknown): KsmSettings | undefined {
  const { run, pages_to_scan, sleep_millisecs } = Object(value) as Partial<Record<keyof KsmSettings, unknown>>;
  const isWhole = [run, pages_to_scan, sleep_millisecs].every((one) => Number.isSafeInteger(one) && Number(one) >= 0);
  return isWhole ? ({ run, pages_to_scan, sleep_millisecs } as KsmSettings) : undefined;
}

/**
 * What is to be written to have the settings as before. Nothing where one of them is neither as before nor as the run had
 * it: somebody else has seen to it since.
 */
export function settingsToPutBack({ before, during }: KsmRecord, now: KsmSettings): Partial<KsmSettings>[] {
  const isOfThisRun = (name: keyof KsmSettings) =>
    [before[name], during[name]].includes(now[name]) || (name === 'run' && now.run === UNMERGED);
  const changed = KSM_NAMES.filter((name) => now[name] !== before[name]);
  if (changed.length === 0 || !KSM_NAMES.every(isOfThisRun)) return [];
  const values: Partial<KsmSettings> = Object.fromEntries(changed.map((name) => [name, before[name]]));
  // What was merged since is taken apart first, as the run itself would have done.
  return changed.includes('run') && now.run === during.run ? [{ run: UNMERGED }, values] : [values];
}

/** A file with the name of a record, and the record in it, or why nobody can look into it. */
interface FoundKsmRecord {
  readonly path: string;
  readonly record: KsmRecord | SevHarnessError;
}

/** Records of runs on a host, alive or dead, by the names of their files; what is no record is left alone. */
export async function listKsmRecords(host: Host): Promise<FoundKsmRecord[]> {
  const list = await host.shell.listFolder(leaseFolder());
  const names = list.outcome === 'read' ? list.names.filter(isKsmRecordName) : [];
  const records = names.map(async (name) => {
    const file = recordFile(host, name);
    const record = await lookAt(file);
    const isRecord =
      record !== undefined && (isSevHarnessError(record) || guestName(record.owner.runId, ROLE) === name);
    return isRecord ? [{ path: file.path, record }] : [];
  });
  return (await Promise.all(records)).flat();
}

/** Anybody may put a file there that nobody else can read: it must not hide the others. */
async function lookAt(file: LeaseFile): Promise<KsmRecord | SevHarnessError | undefined> {
  try {
    return parseKsmRecord((await file.look())?.text ?? '');
  } catch (error) {
    if (isSevHarnessError(error)) return error;
    throw error;
  }
}

/** Puts back what a dead run has changed, and removes its record. Returns what was done. Throws `HOST_KSM`. */
export async function restoreFromRecord(host: Host, record: KsmRecord): Promise<string> {
  const file = recordFile(host, guestName(record.owner.runId, ROLE));
  const words = await restore(host, record);
  await file.swap(await file.look(), undefined);
  return words;
}

async function restore(host: Host, record: KsmRecord): Promise<string> {
  if ((await bootId(host)) !== record.bootId) return 'the host has been started anew since, which undid it';
  const now = await readKsm(host);
  if ('outOfReach' in now) throw harnessError('HOST_KSM', `KSM of ${host.name} cannot be read: ${now.outOfReach}`);
  const groups = settingsToPutBack(record, now.found);
  await putKsm(host, groups);
  const back = Object.entries(groups.at(-1) ?? {}).map(([name, value]) => `${name}=${value}`);
  return back.length > 0 ? `put back to ${back.join(', ')}` : 'it is as it was, or somebody else has set it since';
}

async function bootId(host: Host): Promise<string> {
  const reading = await host.shell.readFile(BOOT_ID);
  return reading.outcome === 'read' ? Buffer.from(reading.bytes).toString().trim() : '';
}
