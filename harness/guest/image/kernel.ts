import { readdir, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import path from 'node:path';
import { errorText, isSystemError } from '../../../core/errors.ts';
import { guestError } from '../errors.ts';

/** A kernel of this machine that guests can boot. */
export interface Kernel {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** As `uname -r` says it. */
  readonly version: string;
}

const BOOT_FOLDER = '/boot';
/** Where the header of a bzImage says "HdrS", and where the offset of its version text stands (Documentation/arch/x86/boot.rst). */
const MAGIC_AT = 0x202;
const VERSION_POINTER_AT = 0x20e;
const VERSION_BASE = 0x200;
/** Length of the part that starts in real mode, in sectors beyond the first, and of the rest, in 16 bytes; from protocol 2.04. */
const SETUP_SECTORS_AT = 0x1f1;
const REST_LENGTH_AT = 0x1f4;
const DEFAULT_SETUP_SECTORS = 4;

/**
 * The kernel that was named, else the one that this machine runs, else the newest of `/boot/vmlinuz-*`.
 *
 * Throws `GUEST_KERNEL_MISSING` and `GUEST_KERNEL_FORM`.
 */
export async function findKernel(given: string | undefined): Promise<Kernel> {
  const file = given ?? (await ownKernel());
  let bytes: Uint8Array;
  try {
    bytes = new Uint8Array(await readFile(file));
  } catch (error) {
    throw guestError('GUEST_KERNEL_MISSING', `cannot read kernel ${file}: ${errorText(error)}`, {
      hint:
        isSystemError(error, 'EACCES') || isSystemError(error, 'EPERM')
          ? 'Kernels are often readable for root only: sudo chmod a+r, or name another with --kernel.'
          : 'Name a kernel of this machine with --kernel FILE; without it the one that this machine runs is taken.',
      cause: error,
    });
  }
  return { path: file, bytes, version: readKernelVersion(bytes, file) };
}

async function ownKernel(): Promise<string> {
  const names = await readdir(BOOT_FOLDER).catch(() => []);
  const kernels = names.filter((name) => name.startsWith('vmlinuz-'));
  const running = `vmlinuz-${release()}`;
  const newest = kernels.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
  const chosen = kernels.includes(running) ? running : newest;
  if (chosen !== undefined) return path.join(BOOT_FOLDER, chosen);
  throw guestError('GUEST_KERNEL_MISSING', `there is no ${BOOT_FOLDER}/vmlinuz-* on this machine to boot guests with`, {
    hint: 'Name one with --kernel FILE. On Debian: apt-get download linux-image-cloud-amd64, unpack the image that it depends on with dpkg -x.',
  });
}

/** The version that a bzImage carries. Throws `GUEST_KERNEL_FORM`. */
export function readKernelVersion(bytes: Uint8Array, name: string): string {
  const image = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hasMagic = image.length > VERSION_POINTER_AT + 2 && image.toString('latin1', MAGIC_AT, MAGIC_AT + 4) === 'HdrS';
  const at = hasMagic ? image.readUInt16LE(VERSION_POINTER_AT) + VERSION_BASE : 0;
  const version = /^[^\s\0]+/.exec(image.toString('latin1', at, at + 128))?.[0];
  if (!hasMagic || at === VERSION_BASE || version === undefined)
    throw guestError(
      'GUEST_KERNEL_FORM',
      `${name} is no x86 kernel: ${hasMagic ? 'its header names no version' : 'a bzImage has "HdrS" at 0x202'}`,
      {
        hint: 'Give the compressed image that a boot loader loads (vmlinuz), neither vmlinux nor an initrd.',
      },
    );
  const announced = announcedLength(image);
  if (image.length >= announced) return version;
  throw guestError(
    'GUEST_KERNEL_FORM',
    `${name} is cut off: its header says ${announced} bytes, it has ${image.length}`,
    {
      hint: 'Copy it again, or name another kernel with --kernel FILE.',
    },
  );
}

/** What is signed is longer by its signature. */
function announcedLength(image: Buffer): number {
  const sectors = (image[SETUP_SECTORS_AT] || DEFAULT_SETUP_SECTORS) + 1;
  return sectors * 512 + image.readUInt32LE(REST_LENGTH_AT) * 16;
}
