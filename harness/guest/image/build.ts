import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { errorText, isSystemError } from '../../../core/errors.ts';
import { makeFolder } from '../../../reports/model/folder.ts';
import { guestError } from '../errors.ts';
import { type AgentSource, compileAgent, compilerVersion, readAgentSource, staticLibrary } from './agent.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { findKernel, type Kernel } from './kernel.ts';
import { type KernelModule, readModules } from './modules.ts';
import { missingTool } from './tools.ts';
import { openWorkplace, sweepWorkplaces } from './workplace.ts';

/** Files on this machine that a guest boots directly. */
export interface GuestImage {
  readonly kernel: string;
  readonly initrd: string;
  /** A raw disk of 64 MiB zeros, to be read. */
  readonly disk: string;
  readonly kernelVersion: string;
  /** SHA-256 over all that went into it. */
  readonly digestHex: string;
}

export interface ImageOptions {
  /** A kernel of this machine; without it the machine's own. */
  readonly kernel?: string | undefined;
  /** Where images are kept; without it a folder of this user in the machine's temporary folder. */
  readonly folder?: string | undefined;
}

const BUSYBOX_PLACES = ['/bin/busybox', '/usr/bin/busybox'];
/** Raised when the same inputs are put together in another way. */
const LAYOUT = 1;
const COMPRESSION_LEVEL = 6;
/** Sparse: it takes no space. */
export const DISK_BYTES = 64 * 1024 * 1024;

/**
 * The image for a kernel: taken from the folder when it was built before from the same inputs, else built.
 *
 * The files are readable for everybody, because a system libvirtd runs QEMU as a user of its own. Throws
 * `GUEST_KERNEL_MISSING`, `GUEST_KERNEL_FORM`, `GUEST_IMAGE_TOOL`, `GUEST_IMAGE_BUILD` and `GUEST_IMAGE_FOLDER`.
 */
export async function prepareImage(options: ImageOptions = {}): Promise<GuestImage> {
  const kernel = await findKernel(options.kernel);
  const [modules, source, busybox, compiler, library] = await Promise.all([
    readModules(kernel.path, kernel.version),
    readAgentSource(),
    readBusybox(),
    compilerVersion(),
    staticLibrary(),
  ]);
  const digestHex = digestOf([
    ['layout', `${LAYOUT}`],
    ['compiler', compiler],
    ['library', library],
    ['kernel', kernel.bytes],
    ['busybox', busybox],
    ...source.files.map(({ name, bytes }) => [name, bytes] as const),
    ...modules.map(({ name, bytes }) => [name, bytes] as const),
  ]);
  const images = await ownFolder(options.folder);
  const folder = path.join(images, digestHex.slice(0, 16));
  const image = {
    kernel: path.join(folder, `vmlinuz-${kernel.version}`),
    initrd: path.join(folder, 'initrd.gz'),
    disk: path.join(folder, 'disk.raw'),
    kernelVersion: kernel.version,
    digestHex,
  };
  if (await isWhole(image, kernel)) return image;
  await sweepWorkplaces(images);
  const place = await inFolder(images, openWorkplace(images));
  try {
    const initrd = buildInitrd({ agent: await compileAgent(source, place), source, busybox, modules });
    await inFolder(images, putImage(image, { kernel, initrd }, path.join(place, 'image')));
  } finally {
    await rm(place, { recursive: true, force: true });
  }
  return image;
}

/** The initramfs: busybox, the agent, its first process, and modules named so that their order is that of loading. */
export function buildInitrd(parts: {
  readonly agent: Uint8Array;
  readonly source: AgentSource;
  readonly busybox: Uint8Array;
  readonly modules: readonly KernelModule[];
}): Uint8Array {
  const init = parts.source.files.find(({ name }) => name === 'init.sh')?.bytes ?? new Uint8Array();
  const entries: CpioEntry[] = [
    { kind: 'folder', path: 'bin' },
    { kind: 'folder', path: 'dev' },
    // The kernel opens it for the first process, before that one can mount anything.
    { kind: 'device', path: 'dev/console', major: 5, minor: 1 },
    { kind: 'folder', path: 'modules' },
    { kind: 'file', path: 'init', content: init, executable: true },
    { kind: 'file', path: 'bin/agent', content: parts.agent, executable: true },
    { kind: 'file', path: 'bin/busybox', content: parts.busybox, executable: true },
    ...parts.modules.map(({ name, bytes }, index) => ({
      kind: 'file' as const,
      path: `modules/${String(index).padStart(2, '0')}-${name}.ko`,
      content: bytes,
    })),
  ];
  // zlib writes no time and no name into the header, and node always the same for the operating system.
  return new Uint8Array(gzipSync(writeCpio(entries), { level: COMPRESSION_LEVEL }));
}

