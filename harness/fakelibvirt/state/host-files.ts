import path from 'node:path';
import { concatBytes } from '../../../core/bytes.ts';
import { describedProcessor, loggedPlatform } from '../faults/platform-lies.ts';
import { cpuidLeaf } from '../kernel/cpuid.ts';
import { formatCpuinfo } from '../kernel/cpuinfo.ts';
import type { ErrnoName } from '../kernel/errno.ts';
import { formatKernelLog, kernelCommandLine } from '../kernel/log.ts';
import { readProcessMemory } from '../memory/process-memory.ts';
import { INVENTORY_FILES } from './host-inventory.ts';
import { freeMemoryKiB, memoryFile } from './host-memory.ts';
import { AMD_SEV_LOADER, bootFiles, OFFERED_LOADERS } from './host-paths.ts';
import type { Machine } from './machine.ts';
import { find, text } from './xml/tree.ts';

export type HostReading =
  | { readonly ok: true; readonly content: Uint8Array }
  | { readonly ok: false; readonly errno: ErrnoName };

const CPUID_RECORD_BYTES = 16;

/** Files whose text does not depend on what runs. */
type FileText = (machine: Machine) => string | undefined;

const FILES: Readonly<Record<string, FileText>> = {
  '/proc/cpuinfo': (machine) => formatCpuinfo(describedProcessor(machine)),
  '/proc/cmdline': ({ profile }) => kernelCommandLine(profile),
  '/proc/version': ({ profile }) =>
    `Linux version ${profile.kernel} (debian-kernel@lists.debian.org) #1 SMP PREEMPT_DYNAMIC\n`,
  '/proc/sys/kernel/osrelease': ({ profile }) => `${profile.kernel}\n`,
  '/proc/sys/kernel/hostname': ({ profile }) => `emulated-${profile.name}\n`,
  '/proc/meminfo': (machine) =>
    `MemTotal:       ${machine.profile.memoryKiB} kB\nMemAvailable:   ${freeMemoryKiB(machine)} kB\nSwapTotal:      0 kB\n`,
  '/proc/sys/vm/overcommit_memory': () => '0\n',
  '/etc/os-release': ({ profile }) => `PRETTY_NAME="${profile.osRelease}"\n`,
  '/etc/machine-id': ({ hostUuid }) => `${hostUuid.replaceAll('-', '')}\n`,
  '/sys/module/kvm_amd/parameters/sev': ({ profile }) => `${profile.kvmParameters.sev}\n`,
  '/sys/module/kvm_amd/parameters/sev_es': ({ profile }) => `${profile.kvmParameters.sevEs}\n`,
  '/sys/module/kvm_amd/parameters/sev_snp': ({ profile }) =>
    profile.kvmParameters.sevSnp === undefined ? undefined : `${profile.kvmParameters.sevSnp}\n`,
  '/sys/fs/cgroup/misc.capacity': ({ kvm }) => kvm.misc.formatCapacity(),
  '/sys/fs/cgroup/misc.current': ({ kvm }) => kvm.misc.formatCurrent(),
  '/var/log/dmesg': (machine) =>
    formatKernelLog(loggedPlatform(machine)) + machine.kernelLog.map((line) => `${line}\n`).join(''),
};

