import type { Host } from '../../host/host.ts';
import type { Domain } from '../../libvirt/index.ts';
import type { MemoryRange } from './extents.ts';
import type { ReadableMemory } from './scan.ts';

/** A guest whose memory is to be read. */
export interface MemoryTarget {
  readonly host: Host;
  readonly name: string;
  readonly domain: Domain;
  /** Its RAM in guest-physical addresses. */
  readonly ram: readonly MemoryRange[];
}

/** A guest's memory by one way of reading, until it is disposed of. */
export interface OpenMemory extends ReadableMemory, AsyncDisposable {}

/** The memory, or why this way does not lead to it. */
export type Opening = OpenMemory | { readonly outOfReach: string };

const MiB = 2 ** 20;
/** PC_Q35 of QEMU's hw/i386/pc_q35.c: from 2816 MiB on, RAM below 4 GiB ends at 2 GiB and the rest stands above. */
const SPLIT_FROM_BYTES = 2816 * MiB;
const LOW_BYTES = 2048 * MiB;
const ABOVE = 4096 * MiB;

/** Where QEMU puts the RAM of a q35 machine, which all our guests are. */
export function ramOfQ35(bytes: number): MemoryRange[] {
  if (bytes < SPLIT_FROM_BYTES) return [{ guestAddress: 0, bytes }];
  return [
    { guestAddress: 0, bytes: LOW_BYTES },
    { guestAddress: ABOVE, bytes: bytes - LOW_BYTES },
  ];
}

/** What reading needs to know of a running guest. */
export async function memoryTarget(host: Host, domain: Domain): Promise<MemoryTarget> {
  const { maxMemoryKiB } = await domain.info();
  return { host, name: domain.name, domain, ram: ramOfQ35(Number(maxMemoryKiB) * 1024) };
}
