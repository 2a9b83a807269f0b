import { setTimeout as sleep } from 'node:timers/promises';
import { harnessError } from '../errors.ts';
import type { Host } from './host.ts';
import { findQemu } from './qemu-process.ts';
import { runHostProgram } from './secure-processor/program.ts';

/** Settings of kernel samepage merging (Linux, Documentation/admin-guide/mm/ksm.rst), by the names of their files. */
export type KsmSettings = {
  /** 0 stopped, 1 running, 2 stopped and everything taken apart. */
  readonly run: number;
  readonly pages_to_scan: number;
  readonly sleep_millisecs: number;
};

const FOLDER = '/sys/kernel/mm/ksm';
export const KSM_NAMES = ['run', 'pages_to_scan', 'sleep_millisecs'] as const;
const RUNNING = 1;
export const UNMERGED = 2;
/** As fast as it goes, for as long as a test lasts. */
export const HASTY: KsmSettings = { run: RUNNING, pages_to_scan: 20_000, sleep_millisecs: 1 };
const POLL_MS = 20;

/** KSM of a host, as it was found. */
export interface Ksm {
  readonly found: KsmSettings;
  readonly isRunning: boolean;
}

/** Reads the settings; nothing is changed. */
export async function readKsm(host: Host): Promise<Ksm | { readonly outOfReach: string }> {
  const values: Partial<Record<(typeof KSM_NAMES)[number], number>> = {};
  for (const name of KSM_NAMES) {
    const value = await readNumber(host, `${FOLDER}/${name}`);
    if (typeof value === 'string') return { outOfReach: value };
    values[name] = value;
  }
  const { run = 0, pages_to_scan = 0, sleep_millisecs = 0 } = values;
  return { found: { run, pages_to_scan, sleep_millisecs }, isRunning: run === RUNNING };
}

/** Switches KSM on, to scan fast. Returns why not where the host does not let us; nothing is changed then. */
export async function hurryKsm(host: Host, { found }: Ksm): Promise<{ readonly outOfReach: string } | undefined> {
  const refused = await writeSettings(host, HASTY);
  if (refused === undefined) return undefined;
  await writeSettings(host, found);
  return { outOfReach: refused };
}

/** Puts everything back; where KSM had not run, what it has merged since is taken apart. */
export async function restoreKsm(host: Host, { found, isRunning }: Ksm): Promise<void> {
  await putKsm(host, isRunning ? [found] : [{ run: UNMERGED }, found]);
}

/** Writes settings that were there before, one group after the other. Throws `HOST_KSM`. */
export async function putKsm(host: Host, groups: readonly Partial<KsmSettings>[]): Promise<void> {
  for (const settings of groups) {
    const refused = await writeSettings(host, settings);
    if (refused !== undefined)
      throw harnessError('HOST_KSM', `KSM of ${host.name} could not be put back as it was: ${refused}`, {
        hint: `Write ${JSON.stringify(groups.at(-1))} to the files in ${FOLDER}.`,
      });
  }
}

/** Waits until all memory was scanned so many times. Returns why not where that takes too long, or nobody sees it. */
export async function waitForScans(
  host: Host,
  count: number,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<{ readonly outOfReach: string } | undefined> {
  const deadline = Date.now() + timeoutMs;
  const first = await readNumber(host, `${FOLDER}/full_scans`);
  for (;;) {
    const now = await readNumber(host, `${FOLDER}/full_scans`);
    if (typeof first === 'string') return { outOfReach: first };
    if (typeof now === 'string') return { outOfReach: now };
    if (now - first >= count) return undefined;
    if (Date.now() > deadline) {
      const slow = `KSM did ${now - first} of ${count} full scans in ${timeoutMs / 1000} s`;
      return { outOfReach: `${slow}; with more pages_to_scan, or a shorter sleep_millisecs, it is faster` };
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** Pages of a guest that are merged with others, or why nobody knows. */
export async function mergingPages(host: Host, guest: string): Promise<number | { readonly outOfReach: string }> {
  const qemu = await findQemu(host, guest);
  if ('outOfReach' in qemu) return qemu;
  const value = await readNumber(host, `/proc/${qemu.pid}/ksm_merging_pages`);
  return typeof value === 'number' ? value : { outOfReach: `${value} (Linux has it since 5.19)` };
}

async function writeSettings(host: Host, settings: Partial<KsmSettings>): Promise<string | undefined> {
  const answer = await runHostProgram(host, 'ksm-settings', settings);
  if (answer.outcome === 'unknown') return answer.because;
  const { refused } = answer.value as { readonly refused: readonly string[] };
  return refused.length === 0 ? undefined : `the kernel took no ${refused.join(', ')}`;
}

/** The number in a file, or the reason why there is none. */
async function readNumber(host: Host, path: string): Promise<number | string> {
  const reading = await host.shell.readFile(path);
  switch (reading.outcome) {
    case 'absent':
      return `${path} is absent`;
    case 'unreadable':
      return `${path}: ${reading.because}`;
    case 'read': {
      const text = Buffer.from(reading.bytes).toString().trim();
      return /^\d+$/.test(text) ? Number(text) : `${path} holds no number`;
    }
  }
}