/** `pread` of a file of the emulated host, with the errno that Linux gives; at most `length` bytes from `offset`. */
export function readHostFile(machine: Machine, filePath: string, offset: number, length: number): HostReading {
  const normal = path.posix.normalize(filePath).replace(/^\/var\/run\//, '/run/');
  if (!normal.startsWith('/')) return { ok: false, errno: 'ENOENT' };
  if (normal === '/dev/cpu/0/cpuid') return readCpuid(machine, offset, length);
  // The character device is there or not; it has no read operation.
  if (normal === '/dev/sev') return { ok: false, errno: hasSevDevice(machine) ? 'EINVAL' : 'ENOENT' };
  const memory = readProcessMemory(machine, normal, offset, length);
  if (memory !== undefined) return memory;
  const dump = machine.dumps.get(normal);
  if (dump !== undefined) return { ok: true, content: dump.read(offset, length) };
  const words = Object.hasOwn(FILES, normal)
    ? FILES[normal]?.(machine)
    : (INVENTORY_FILES[normal]?.(machine.profile, hasSevDevice(machine)) ??
      guestFile(machine, normal) ??
      memoryFile(machine, normal) ??
      machine.ksm.file(normal));
  const bytes = words === undefined ? binaryFile(machine, normal) : new TextEncoder().encode(words);
  if (bytes === undefined) return { ok: false, errno: 'ENOENT' };
  return { ok: true, content: bytes.slice(offset, offset + length) };
}

/** The cpuid driver: the offset is the leaf, a record is EAX EBX ECX EDX. */
function readCpuid({ profile }: Machine, leaf: number, length: number): HostReading {
  if (length % CPUID_RECORD_BYTES !== 0) return { ok: false, errno: 'EINVAL' };
  const content = new Uint8Array(Math.min(length, CPUID_RECORD_BYTES * 256));
  const view = new DataView(content.buffer);
  for (let at = 0; at < content.length; at += CPUID_RECORD_BYTES) {
    const registers = cpuidLeaf(profile, leaf + at / CPUID_RECORD_BYTES);
    registers.forEach((value, index) => {
      view.setUint32(at + index * 4, value, true);
    });
  }
  return { ok: true, content };
}

/** ccp creates it when the firmware answers, which it does not ask where the BIOS left encryption off. */
function hasSevDevice({ profile }: Machine): boolean {
  return profile.sevFirmware !== undefined && profile.obstacle !== 'off-in-bios';
}

/** Where an emulated host keeps what AMD's key server has for a real one. */
const ENDORSEMENTS_FOLDER = '/var/lib/emulated-sev';

/** What guests are made of and what QEMUs wrote: only files that a domain of this host names, or that it offers for pflash. */
function binaryFile(machine: Machine, normal: string): Uint8Array | undefined {
  if (normal === `${ENDORSEMENTS_FOLDER}/cek.cert`) {
    const cek = endorsements(machine)?.cek;
    return cek && machine.has('cek-signature-wrong') ? spoilt(cek, CEK_SIGNATURE_AT) : cek;
  }
  if (normal === `${ENDORSEMENTS_FOLDER}/ask_ark.cert`) {
    const made = endorsements(machine);
    if (made === undefined) return undefined;
    const ark = machine.has('ark-signature-wrong') ? spoilt(made.ark, made.ark.length - 1) : made.ark;
    return concatBytes(made.ask, ark);
  }
  const definitions = machine.domains.all().flatMap(({ current }) => current ?? []);
  const isInstalled = normal === AMD_SEV_LOADER || OFFERED_LOADERS.includes(normal);
  if (isInstalled || definitions.some(({ loader }) => loader?.path === normal)) {
    return machine.images.firmware(normal);
  }
  const isBooted = definitions.some(
    ({ kernelPath, tree }) => kernelPath === normal || text(find(tree, 'os', 'initrd')) === normal,
  );
  const isInBoot = bootFiles(machine.profile.kernel).some((name) => normal === `/boot/${name}`);
  return isBooted || isInBoot ? machine.images.file(normal) : undefined;
}

/** First byte of the signature in the first slot of a SEV certificate (SEV API, appendix C.1). */
const CEK_SIGNATURE_AT = 0x41c;

function spoilt(certificate: Uint8Array, at: number): Uint8Array {
  return certificate.map((byte, index) => (index === at ? byte ^ 1 : byte));
}

function endorsements(machine: Machine) {
  return hasSevDevice(machine) ? machine.sevDriver.processor.endorsements() : undefined;
}

function guestFile(machine: Machine, normal: string): string | undefined {
  const pidFile = /^\/run\/libvirt\/qemu\/(.+)\.pid$/.exec(normal)?.[1];
  if (pidFile !== undefined) {
    const domain = machine.domains.all().find((one) => one.name === pidFile);
    return domain?.live && `${domain.live.qemu.pid}\n`;
  }
  const log = /^\/var\/log\/libvirt\/qemu\/(.+)\.log$/.exec(normal)?.[1];
  return log === undefined ? undefined : machine.qemuLogs.get(log);
}
