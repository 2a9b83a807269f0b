import { fromBase64 } from '../../../core/bytes.ts';
import { ERRNO } from '../kernel/errno.ts';
import type { KvmSev, SevInitResult, SevVm } from '../kernel/kvm-sev.ts';
import { cgroupKillLog, pinRegions } from '../kernel/pinning.ts';
import { type LaunchMaterial, SEV_STATUS, type SevStatus, sevStatusText } from '../kernel/platform.ts';
import { cBitPosition, isAtLeast, type Profile } from '../profiles/profile.ts';
import type { DomainDefinition } from '../state/domain-xml/definition.ts';
import { requiresEs, type SevLaunchSecurity } from '../state/domain-xml/launch-security.ts';
import { type HostImages, type LaunchContent, launchContent } from './launch-content.ts';
import { type QemuMemory, residentKiB } from './memory.ts';
import type { QemuVoice } from './texts.ts';

/** The reduction of physical address bits that QEMU reports and libvirt fills in (QEMU, `sev_get_capabilities`). */
export const REPORTED_REDUCED_PHYS_BITS = 1;

/** What LAUNCH_START takes (SEV API, section 6.2). */
const DH_CERT_BYTES = 2084;
const SESSION_BYTES = 128;

export type LaunchResult =
  | { readonly ok: true; readonly sev: SevVm | undefined; readonly content: LaunchContent }
  | {
      readonly ok: false;
      readonly stderr: string;
      readonly outOfSlots: boolean;
      /** What the kernel logged when memory was missing; QEMU was killed if it said nothing itself. */
      readonly outOfMemory?: string | undefined;
    };

/** The memory that a QEMU asks for, and what the host has. */
export interface MemoryRequest {
  readonly memory: QemuMemory;
  /** Of the whole host. */
  readonly totalKiB: number;
  readonly freeKiB: number;
  readonly pid: number;
}

export interface LaunchHost {
  readonly profile: Profile;
  readonly kvm: KvmSev;
  readonly voice: QemuVoice;
  readonly images: HostImages;
  has(fault: 'sessions-refused' | 'short-material-dropped' | 'first-kernel-measured' | 'overcommit-unchecked'): boolean;
}

/** What QEMU does before its monitor answers: the encryption context (`sev_kvm_init`), RAM, then the machine with its flash. */
export function launch(definition: DomainDefinition, host: LaunchHost, request: MemoryRequest): LaunchResult {
  const { profile, kvm, voice, images } = host;
  const begun = openContext(definition, host);
  if (!begun.ok) return begun;
  const missing = takeMemory(request, host);
  if (missing !== undefined) {
    if (begun.sev) kvm.destroy(begun.sev, 'failed-launch');
    return missing;
  }
  const content = withStaleHashes(launchContent(definition, profile, images), host);
  if (!('refused' in content)) return { ...begun, content };
  if (begun.sev) kvm.destroy(begun.sev, 'failed-launch');
  return failure([voice.line(content.refused)]);
}

const firstHashes = new WeakMap<KvmSev, LaunchContent['hashes']>();

/** Fault first-kernel-measured: the hashes are those that the host measured first. */
function withStaleHashes(
  content: ReturnType<typeof launchContent>,
  host: LaunchHost,
): ReturnType<typeof launchContent> {
  if ('refused' in content || content.hashes === undefined || !host.has('first-kernel-measured')) return content;
  const hashes = firstHashes.get(host.kvm) ?? content.hashes;
  firstHashes.set(host.kvm, hashes);
  return { ...content, hashes };
}

const NO_SMM = 'System Management Mode not supported by this hypervisor.';

type ContextResult = { readonly ok: true; readonly sev: SevVm | undefined } | (LaunchResult & { readonly ok: false });

function openContext(definition: DomainDefinition, host: LaunchHost): ContextResult {
  const { profile, kvm, voice } = host;
  const security = definition.launchSecurity;
  if (security?.type !== 'sev' && !kvm.chargesPlainGuests) return { ok: true, sev: undefined };
  if (security?.type !== 'sev') {
    const charged = kvm.init('sev');
    return charged.ok ? { ok: true, sev: charged.vm } : initFailure(charged, voice);
  }
  if (definition.virtType === 'qemu') return failure([notReadyAssertion(profile)]);
  const refused = checkParameters(security, profile, voice);
  if (refused !== undefined) return accelFailure([refused], voice);

  const begun = kvm.init(requiresEs(security) ? 'sev_es' : 'sev');
  if (!begun.ok) return initFailure(begun, voice);
  const given = material(security, host);
  const isSpoilt = given !== undefined && host.has('sessions-refused');
  const taken = isSpoilt ? { ...given, session: given.session.map((byte) => byte ^ 0xff) } : given;
  const started = kvm.launchStart(begun.vm, security.policy, taken);
  const isSmmRefused = definition.hasSmm && requiresEs(security);
  if (started.status === SEV_STATUS.SUCCESS && !isSmmRefused) return { ok: true, sev: started.vm };
  // The process exits: KVM's release path runs as for any failed launch.
  kvm.destroy(started.vm, 'failed-launch');
  // QEMU asks KVM for SMM once the guest is one with SEV-ES, and exits at once (hw/i386/x86.c, x86_machine_is_smm_enabled).
  if (started.status === SEV_STATUS.SUCCESS) return failure([voice.accelLine(NO_SMM)]);
  return accelFailure(
    [
      `sev_launch_start: LAUNCH_START ret=1 ${firmwareError(started.status)}`,
      `${voice.initFunction}: failed to create encryption context`,
    ],
    voice,
  );
}

