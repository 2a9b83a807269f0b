import type { HostShell } from './shell.ts';

/** CPUID Fn8000_001F (AMD APM volume 3, section E.4.17), bit by bit. */
export interface EncryptionLeaf {
  readonly sme: boolean;
  readonly sev: boolean;
  readonly sevEs: boolean;
  readonly sevSnp: boolean;
  readonly vmpls: number;
  readonly cbitpos: number;
  readonly reducedPhysBits: number;
  /** ECX: number of encrypted guests supported at once. */
  readonly maxAsid: number;
  /** EDX: lowest ASID of a guest with SEV and without SEV-ES. */
  readonly minSevAsid: number;
}

/** `absent`: the processor has no such leaf. `unknown`: nobody may ask it. */
export type EncryptionLeafReading =
  | { readonly outcome: 'read'; readonly value: EncryptionLeaf }
  | { readonly outcome: 'absent' | 'unknown'; readonly because: string };

type Registers = readonly [eax: number, ebx: number, ecx: number, edx: number];

const CPUID_DEVICE = '/dev/cpu/0/cpuid';
const LARGEST_EXTENDED_LEAF = 0x80000000;
const ENCRYPTION_LEAF = 0x8000001f;

/**
 * The leaf only where the processor has it: beyond the largest leaf Intel processors answer with another leaf's numbers
 * (Intel SDM, CPUID), which must not be taken for SEV.
 */
export async function readEncryptionLeaf(shell: HostShell): Promise<EncryptionLeafReading> {
  const [largest, leaf] = await Promise.all([readLeaf(shell, LARGEST_EXTENDED_LEAF), readLeaf(shell, ENCRYPTION_LEAF)]);
  if (typeof leaf === 'string') return { outcome: 'unknown', because: leaf };
  if (typeof largest === 'string') return { outcome: 'unknown', because: largest };
  if (largest[0] < ENCRYPTION_LEAF)
    return { outcome: 'absent', because: `the processor's largest CPUID leaf is 0x${largest[0].toString(16)}` };
  return { outcome: 'read', value: parseEncryptionLeaf(leaf) };
}

/** The registers, or why there are none: the cpuid driver (cpuid(4)) takes the leaf as file offset. */
async function readLeaf(shell: HostShell, leaf: number): Promise<Registers | string> {
  const reading = await shell.readFile(CPUID_DEVICE, { offset: leaf, length: 16 });
  if (reading.outcome === 'absent') return `${CPUID_DEVICE} does not exist ('modprobe cpuid' makes it)`;
  if (reading.outcome === 'unreadable') return `${CPUID_DEVICE}: ${reading.because}`;
  return parseRegisters(reading.bytes) ?? `${CPUID_DEVICE} gave ${reading.bytes.length} bytes`;
}

/** EAX, EBX, ECX and EDX, little-endian; undefined when the bytes are fewer. */
export function parseRegisters(bytes: Uint8Array): Registers | undefined {
  if (bytes.length < 16) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
  return [view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true), view.getUint32(12, true)];
}

export function parseEncryptionLeaf([eax, ebx, ecx, edx]: Registers): EncryptionLeaf {
  return {
    sme: (eax & 0x01) !== 0,
    sev: (eax & 0x02) !== 0,
    sevEs: (eax & 0x08) !== 0,
    sevSnp: (eax & 0x10) !== 0,
    cbitpos: ebx & 0x3f,
    reducedPhysBits: (ebx >>> 6) & 0x3f,
    vmpls: (ebx >>> 12) & 0xf,
    maxAsid: ecx,
    minSevAsid: edx,
  };
}
