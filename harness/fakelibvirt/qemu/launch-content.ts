import type { Profile } from '../profiles/profile.ts';
import type { DomainDefinition } from '../state/domain-xml/definition.ts';
import { requiresEs } from '../state/domain-xml/launch-security.ts';
import { attribute, child, find, text } from '../state/xml/tree.ts';
import { type BootBlobs, kernelHashTable } from './kernel-hashes.ts';
import { type FirmwareArea, readFirmwareTable } from './ovmf-table.ts';
import { BOOT_EIP, cpuSignature, resetVmsa } from './vmsa.ts';

/** Where a guest's files come from: the host's file system. */
export interface HostImages {
  firmware(path: string): Uint8Array;
  file(path: string): Uint8Array;
}

/** What QEMU puts into a guest before its first instruction, in the order in which it does. */
export interface LaunchContent {
  /** Ends at 4 GiB. */
  readonly flash: Uint8Array | undefined;
  readonly hashes: { readonly address: number; readonly bytes: Uint8Array } | undefined;
  /** One page per vCPU of a SEV-ES guest. */
  readonly vmsas: readonly Uint8Array[];
  /** The area that the firmware names; base 0 where it says that it has none. */
  readonly secretArea: FirmwareArea | undefined;
  /** The one for kernel hashes, likewise. */
  readonly hashesArea: FirmwareArea | undefined;
  /** A kernel for direct boot, with what goes with it. */
  readonly boot: BootBlobs | undefined;
  readonly cmdline: string;
}

/** Of a machine that nothing was put into. */
export const NO_CONTENT: LaunchContent = {
  flash: undefined,
  hashes: undefined,
  vmsas: [],
  secretArea: undefined,
  hashesArea: undefined,
  boot: undefined,
  cmdline: '',
};

const FLASH_SECTOR_BYTES = 4096;
const MAX_FLASH_BYTES = 8 * 1024 * 1024;

/** CPUID family, model and stepping of QEMU's models that can have SEV-ES (target/i386/cpu.c); others are as qemu64. */
const MODELS: Readonly<Record<string, readonly [number, number, number]>> = {
  EPYC: [23, 1, 2],
  'EPYC-IBPB': [23, 1, 2],
  'EPYC-Rome': [23, 49, 0],
  'EPYC-Milan': [25, 1, 1],
  'EPYC-Genoa': [25, 17, 0],
  'EPYC-Turin': [26, 0, 0],
};
const QEMU64: readonly [number, number, number] = [15, 107, 1];

/** What one guest is made of, or the words with which QEMU refuses. */
export function launchContent(
  definition: DomainDefinition,
  profile: Profile,
  images: HostImages,
): LaunchContent | { readonly refused: string } {
  const { loader, launchSecurity, tree, kernelPath, vcpus } = definition;
  const flash = loader === undefined ? undefined : images.firmware(loader.path);
  const size = flash?.length ?? FLASH_SECTOR_BYTES;
  if (size === 0 || size % FLASH_SECTOR_BYTES !== 0 || size > MAX_FLASH_BYTES) {
    return { refused: `system firmware block device pflash0 has invalid size ${size}` };
  }
  const table = flash ? readFirmwareTable(flash) : {};
  const os = child(tree, 'os');
  const cmdline = text(child(os ?? tree, 'cmdline')) ?? '';
  const isSev = launchSecurity?.type === 'sev';
  const wantsHashes = isSev && launchSecurity.kernelHashes === 'yes' && kernelPath !== undefined;
  if (wantsHashes && !table.hashes) {
    return { refused: 'SEV: kernel specified but guest firmware has no hashes table GUID' };
  }
  if (wantsHashes && !isHashesAreaUsable(table.hashes, definition)) {
    const { base = 0, size: bytes = 0 } = table.hashes ?? {};
    const where = `(base=0x${base.toString(16)} size=0x${bytes.toString(16)})`;
    return { refused: `SEV: guest firmware hashes table area is invalid ${where}` };
  }
  const isEs = isSev && requiresEs(launchSecurity);
  if (isEs && flash && table.resetEip === undefined) {
    return { refused: 'SEV information block/Firmware GUID Table block not found in pflash rom' };
  }
  if (isEs && table.resetEip === 0) return { refused: 'SEV-ES reset address is zero' };
  const initrd = text(child(os ?? tree, 'initrd'));
  const boot =
    kernelPath === undefined
      ? undefined
      : {
          kernel: images.file(kernelPath),
          initrd: initrd ? images.file(initrd) : new Uint8Array(),
          cmdline: new TextEncoder().encode(`${cmdline}\0`),
        };
  const eip = (vcpu: number) => (vcpu === 0 ? BOOT_EIP : (table.resetEip ?? BOOT_EIP));
  const signature = guestSignature(definition, profile);
  return {
    flash,
    hashes: wantsHashes && boot ? { address: table.hashes?.base ?? 0, bytes: kernelHashTable(boot) } : undefined,
    vmsas: isEs ? Array.from({ length: vcpus }, (_, vcpu) => resetVmsa(eip(vcpu), signature)) : [],
    secretArea: table.secret,
    hashesArea: table.hashes,
    boot,
    cmdline,
  };
}

/** QEMU needs room for the table and an address; ours also RAM at that place. */
function isHashesAreaUsable(area: FirmwareArea | undefined, { memoryKiB }: DomainDefinition): boolean {
  return area !== undefined && area.base !== 0 && area.size >= 168 && area.base + area.size <= memoryKiB * 1024;
}

function guestSignature({ tree }: DomainDefinition, { cpu }: Profile): number {
  const mode = attribute(child(tree, 'cpu'), 'mode');
  if (mode === 'host-passthrough' || mode === 'maximum') return cpuSignature(cpu.family, cpu.model, cpu.stepping);
  const model = mode === 'host-model' ? cpu.libvirtModel : (text(find(tree, 'cpu', 'model')) ?? '');
  return cpuSignature(...(MODELS[model] ?? QEMU64));
}
