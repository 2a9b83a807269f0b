import { isSevHarnessError, parseOvmfTable } from '../../attestation/index.ts';
import { readEndOfFile } from './files.ts';
import type { HostShell } from './shell.ts';

/** What libvirt offers for pflash, as far as guests of ours can have it. */
export interface Loaders {
  /** Raw images of OVMF; the first is for guests whose kernel nobody measures. */
  readonly loaders: readonly string[];
  /** Those that are never given to a guest, each with the reason. */
  readonly refusedLoaders: Readonly<Record<string, string>>;
}

/**
 * Sorts what the domain capabilities list, which are paths alone: Fedora lists a qcow2 image first, and RHEL 9.0 an AmdSev
 * build, which starts only a kernel whose hash was measured.
 */
export async function sortLoaders(shell: HostShell, offered: readonly string[]): Promise<Loaders> {
  const refusedLoaders = Object.fromEntries(offered.flatMap((path) => whyRefused(path).map((why) => [path, why])));
  const loaders = offered
    .filter((path) => !Object.hasOwn(refusedLoaders, path))
    .sort((a, b) => rankByName(a) - rankByName(b));
  for (const path of loaders) {
    if (!(await startsOnlyMeasured(shell, path)))
      return { loaders: [path, ...loaders.filter((other) => other !== path)], refusedLoaders };
  }
  return { loaders, refusedLoaders };
}

function whyRefused(path: string): string[] {
  if (!/OVMF|edk2|ovmf/.test(path) || /ia32|arm|aarch64/i.test(path)) return ['not OVMF for x86_64'];
  return /\.qcow2$/.test(path) ? ['qcow2, and our guests have raw flash'] : [];
}

/** SEV works without SMM only, which images with Secure Boot need; builds for one kind of confidential guest come last. */
function rankByName(path: string): number {
  if (/amdsev|inteltdx/i.test(path)) return 2;
  return /\.(secboot|ms|snakeoil)\.|secboot/.test(path) ? 1 : 0;
}

/** As far as its table can be read; otherwise its name has to do. */
async function startsOnlyMeasured(shell: HostShell, path: string): Promise<boolean> {
  const reading = await readEndOfFile(shell, path, TABLE_BYTES_MAX);
  return reading.outcome === 'read' && hasHashesArea(reading.bytes);
}

/** OVMF's table has a length of 16 bits and ends 32 bytes before its image does. */
const TABLE_BYTES_MAX = 65_536 + 32;

/** True for an AmdSev build of OVMF: its table names a place for kernel hashes. */
export function hasHashesArea(image: Uint8Array): boolean {
  try {
    return parseOvmfTable(image).hashesArea !== undefined;
  } catch (error) {
    if (isSevHarnessError(error)) return false;
    throw error;
  }
}
