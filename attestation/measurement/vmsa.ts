import { attestationError } from '../errors.ts';
import { integerInRange } from './range.ts';
import { type Register, SEGMENT_BYTES, SEGMENTS, type Segment, VMSA_REGISTERS, type VmsaField } from './vmsa-fields.ts';

export const VMSA_BYTES = 4096;
/** Where an x86 CPU starts after reset, and so the boot vCPU of each guest. */
export const BSP_RESET_EIP = 0xffff_fff0;
/** SEV_FEATURES bit 0: set in each page of a SEV-SNP guest. */
export const SNP_ACTIVE = 0x1;
/**
 * SEV_FEATURES bit 5. Linux before 6.10 sets it in each SEV-ES guest where kvm_amd.debug_swap is on, which is the default of
 * 6.6 to 6.6.23 and 6.7 to 6.7.11 only (commit 5abf6dceb066, in 6.8); later ones set it where QEMU asks for it.
 */
export const DEBUG_SWAP = 0x20;

/**
 * How the kernel fills the FPU fields: `legacy` leaves MXCSR and FCW zero (KVM_SEV_ES_INIT: each kernel before 6.10,
 * each QEMU before 9.1, machine types up to 9.0), `init2` writes their reset values (KVM_SEV_INIT2: SEV-SNP always,
 * SEV-ES with `legacy-vm-type=off`).
 */
export type VmsaForm = 'legacy' | 'init2';

/** Who made the guest: the reset state of a vCPU is the choice of the VMM. */
export type Vmm = 'qemu' | 'ec2' | 'ec2-2023' | 'gce';

export interface VmsaSpec {
  /** Where the vCPU starts; 0xfffffff0 for the boot vCPU. */
  readonly resetEip: number;
  /** CPUID leaf 1 EAX of the guest's CPU model. */
  readonly cpuSignature: number;
  readonly form: VmsaForm;
  /** 0 for SEV-ES; `SNP_ACTIVE` for SEV-SNP; plus `DEBUG_SWAP`. */
  readonly sevFeatures?: number;
  readonly vmm?: Vmm;
}

export interface VmsaSegment {
  readonly selector: number;
  readonly attrib: number;
  readonly limit: number;
  readonly base: bigint;
}

export interface DecodedVmsa {
  readonly segments: Readonly<Record<Segment, VmsaSegment>>;
  readonly registers: Readonly<Record<Register, bigint>>;
  /** Offsets of bytes that are not zero and belong to no register above. */
  readonly unknownNonZeroOffsets: readonly number[];
}

const G_PAT = 0x0007_0406_0007_0406n;
const MXCSR_RESET = 0x1f80;
const FCW_RESET = 0x37f;

/** The page itself, copied. Error: `VMSA_MALFORMED` when it is not 4096 bytes. */
export function parseVmsa(page: Uint8Array): Uint8Array {
  if (page.length !== VMSA_BYTES) {
    throw attestationError('VMSA_MALFORMED', `VMSA page must be ${VMSA_BYTES} bytes, is ${page.length}`, {
      details: { expectedBytes: VMSA_BYTES, actualBytes: page.length },
    });
  }
  return new Uint8Array(page);
}

/**
 * The page that KVM measures for one vCPU at reset.
 *
 * Error: `LAUNCH_INPUT_INVALID`. Sources: QEMU target/i386/cpu.c x86_cpu_reset_hold, Linux arch/x86/kvm/svm/sev.c
 * sev_es_sync_vmsa; for EC2 and GCE the values that virtee/sev-snp-measure established.
 */
export function buildVmsa(spec: VmsaSpec): Uint8Array {
  const eip = integerInRange('reset EIP', spec.resetEip, 0, 0xffff_ffff);
  const signature = integerInRange('CPU signature', spec.cpuSignature, 0, 0xffff_ffff);
  const features = integerInRange('SEV_FEATURES', spec.sevFeatures ?? 0, 0, 0xffff_ffff);
  const vmm = spec.vmm ?? 'qemu';
  const isBsp = eip === BSP_RESET_EIP;
  const isEc2 = vmm === 'ec2' || vmm === 'ec2-2023';
  const page = new Uint8Array(VMSA_BYTES);

  const data = { attrib: 0x93, limit: 0xffff };
  writeSegment(page, 'es', data);
  writeSegment(page, 'cs', {
    selector: 0xf000,
    attrib: isEc2 && isBsp ? 0x9a : 0x9b,
    limit: 0xffff,
    base: (eip & 0xffff_0000) >>> 0,
  });
  writeSegment(page, 'ss', isEc2 ? { ...data, attrib: 0x92 } : data);
  writeSegment(page, 'ds', data);
  writeSegment(page, 'fs', data);
  writeSegment(page, 'gs', data);
  writeSegment(page, 'gdtr', { limit: 0xffff });
  writeSegment(page, 'ldtr', { attrib: 0x82, limit: 0xffff });
  writeSegment(page, 'idtr', { limit: 0xffff });
  writeSegment(page, 'tr', { attrib: isEc2 ? 0x83 : 0x8b, limit: 0xffff });

  writeRegister(page, 'efer', 0x1000);
  writeRegister(page, 'cr4', 0x40);
  writeRegister(page, 'cr0', 0x10);
  writeRegister(page, 'dr7', 0x400);
  writeRegister(page, 'dr6', 0xffff_0ff0);
  writeRegister(page, 'rflags', 2);
  writeRegister(page, 'rip', eip & 0xffff);
  writeRegister(page, 'g_pat', vmm === 'gce' ? 0x0007_0106 : G_PAT);
  writeRegister(page, 'rdx', vmm === 'qemu' ? signature : vmm === 'ec2-2023' ? 0 : 0x600);
  writeRegister(page, 'xcr0', 1);
  return patchVmsa(page, { sevFeatures: features, form: vmm === 'qemu' ? spec.form : 'legacy' });
}