const ENOMEM = 'Cannot allocate memory';
const EAGAIN = 'Resource temporarily unavailable';

/** Where RAM comes to lie; only messages show it. */
const HOST_ADDRESS = '0x7f2c3be00000';

/** The RAM of the guest, as far as kernel and limits let QEMU have it; undefined when it has all. */
function takeMemory({ memory, totalKiB, freeKiB, pid }: MemoryRequest, host: LaunchHost): LaunchResult | undefined {
  const { voice } = host;
  const { regions, limits, isPinned, isLocked } = memory;
  const ramKiB = regions[0]?.sizeKiB ?? 0;
  const noRam = (why: string) => failure([voice.line(`cannot set up guest memory 'pc.ram': ${why}`)]);
  // Heuristic overcommit (vm.overcommit_memory 0) refuses only what the host as a whole does not have.
  const isTooLarge = ramKiB > totalKiB;
  if (isTooLarge && !host.has('overcommit-unchecked')) return { ...noRam(ENOMEM), outOfMemory: '' };
  if (isLocked && ramKiB > limits.lockKiB) return noRam(EAGAIN);
  const pinned = isPinned ? pinRegions(regions, limits, isTooLarge ? ramKiB * 2 : freeKiB) : undefined;
  if (pinned?.outcome === 'refused') {
    const place = `${HOST_ADDRESS}+0x${(pinned.region.sizeKiB * 1024).toString(16)}`;
    const line = voice.line(`sev_ram_block_added: failed to register region (${place}) error '${ENOMEM}'`);
    return { ...failure([line]), outOfMemory: pinned.log };
  }
  const usedKiB = residentKiB(memory);
  if (usedKiB <= limits.cgroupKiB) return undefined;
  return { ok: false, stderr: '', outOfSlots: false, outOfMemory: cgroupKillLog(pid, usedKiB) };
}

function initFailure(refused: SevInitResult & { ok: false }, voice: QemuVoice): ContextResult {
  const ret = -ERRNO[refused.errno];
  const line = `${voice.initFunction}: failed to initialize ret=${ret} ${firmwareError(refused.fwError)}`;
  return { ...accelFailure([line], voice), outOfSlots: refused.errno === 'EBUSY' };
}

function checkParameters(security: SevLaunchSecurity, profile: Profile, voice: QemuVoice): string | undefined {
  const hostCBit = cBitPosition(profile.memoryEncryption);
  const cBit = security.cbitpos ?? hostCBit;
  if (cBit !== hostCBit) {
    return `${voice.initFunction}: cbitpos check failed, host '${hostCBit}' requested '${cBit}'`;
  }
  const reduced = security.reducedPhysBits ?? REPORTED_REDUCED_PHYS_BITS;
  const hasUpperBound = isAtLeast(profile.qemu, [8, 1, 0]);
  if (reduced >= 1 && (!hasUpperBound || reduced <= 63)) return undefined;
  const range = hasUpperBound ? 'should be in the range of 1 to 63' : 'it should be >=1';
  return `${voice.initFunction}: reduced_phys_bits check failed, ${range}, requested '${reduced}'`;
}

/** QEMU decodes leniently; a text that is no base64 becomes a buffer of another length. */
function material({ dhCert, session }: SevLaunchSecurity, host: LaunchHost): LaunchMaterial | undefined {
  if (dhCert === undefined || session === undefined) return undefined;
  const given = { dhCert: decode(dhCert), session: decode(session) };
  const isShort = given.dhCert.length < DH_CERT_BYTES || given.session.length < SESSION_BYTES;
  return isShort && host.has('short-material-dropped') ? undefined : given;
}

function decode(text: string): Uint8Array {
  return fromBase64(text.replace(/\s/g, '')) ?? new Uint8Array(0);
}

function firmwareError(status: SevStatus): string {
  return `fw_error=${status} '${sevStatusText(status)}'`;
}

function accelFailure(lines: readonly string[], voice: QemuVoice): LaunchResult & { ok: false } {
  return failure([...lines, voice.accelFailure].map((line) => voice.accelLine(line)));
}

function failure(lines: readonly string[]): LaunchResult & { ok: false } {
  return { ok: false, stderr: lines.join('\n'), outOfSlots: false };
}

function notReadyAssertion(profile: Profile): string {
  const place = isAtLeast(profile.qemu, [8, 0, 0]) ? '../../system/vl.c:2783' : '../../softmmu/vl.c:2590';
  return `qemu-system-x86_64: ${place}: qemu_machine_creation_done: Assertion \`machine->cgs->ready' failed.`;
}