async function readBusybox(): Promise<Uint8Array> {
  for (const place of BUSYBOX_PLACES) {
    const bytes = await readFile(place).catch(() => undefined);
    // A dynamic one needs libraries that the image does not have; it names its loader.
    if (bytes !== undefined && !bytes.includes('/lib64/ld-linux')) return new Uint8Array(bytes);
  }
  throw missingTool('statically linked busybox (/bin/busybox)', 'busybox-static');
}

function digestOf(inputs: readonly (readonly [string, string | Uint8Array])[]): string {
  const hash = createHash('sha256');
  for (const [name, content] of inputs) {
    const inner = createHash('sha256').update(content).digest('hex');
    hash.update(`${name} ${inner}\n`);
  }
  return hash.digest('hex');
}

/** Where images are kept when nobody names another place. */
export function imagesFolder(): string {
  return path.join('/var/tmp', `sev-harness-${userInfo().uid}`);
}

/** In a folder that everybody can write to, somebody else may have made ours. */
async function ownFolder(given: string | undefined): Promise<string> {
  const folder = given ?? imagesFolder();
  try {
    const isNew = (await stat(folder).catch(() => undefined)) === undefined;
    makeFolder(folder, 0o755);
    if (isNew) await chmod(folder, 0o755);
    const found = await lstat(folder);
    const isOurs = found.isDirectory() && found.uid === userInfo().uid && (found.mode & 0o022) === 0;
    if (given !== undefined || isOurs) return folder;
  } catch (error) {
    throw folderError(folder, errorText(error), error);
  }
  throw folderError(folder, 'it is not a folder that only this user can write to');
}

function folderError(folder: string, why: string, cause?: unknown) {
  return guestError('GUEST_IMAGE_FOLDER', `guest images cannot be kept in ${folder}: ${why}`, {
    hint: 'Name another folder in SEV_HARNESS_IMAGES.',
    cause,
  });
}

/**
 * Who clears up old files takes some and leaves others; a power cut leaves empty ones. What a guest could not boot must not
 * pass for a defect of its host.
 */
async function isWhole(image: GuestImage, kernel: Kernel): Promise<boolean> {
  try {
    const [kernelBytes, initrdBytes, disk] = await Promise.all([
      readFile(image.kernel),
      readFile(image.initrd),
      stat(image.disk),
    ]);
    // Fails on what is cut or has another checksum.
    gunzipSync(initrdBytes);
    return kernelBytes.equals(kernel.bytes) && disk.size === DISK_BYTES;
  } catch {
    return false;
  }
}

/** Two runs may build the same image at the same time: each moves a whole folder into place. */
async function putImage(
  image: GuestImage,
  { kernel, initrd }: { readonly kernel: Kernel; readonly initrd: Uint8Array },
  unfinished: string,
): Promise<void> {
  // Readable for QEMU under whatever umask this process runs.
  await mkdir(unfinished);
  await chmod(unfinished, 0o755);
  const put = async (file: string, bytes: Uint8Array | string) => {
    const target = path.join(unfinished, path.basename(file));
    await writeFile(target, bytes);
    await chmod(target, 0o644);
  };
  await put(image.kernel, kernel.bytes);
  await put(image.disk, '');
  await truncate(path.join(unfinished, path.basename(image.disk)), DISK_BYTES);
  await put(image.initrd, initrd);
  const folder = path.dirname(image.initrd);
  try {
    await rename(unfinished, folder);
  } catch (error) {
    // The other run was first, or somebody took files out of the folder.
    if (await isWhole(image, kernel)) return;
    if (!isSystemError(error, 'ENOTEMPTY') && !isSystemError(error, 'EEXIST')) throw error;
    await rm(folder, { recursive: true });
    await rename(unfinished, folder);
  }
}

async function inFolder<T>(folder: string, action: Promise<T>): Promise<T> {
  try {
    return await action;
  } catch (error) {
    throw folderError(folder, errorText(error), error);
  }
}
