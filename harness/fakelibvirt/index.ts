import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fakelibvirtError } from './errors.ts';
import { type FaultId, isFaultId } from './faults/catalogue.ts';
import { FaultSwitches } from './faults/switches.ts';
import { type ProfileName, profiles } from './profiles/index.ts';
import type { Profile } from './profiles/profile.ts';
import { createDispatcher } from './server/dispatch.ts';
import { emulatorHandlers, qemuHandlers, remoteHandlers } from './server/handlers/index.ts';
import { Listener } from './server/listener.ts';
import { Machine } from './state/machine.ts';

export { type Fault, type FaultId, faultCatalogue, isFaultId } from './faults/catalogue.ts';
export { isProfileName, type ProfileName, profiles } from './profiles/index.ts';
export type { Profile } from './profiles/profile.ts';

export interface EmulatedHostOptions {
  readonly profile: ProfileName;
  /** Where to listen; a socket in a fresh temporary directory by default, which goes when the host is closed. */
  readonly socketPath?: string | undefined;
  readonly faults?: readonly FaultId[] | undefined;
  /** `realistic` sleeps as long as a host takes; by default time passes at once. */
  readonly delays?: 'none' | 'realistic' | undefined;
  /** Another highest ASID than the profile's. */
  readonly maxAsidOverride?: number | undefined;
  /** SEV-SNP is on, which no profile has; libvirt offers no such guests all the same. SEV-ES guests are then refused, or taken. */
  readonly esBesideSnp?: 'refused' | 'taken' | undefined;
  /** Where firmware images and kernels are looked for first, by their whole path or their file name. */
  readonly imagesFolder?: string | undefined;
  /** Else images of this machine's file system come before those that are built in. */
  readonly hasBuiltInImagesOnly?: boolean | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

/** A running emulated SEV host. */
export interface EmulatedHost extends AsyncDisposable {
  /** What `virsh -c` takes. */
  readonly uri: string;
  readonly socketPath: string;
  readonly profile: Profile;
  /** The host's own books, for tests and measurements. */
  readonly counters: () => EmulatedHostCounters;
  /** Faults that the host was asked for until now, whether they are on or not. */
  readonly askedFaults: () => ReadonlySet<FaultId>;
  close(): Promise<void>;
}

export interface EmulatedHostCounters {
  readonly allocations: number;
  readonly frees: number;
  readonly flushes: number;
  readonly refusals: number;
  readonly running: number;
}

/**
 * Starts an emulated SEV host that speaks libvirt's protocol on a unix socket.
 *
 * Throws `EMULATOR_SOCKET_UNUSABLE`, `EMULATOR_FAULT_UNKNOWN` and `EMULATOR_OPTION_INVALID`.
 */
export async function startEmulatedHost(options: EmulatedHostOptions): Promise<EmulatedHost> {
  const profile = withSnp(withMaxAsid(profiles[options.profile], options.maxAsidOverride), options.esBesideSnp);
  const machine = new Machine(profile, checkedFaults(options.faults ?? []), options.delays ?? 'none', {
    folder: options.imagesFolder,
    isBuiltInOnly: options.hasBuiltInImagesOnly,
  });
  const ownDirectory = options.socketPath === undefined ? await mkdtemp(path.join(tmpdir(), 'sev-host-')) : undefined;
  const socketPath = options.socketPath ?? path.join(ownDirectory ?? '', 'libvirt-sock');
  const dispatcher = createDispatcher(remoteHandlers, qemuHandlers, emulatorHandlers);
  const listener = new Listener(machine, dispatcher, options.log ?? (() => {}));
  const removeDirectory = async () => {
    if (ownDirectory) await rm(ownDirectory, { recursive: true, force: true });
  };
  try {
    await listener.listen(socketPath);
    await chmod(socketPath, 0o700);
  } catch (error) {
    await removeDirectory();
    throw error;
  }
  let closing: Promise<void> | undefined;
  const close = () => {
    closing ??= listener.close().then(removeDirectory);
    return closing;
  };
  return {
    uri: `qemu+unix:///system?socket=${encodeURIComponent(socketPath).replaceAll('%2F', '/')}`,
    socketPath,
    profile,
    counters: () => ({ ...machine.kvm.counters, running: machine.domains.active().length }),
    askedFaults: () => machine.faults.asked,
    close,
    [Symbol.asyncDispose]: close,
  };
}

function withMaxAsid(profile: Profile, maxAsid: number | undefined): Profile {
  if (maxAsid === undefined) return profile;
  const { minSevAsid } = profile.memoryEncryption;
  if (!Number.isInteger(maxAsid) || maxAsid < Math.max(1, minSevAsid) || maxAsid > 0xffff) {
    throw fakelibvirtError(
      'EMULATOR_OPTION_INVALID',
      `maxAsidOverride is ${maxAsid}, expected ${minSevAsid} to 65535`,
      {
        details: { maxAsid, minSevAsid },
      },
    );
  }
  return { ...profile, memoryEncryption: { ...profile.memoryEncryption, maxAsid } };
}

function withSnp(profile: Profile, esBesideSnp: EmulatedHostOptions['esBesideSnp']): Profile {
  if (esBesideSnp === undefined) return profile;
  const kvmParameters = { ...profile.kvmParameters, sevSnp: 'Y' };
  return { ...profile, kvmParameters, takesEsBesideSnp: esBesideSnp === 'taken' };
}

function checkedFaults(faults: readonly string[]): FaultSwitches {
  for (const fault of faults) {
    if (!isFaultId(fault)) {
      throw fakelibvirtError('EMULATOR_FAULT_UNKNOWN', `no fault '${fault}' in the catalogue`, { details: { fault } });
    }
  }
  return new FaultSwitches(faults.filter(isFaultId));
}