/**
 * The page of a vCPU that starts in a Coconut SVSM image: 32-bit protected mode with flat segments.
 *
 * GS keeps its reset value. Error: `LAUNCH_INPUT_INVALID`. Source: virtee/sev-snp-measure, vmsa.py, confirmed by the
 * measurement of a real host that its repository records.
 */
export function buildSvsmVmsa(spec: Pick<VmsaSpec, 'resetEip' | 'cpuSignature' | 'form'>): Uint8Array {
  const page = buildVmsa({ ...spec, sevFeatures: SNP_ACTIVE });
  const data = { selector: 0x10, attrib: 0xc93, limit: 0xffff_ffff };
  for (const name of ['es', 'ss', 'ds', 'fs'] as const) writeSegment(page, name, data);
  writeSegment(page, 'cs', { selector: 8, attrib: 0xc9b, limit: 0xffff_ffff });
  writeRegister(page, 'cr0', 0x11);
  writeRegister(page, 'rip', spec.resetEip);
  return page;
}

/** Those parts of a reset page that differ between hosts. */
export interface VmsaPatch {
  readonly cpuSignature?: number;
  readonly form?: VmsaForm;
  readonly sevFeatures?: number;
  readonly resetEip?: number;
}

/** A copy of a page with some of the host's choices replaced. */
export function patchVmsa(original: Uint8Array, patch: VmsaPatch): Uint8Array {
  const page = parseVmsa(original);
  if (patch.cpuSignature !== undefined) writeRegister(page, 'rdx', patch.cpuSignature);
  if (patch.sevFeatures !== undefined) writeRegister(page, 'sev_features', patch.sevFeatures);
  if (patch.form !== undefined) {
    writeRegister(page, 'mxcsr', patch.form === 'init2' ? MXCSR_RESET : 0);
    writeRegister(page, 'x87_fcw', patch.form === 'init2' ? FCW_RESET : 0);
  }
  if (patch.resetEip !== undefined) {
    writeRegister(page, 'rip', patch.resetEip & 0xffff);
    const csBase = SEGMENTS.indexOf('cs') * SEGMENT_BYTES + 8;
    viewOf(page).setBigUint64(csBase, BigInt((patch.resetEip & 0xffff_0000) >>> 0), true);
  }
  return page;
}

/** All fields of a page, for display. Error: `VMSA_MALFORMED`. */
export function decodeVmsa(page: Uint8Array): DecodedVmsa {
  const bytes = parseVmsa(page);
  const view = viewOf(bytes);
  const segments = {} as Record<Segment, VmsaSegment>;
  for (const [index, name] of SEGMENTS.entries()) {
    const at = index * SEGMENT_BYTES;
    segments[name] = {
      selector: view.getUint16(at, true),
      attrib: view.getUint16(at + 2, true),
      limit: view.getUint32(at + 4, true),
      base: view.getBigUint64(at + 8, true),
    };
  }
  const registers = {} as Record<Register, bigint>;
  bytes.fill(0, 0, SEGMENTS.length * SEGMENT_BYTES);
  for (const field of VMSA_REGISTERS) {
    registers[field.name] = readField(view, field);
    bytes.fill(0, field.offset, field.offset + field.size);
  }
  const unknownNonZeroOffsets: number[] = [];
  // Whatever is left over has no name here.
  bytes.forEach((byte, offset) => {
    if (byte !== 0) unknownNonZeroOffsets.push(offset);
  });
  return { segments, registers, unknownNonZeroOffsets };
}

const FIELDS = new Map<Register, VmsaField>(VMSA_REGISTERS.map((field) => [field.name, field]));

function writeSegment(
  page: Uint8Array,
  name: Segment,
  value: { selector?: number; attrib?: number; limit: number; base?: number },
): void {
  const view = viewOf(page);
  const at = SEGMENTS.indexOf(name) * SEGMENT_BYTES;
  view.setUint16(at, value.selector ?? 0, true);
  view.setUint16(at + 2, value.attrib ?? 0, true);
  view.setUint32(at + 4, value.limit, true);
  view.setBigUint64(at + 8, BigInt(value.base ?? 0), true);
}

function writeRegister(page: Uint8Array, name: Register, value: number | bigint): void {
  const field = FIELDS.get(name) as VmsaField;
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setBigUint64(0, BigInt(value), true);
  page.set(new Uint8Array(bytes.buffer, 0, field.size), field.offset);
}

function readField(view: DataView, { offset, size }: VmsaField): bigint {
  switch (size) {
    case 1:
      return BigInt(view.getUint8(offset));
    case 2:
      return BigInt(view.getUint16(offset, true));
    case 4:
      return BigInt(view.getUint32(offset, true));
    case 8:
      return view.getBigUint64(offset, true);
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
