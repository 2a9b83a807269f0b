import {
  computeKernelHashes,
  computeLaunchDigest,
  type KernelHashes,
  type LaunchDigest,
} from '../../attestation/index.ts';
import { harnessError } from '../errors.ts';
import { sha256OfFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { GuestFirmwareImage } from '../host/measured-boot.ts';
import { findQemu } from '../host/qemu-process.ts';
import { parseConsoleLine } from './console/events.ts';
import { readConsole } from './console-lines.ts';
import type { LiveGuest } from './running.ts';
import type { GuestSpec } from './spec.ts';

/** What QEMU is to boot directly: paths on the host, and a command line. */
export type DirectBoot = NonNullable<GuestSpec['boot']>;
/** What QEMU hands to the guest firmware for it. */
export type BootBlob = 'kernel' | 'initrd' | 'cmdline';

const BOOT_FOLDER = '/boot';
const CONSOLE_SILENCE_MS = 2000;
const EMULATED_SUCCESS = 0;

/** Kernels and initrds in the host's own /boot, by path, or why they cannot be told. */
export async function findBootFiles(
  host: Host,
): Promise<
  { readonly kernels: readonly string[]; readonly initrds: readonly string[] } | { readonly because: string }
> {
  const reading = await host.shell.listFolder(BOOT_FOLDER);
  if (reading.outcome !== 'read')
    return { because: reading.outcome === 'absent' ? `${BOOT_FOLDER} is absent` : reading.because };
  const named = (pattern: RegExp) =>
    reading.names
      .filter((name) => pattern.test(name))
      .sort()
      .map((name) => `${BOOT_FOLDER}/${name}`);
  const found = { kernels: named(/^vmlinuz/), initrds: named(/^init(rd|ramfs)/) };
  if (found.kernels.length === 0 || found.initrds.length === 0)
    return { because: `${BOOT_FOLDER} holds no kernel with an initrd` };
  return found;
}

/**
 * The digest of an SEV guest that boots directly with measured hashes.
 *
 * The hashes are those of the files as they lie on the host: an owner has them of his own files. Throws `BOOT_FILE_UNREADABLE`.
 */
export async function measuredBootDigest(
  host: Host,
  { image }: GuestFirmwareImage,
  { kernel, initrd, cmdline }: DirectBoot,
): Promise<LaunchDigest> {
  const none = new Uint8Array();
  const text = computeKernelHashes({ kernel: none, initrd: none, cmdline });
  const kernelHashes: KernelHashes = {
    ...text,
    kernel: await digestOf(host, kernel),
    ...(initrd === undefined ? {} : { initrd: await digestOf(host, initrd) }),
  };
  return computeLaunchDigest({ guestFirmware: image, kernelHashes });
}

async function digestOf(host: Host, path: string): Promise<Uint8Array> {
  const reading = await sha256OfFile(host.shell, path);
  if (reading.outcome === 'read') return reading.bytes;
  const why = reading.outcome === 'absent' ? 'it is not there' : reading.because;
  throw harnessError('BOOT_FILE_UNREADABLE', `cannot read ${path} of the host: ${why}`, {
    hint: 'A measured boot can be verified only by who has its files: make it readable for the user of this run.',
  });
}

/**
 * What the owner of a host can do with a debugger: changes, in the memory of a guest's QEMU, what it measured the hash of
 * and what the guest firmware has not fetched yet. Returns the reason when that is out of our reach.
 */
export async function swapBlob(
  host: Host,
  { name }: LiveGuest,
  blob: BootBlob,
  content: Uint8Array,
): Promise<{ readonly outOfReach: string } | undefined> {
  if (host.kind === 'real')
    return { outOfReach: 'a stock QEMU hands out the very bytes that it hashed, and the harness changes no QEMU' };
  const found = await findQemu(host, name);
  if ('outOfReach' in found) return found;
  const { errno } = await host.connection.callEmulator('swapBlob', { pid: found.pid, blob, content });
  return errno === EMULATED_SUCCESS ? undefined : { outOfReach: `the emulated QEMU refused with errno ${errno}` };
}

/** Words of OVMF's verifier when it stops a boot. */
const STOPPED = /Hash comparison failed for "\w+"|no hashes table discoverd/;

export interface BootOutcome {
  /** The guest's own system runs. */
  readonly hasBooted: boolean;
  /** It reported a canary, which only its command line asks for. */
  readonly hasCanary: boolean;
  /** What the guest firmware said when it stopped; a RELEASE build says nothing. */
  readonly stopped: string | undefined;
  readonly console: string;
}

/** Lets a paused guest run and tells from its console how far it came. */
export async function bootAndWatch(guest: LiveGuest): Promise<BootOutcome> {
  await guest.domain.resume();
  const isOver = (text: string) => eventsOf(text).some(({ event }) => event === 'idle') || STOPPED.test(text);
  const console = await readConsole(guest, isOver, CONSOLE_SILENCE_MS);
  const events = eventsOf(console);
  return {
    hasBooted: events.some(({ event }) => event === 'ready'),
    hasCanary: events.some((one) => one.event === 'canary' && one.privateBytes > 0),
    stopped: STOPPED.exec(console)?.[0],
    console,
  };
}

function eventsOf(console: string) {
  // What is behind the last line break may be half a line yet.
  return console
    .split(/\r?\n/)
    .slice(0, -1)
    .flatMap((line) => parseConsoleLine(line) ?? []);
}
