import path from 'node:path';
import {
  computeKernelHashes,
  computeLaunchDigest,
  type KernelHashes,
  type LaunchDigest,
} from '../../attestation/index.ts';
import { toBase64 } from '../../core/bytes.ts';
import { isSevHarnessError } from '../../core/errors.ts';
import { harnessError } from '../errors.ts';
import type { ScenarioContext } from '../fixtures/scenario.ts';
import { sha256OfFile } from '../host/files.ts';
import type { Host } from '../host/host.ts';
import type { GuestFirmwareImage } from '../host/measured-boot.ts';
import { findQemu } from '../host/qemu-process.ts';
import { type AgentRequest, agentLaunch, type ImageContext } from './boot.ts';
import { GuestConsole } from './console/follow.ts';
import { guestName } from './ownership.ts';
import type { LaunchContext, LaunchOptions, LiveGuest, PausedGuest } from './running.ts';
import type { GuestSpec } from './spec.ts';

/** What QEMU is to boot directly: paths on the host, and a command line. */
export type DirectBoot = NonNullable<GuestSpec['boot']>;
/** What QEMU hands to the guest firmware for it. */
export type BootBlob = 'kernel' | 'initrd' | 'cmdline';

const BOOT_FOLDER = '/boot';
const EMULATED_SUCCESS = 0;

export interface BootFiles {
  readonly kernels: readonly string[];
  readonly initrds: readonly string[];
}

/**
 * Kernels and initrds that guests can boot, by path on the host: those of its own /boot. Where the user has named a kernel
 * for a real host that one comes first, with the initrd of our image, and of /boot only what this user can read. Returns why
 * there are none. Throws what `agentLaunch` throws.
 */
export async function findBootFiles(context: ImageContext): Promise<BootFiles | { readonly because: string }> {
  const { host, settings } = context;
  const inBoot = await listBootFolder(host);
  if (host.kind === 'emulated' || settings.image?.kernel === undefined) return inBoot;
  const { boot } = await agentLaunch(context);
  const others = 'because' in inBoot ? { kernels: [], initrds: [] } : inBoot;
  const readable = (paths: readonly string[]) => onlyReadable(host, paths);
  return {
    kernels: [boot?.kernel ?? '', ...(await readable(others.kernels))],
    initrds: [boot?.initrd ?? '', ...(await readable(others.initrds))],
  };
}

async function listBootFolder({ shell }: Pick<Host, 'shell'>): Promise<BootFiles | { readonly because: string }> {
  const reading = await shell.listFolder(BOOT_FOLDER);
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

async function onlyReadable({ shell }: Pick<Host, 'shell'>, paths: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(paths.map((file) => shell.run(['test', '-r', file])));
  return paths.filter((_, index) => answers[index]?.outcome === 'read');
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
    hint: `A measured boot can be verified only by who has its files. Name a kernel that you can read with --kernel FILE, or make this one readable on the host: chmod a+r ${path}, and on Ubuntu for good: dpkg-statoverride --update --add root root 0644 ${path}.`,
  });
}

/** Whether a swap went through, or why it is out of our reach. */
export type Swap = { readonly outOfReach: string } | undefined;

/**
 * What the owner of a host can do: changes what a guest's QEMU measured the hash of and what the guest firmware has not
 * fetched yet. In an emulated QEMU all of it, as with a debugger. A stock QEMU has read kernel and command line into its own
 * memory, but the initrd it has mapped (`x86_load_linux` of QEMU, MAP_PRIVATE): what is written into that file shows.
 *
 * On a real host `initrd` must be a file of its own for this guest, see `withOwnInitrd`.
 */
export async function swapBlob(
  host: Host,
  { name }: LiveGuest,
  blob: BootBlob,
  { content, initrd }: { readonly content: Uint8Array; readonly initrd: string },
): Promise<Swap> {
  if (host.kind === 'real') return blob === 'initrd' ? overwrite(host, initrd, content) : IN_MEMORY;
  const found = await findQemu(host, name);
  if ('outOfReach' in found) return found;
  const { errno } = await host.connection.callEmulator('swapBlob', { pid: found.pid, blob, content });
  return errno === EMULATED_SUCCESS ? undefined : { outOfReach: `the emulated QEMU refused with errno ${errno}` };
}

