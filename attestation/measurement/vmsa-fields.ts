/** One register of a VMSA page: its name in Linux, its offset and its size in bytes. */
export interface VmsaField {
  readonly name: string;
  readonly offset: number;
  readonly size: 1 | 2 | 4 | 8;
}

export const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'gdtr', 'ldtr', 'idtr', 'tr'] as const;
export type Segment = (typeof SEGMENTS)[number];
export const SEGMENT_BYTES = 16;

/**
 * Registers that a VMSA holds, apart from the ten segments at its start.
 *
 * Source: AMD APM volume 2, appendix B, table B-4; Linux arch/x86/include/asm/svm.h, struct sev_es_save_area.
 */
const REGISTERS = [
  ['cpl', 0xcb, 1],
  ['efer', 0xd0, 8],
  ['xss', 0x140, 8],
  ['cr4', 0x148, 8],
  ['cr3', 0x150, 8],
  ['cr0', 0x158, 8],
  ['dr7', 0x160, 8],
  ['dr6', 0x168, 8],
  ['rflags', 0x170, 8],
  ['rip', 0x178, 8],
  ['rsp', 0x1d8, 8],
  ['rax', 0x1f8, 8],
  ['star', 0x200, 8],
  ['lstar', 0x208, 8],
  ['cstar', 0x210, 8],
  ['sfmask', 0x218, 8],
  ['kernel_gs_base', 0x220, 8],
  ['sysenter_cs', 0x228, 8],
  ['sysenter_esp', 0x230, 8],
  ['sysenter_eip', 0x238, 8],
  ['cr2', 0x240, 8],
  ['g_pat', 0x268, 8],
  ['dbgctl', 0x270, 8],
  ['br_from', 0x278, 8],
  ['br_to', 0x280, 8],
  ['last_excp_from', 0x288, 8],
  ['last_excp_to', 0x290, 8],
  ['spec_ctrl', 0x2e0, 4],
  ['pkru', 0x2e8, 4],
  ['rcx', 0x308, 8],
  ['rdx', 0x310, 8],
  ['rbx', 0x318, 8],
  ['rbp', 0x328, 8],
  ['rsi', 0x330, 8],
  ['rdi', 0x338, 8],
  ['r8', 0x340, 8],
  ['r9', 0x348, 8],
  ['r10', 0x350, 8],
  ['r11', 0x358, 8],
  ['r12', 0x360, 8],
  ['r13', 0x368, 8],
  ['r14', 0x370, 8],
  ['r15', 0x378, 8],
  ['sw_exit_code', 0x390, 8],
  ['sw_exit_info_1', 0x398, 8],
  ['sw_exit_info_2', 0x3a0, 8],
  ['sw_scratch', 0x3a8, 8],
  ['sev_features', 0x3b0, 8],
  ['vintr_ctrl', 0x3b8, 8],
  ['xcr0', 0x3e8, 8],
  ['x87_dp', 0x400, 8],
  ['mxcsr', 0x408, 4],
  ['x87_ftw', 0x40c, 2],
  ['x87_fsw', 0x40e, 2],
  ['x87_fcw', 0x410, 2],
  ['x87_fop', 0x412, 2],
  ['x87_ds', 0x414, 2],
  ['x87_cs', 0x416, 2],
  ['x87_rip', 0x418, 8],
] as const;

export type Register = (typeof REGISTERS)[number][0];

export const VMSA_REGISTERS: readonly (VmsaField & { readonly name: Register })[] = REGISTERS.map(
  ([name, offset, size]) => ({ name, offset, size }),
);
