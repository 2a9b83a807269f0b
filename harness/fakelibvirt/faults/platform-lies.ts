import type { Profile, SevFirmwareVersion } from '../profiles/profile.ts';
import type { Machine } from '../state/machine.ts';

/** Fault firmware-outdated: the last build of Naples with the invalid-curve attack, and builds before the BadRAM fix. */
const VULNERABLE_BUILD: Readonly<Record<string, number>> = { '0.17': 11, '1.55': 21 };
/** Milan's microcode before the fix of EntrySign. */
const VULNERABLE_MICROCODE = '0xa0011ce';

/** The SEV firmware that the host really runs. */
export function runningFirmware({ profile, faults }: Pick<Machine, 'profile' | 'faults'>): SevFirmwareVersion {
  const { sevFirmware: version = { apiMajor: 0, apiMinor: 0, build: 0 } } = profile;
  const old = VULNERABLE_BUILD[`${version.apiMajor}.${version.apiMinor}`];
  return old !== undefined && faults.has('firmware-outdated') ? { ...version, build: old } : version;
}

/** The host as its kernel describes it in /proc/cpuinfo. */
export function describedProcessor({ profile, faults }: Machine): Profile {
  const told = (microcodeHex: string) => ({ ...profile, cpu: { ...profile.cpu, microcodeHex } });
  if (faults.has('microcode-hidden')) return told('');
  const isMilan = profile.cpu.microcodeHex.startsWith('0xa0011');
  return isMilan && faults.has('microcode-outdated') ? told(VULNERABLE_MICROCODE) : profile;
}

/** The host as its kernel's log describes it, from the time when it booted. */
export function loggedPlatform(machine: Machine): Profile {
  const { profile } = machine;
  if (profile.sevFirmware === undefined) return profile;
  const running = runningFirmware(machine);
  const logged = machine.has('kernel-log-build-stale') ? { ...running, build: running.build - 1 } : running;
  return { ...profile, sevFirmware: logged };
}

const NOSEND = 1 << 3;

/** The policy that QEMU tells of a guest. */
export function toldPolicy(machine: Machine, policy: number): number {
  return (policy & NOSEND) !== 0 && machine.has('nosend-forgotten') ? policy & ~NOSEND : policy;
}
