import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { errorText, isSevHarnessError } from '../../../core/errors.ts';
import { guestError } from '../errors.ts';
import { runTool } from './tools.ts';

/** A module as the guest loads it: uncompressed, after what it depends on. */
export interface KernelModule {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What the agent can make use of; a kernel has each built in, as a module, or not at all. */
const WANTED = [
  'virtio_pci',
  'virtio_scsi',
  'sd_mod',
  'virtio_blk',
  'virtio_rng',
  'virtio_console',
  'msr',
  'button',
  'evdev',
  'efi_secret',
];

const EXTENSION = /\.ko(?:\.(gz|xz|zst))?$/;

/**
 * Modules of a kernel that guests shall load, in the order of loading; none when the folder is not there.
 *
 * Distributions keep `lib/modules/<version>` beside `boot`, on a running system and in an unpacked package.
 */
export async function readModules(kernelPath: string, version: string): Promise<KernelModule[]> {
  const folder = path.resolve(path.dirname(kernelPath), '../lib/modules', version, 'kernel');
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const files = new Map(names.filter((file) => EXTENSION.test(file)).map((file) => [moduleName(file), file]));
  const ordered: KernelModule[] = [];
  const seen = new Set<string>();
  const load = async (name: string): Promise<void> => {
    const file = files.get(name);
    if (file === undefined || seen.has(name)) return;
    seen.add(name);
    const bytes = await unpacked(path.join(folder, file));
    for (const dependency of dependenciesOf(bytes)) await load(dependency);
    ordered.push({ name, bytes });
  };
  for (const name of WANTED) await load(name);
  return ordered;
}

/** The kernel takes `-` and `_` in names for the same. */
function moduleName(file: string): string {
  return path.basename(file).replace(EXTENSION, '').replaceAll('-', '_');
}

/** `depends=a,b` of the section `.modinfo`, whose strings end with a zero byte. */
function dependenciesOf(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const depends = /\0depends=([^\0]*)\0/.exec(text)?.[1] ?? '';
  return depends.split(',').flatMap((name) => (name === '' ? [] : [name.replaceAll('-', '_')]));
}

async function unpacked(file: string): Promise<Uint8Array> {
  try {
    return await unpackedBy(file);
  } catch (error) {
    if (isSevHarnessError(error)) throw error;
    throw guestError('GUEST_KERNEL_FORM', `cannot read kernel module ${file}: ${errorText(error)}`, { cause: error });
  }
}

async function unpackedBy(file: string): Promise<Uint8Array> {
  switch (EXTENSION.exec(file)?.[1]) {
    case 'gz':
      return new Uint8Array(gunzipSync(await readFile(file)));
    case 'xz':
      return unpackWith('xz', 'xz-utils', file);
    case 'zst':
      return unpackWith('zstd', 'zstd', file);
    default:
      return new Uint8Array(await readFile(file));
  }
}

async function unpackWith(program: string, debianPackage: string, file: string): Promise<Uint8Array> {
  const result = await runTool(program, debianPackage, ['-dc', file]);
  if (result.exitCode === 0) return result.stdout;
  throw guestError('GUEST_KERNEL_FORM', `${program} cannot unpack kernel module ${file}: ${result.because}`);
}