const IN_MEMORY = {
  outOfReach:
    'a stock QEMU has read it into its own memory before it hashed it, and the harness changes no QEMU (an initrd it maps, and that is swapped)',
};

async function overwrite({ shell }: Host, file: string, content: Uint8Array): Promise<Swap> {
  const script = 'echo "$1" | base64 -d | dd of="$2" conv=notrunc status=none';
  const reading = await shell.run(['sh', '-c', script, 'sh', toBase64(content), file]);
  if (reading.outcome === 'read') return undefined;
  return { outOfReach: `cannot write into ${file}: ${reading.outcome === 'absent' ? 'no shell' : reading.because}` };
}

/**
 * The same boot with an initrd that nobody else uses, so that it can be swapped: a copy beside it on a real host, named as
 * guests are, which the scenario's cleanup removes, and reap after a crash. Throws `BOOT_FILE_UNREADABLE`.
 */
export async function withOwnInitrd(
  { host, settings, cleanup }: Pick<LaunchContext, 'host' | 'settings' | 'cleanup'>,
  boot: MeasurableBoot,
): Promise<MeasurableBoot> {
  if (host.kind === 'emulated') return boot;
  const { dir, base } = path.posix.parse(boot.initrd);
  const initrd = path.posix.join(dir, guestName(settings.owner.runId, base));
  cleanup.push(`remove ${initrd}`, async () => {
    await host.shell.run(['rm', '-f', '--', initrd]);
  });
  const reading = await host.shell.run(['cp', '--', boot.initrd, initrd]);
  if (reading.outcome === 'read') return { ...boot, initrd };
  const why = reading.outcome === 'absent' ? 'the host has no cp' : reading.because;
  throw harnessError('BOOT_FILE_UNREADABLE', `cannot copy ${boot.initrd} on the host: ${why}`);
}

/** A kernel, an initrd and a command line, each of which can be measured. */
export type MeasurableBoot = Required<DirectBoot>;

/**
 * What a guest boots whose agent is asked for this, all of it in files: our image on a real host; on an emulated one, which
 * has whatever kernel a guest names, files of its /boot. Throws what `agentLaunch` throws.
 */
export async function measurableLaunch(
  context: ImageContext & { readonly host: Host },
  request: AgentRequest,
): Promise<(Pick<LaunchOptions, 'virtio'> & { readonly boot: MeasurableBoot }) | { readonly because: string }> {
  const { boot, ...rest } = await agentLaunch(context, request);
  const cmdline = boot?.cmdline ?? '';
  if (boot?.initrd !== undefined) return { ...rest, boot: { kernel: boot.kernel, initrd: boot.initrd, cmdline } };
  const files = await findBootFiles(context);
  if ('because' in files) return files;
  return { ...rest, boot: { kernel: files.kernels[0] ?? '', initrd: files.initrds[0] ?? '', cmdline } };
}

/** Words of OVMF's verifier when it stops a boot. */
const STOPPED = /Hash comparison failed for "\w+"|no hashes table discoverd/;
/** A RELEASE build of OVMF stops in silence. */
const BOOT_TIMEOUT_MS = { emulated: 2000, real: 120_000 };
const NOT_BOOTED = ['GUEST_BOOT_FAILED', 'GUEST_CONSOLE_TIMEOUT', 'GUEST_CONSOLE_ENDED'];

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
export async function bootAndWatch(
  { host, signal }: Pick<ScenarioContext, 'host' | 'signal'>,
  guest: PausedGuest,
): Promise<BootOutcome> {
  await using console = await GuestConsole.follow(guest);
  await guest.resume();
  try {
    await console.waitFor('idle', { timeoutMs: BOOT_TIMEOUT_MS[host.kind], signal });
  } catch (error) {
    if (!isSevHarnessError(error) || !NOT_BOOTED.includes(error.code)) throw error;
  }
  return {
    hasBooted: console.all('ready').length > 0,
    hasCanary: console.all('canary').some(({ privateBytes }) => privateBytes > 0),
    stopped: STOPPED.exec(console.text)?.[0],
    console: console.text,
  };
}
