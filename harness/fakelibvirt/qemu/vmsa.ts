export const VMSA_BYTES = 4096;
/** Where the boot processor starts. */
export const BOOT_EIP = 0xffff_fff0;

interface SegmentState {
  readonly selector?: number;
  readonly attributes?: number;
  readonly limit?: number;
  readonly base?: number;
}

const DATA: SegmentState = { attributes: 0x93, limit: 0xffff };

/**
 * The registers of a vCPU after reset as KVM_SEV_ES_INIT has them encrypted (QEMU target/i386/cpu.c, x86_cpu_reset_hold;
 * Linux arch/x86/kvm/svm/sev.c, sev_es_sync_vmsa). With KVM_SEV_INIT2, which no emulated host uses for SEV-ES, MXCSR and
 * FCW would be set as well.
 */
export function resetVmsa(eip: number, cpuSignature: number): Uint8Array {
  const page = Buffer.alloc(VMSA_BYTES);
  const codeBase = (eip & 0xffff_0000) >>> 0;
  const segments: readonly SegmentState[] = [
    DATA,
    { selector: 0xf000, attributes: 0x9b, limit: 0xffff, base: codeBase },
    DATA,
    DATA,
    DATA,
    DATA,
    { limit: 0xffff },
    { attributes: 0x82, limit: 0xffff },
    { limit: 0xffff },
    { attributes: 0x8b, limit: 0xffff },
  ];
  for (const [index, { selector = 0, attributes = 0, limit = 0, base = 0 }] of segments.entries()) {
    const at = index * 16;
    page.writeUInt16LE(selector, at);
    page.writeUInt16LE(attributes, at + 2);
    page.writeUInt32LE(limit, at + 4);
    page.writeBigUInt64LE(BigInt(base), at + 8);
  }
  const registers: readonly (readonly [offset: number, value: bigint])[] = [
    [0x0d0, 0x1000n], // EFER: SVME
    [0x148, 0x40n], // CR4: MCE
    [0x158, 0x10n], // CR0: ET
    [0x160, 0x400n], // DR7
    [0x168, 0xffff_0ff0n], // DR6
    [0x170, 0x2n], // RFLAGS
    [0x178, BigInt(eip & 0xffff)], // RIP
    [0x268, 0x0007_0406_0007_0406n], // G_PAT
    [0x310, BigInt(cpuSignature)], // RDX
    [0x3e8, 0x1n], // XCR0
  ];
  for (const [offset, value] of registers) page.writeBigUInt64LE(value, offset);
  return new Uint8Array(page);
}

/** CPUID leaf 1 EAX (AMD APM volume 3, section E.3.2). */
export function cpuSignature(family: number, model: number, stepping: number): number {
  const extended = Math.max(0, family - 0xf) << 20;
  return extended | ((model >> 4) << 16) | (Math.min(family, 0xf) << 8) | ((model & 0xf) << 4) | stepping;
}
