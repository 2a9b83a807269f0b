import { errorText, isSevHarnessError } from '../../../core/errors.ts';
import { findQemu } from '../../host/qemu-process.ts';
import type { FileReading, HostShell } from '../../host/shell.ts';
import { isRemoteError } from '../../libvirt/index.ts';
import { ELF_HEADER_BYTES, loadSegments, programHeadersOf } from './elf-core.ts';
import { guestMemoryError } from './errors.ts';
import { type FileExtent, fileOffsetOf, type MemoryRange, totalBytes } from './extents.ts';
import { mappingsOfSize } from './process-mappings.ts';
import { removeFile, scratchFile } from './scratch-file.ts';
import type { MemoryTarget, Opening, OpenMemory } from './target.ts';

const MiB = 2 ** 20;
const PAGE_BYTES = 4096;
/** REMOTE_DOMAIN_MEMORY_PEEK_BUFFER_MAX, and what one read of the host shell carries. */
const WINDOW_BYTES = 4 * MiB;
/** QEMU stands still while it writes one. */
const PMEMSAVE_WINDOW_BYTES = 64 * MiB;

export type RouteId = 'process-memory' | 'pmemsave' | 'memory-peek' | 'core-dump';

/** A way in which a host reads its guest's memory. */
export interface Route {
  readonly id: RouteId;
  readonly title: string;
  /** What it shows of a guest with SEV or SEV-ES. */
  readonly onSev: string;
  /** What it can and cannot show of a guest with SEV-SNP. */
  readonly onSnp: string;
  /** A refusal of the host is a value. Throws what the connection throws. */
  open(target: MemoryTarget): Promise<Opening>;
}

/**
 * Linux, Documentation/virt/kvm/api.rst, KVM_CREATE_GUEST_MEMFD: a guest_memfd cannot be mapped. That pmemsave then shows zeros is
 * what users report (AMDESE/AMDSEV, issue 147).
 */
const SNP_QEMU_SIDE =
  'reads what QEMU has mapped. Private pages are in guest_memfd, which QEMU does not map: their place reads as zeros, so that a canary that is not found says nothing about encryption. Shared pages are shown as they are.';

/** The fastest first. */
export const routes: readonly Route[] = [
  {
    id: 'process-memory',
    title: '/proc/PID/mem of the QEMU process',
    onSev:
      'shows DRAM as the host reads it, without the C-bit: ciphertext of private pages, plain text of shared ones.',
    onSnp: SNP_QEMU_SIDE,
    open: openProcessMemory,
  },
  {
    id: 'pmemsave',
    title: "QEMU's pmemsave",
    onSev: 'shows the same DRAM through the same mapping, by guest-physical address.',
    onSnp: SNP_QEMU_SIDE,
    open: openPmemsave,
  },
  {
    id: 'memory-peek',
    title: "libvirt's memory peek",
    onSev: 'is pmemsave into a file of libvirt, and shows what that shows.',
    onSnp: SNP_QEMU_SIDE,
    open: openPeek,
  },
  {
    id: 'core-dump',
    title: 'dump --memory-only',
    onSev: 'shows the same DRAM as an ELF file; on SEV-ES its registers are not those of the guest.',
    onSnp: SNP_QEMU_SIDE,
    open: openCoreDump,
  },
];

async function openProcessMemory({ host, name, ram }: MemoryTarget): Promise<Opening> {
  const found = await findQemu(host, name);
  if ('outOfReach' in found) return found;
  const folder = `/proc/${found.pid}`;
  const maps = await host.shell.readFile(`${folder}/maps`);
  if (maps.outcome !== 'read') return { outOfReach: whyNot(maps, `${folder}/maps`) };
  const ramBytes = totalBytes(ram);
  const [mapping, other] = mappingsOfSize(Buffer.from(maps.bytes).toString(), ramBytes);
  if (mapping === undefined || other !== undefined) {
    const count = mapping === undefined ? 'no mapping' : 'more than one mapping';
    return { outOfReach: `${folder}/maps has ${count} of the size of the guest's RAM (${ramBytes} bytes)` };
  }
  let fileOffset = mapping.address;
  const extents = ram.map((range) => {
    const extent = { ...range, fileOffset };
    fileOffset += range.bytes;
    return extent;
  });
  return openFile(host.shell, `${folder}/mem`, extents);
}

/** Memory that stands in a file of the host. The file stays. */
async function openFile(shell: HostShell, file: string, extents: readonly FileExtent[]): Promise<Opening> {
  const read = async (guestAddress: number, bytes: number) => {
    const offset = fileOffsetOf(extents, guestAddress, bytes);
    if (offset === undefined) throw readFailed(file, { guestAddress, bytes }, 'it does not stand there in one piece');
    const reading = await shell.readFile(file, { offset, length: bytes });
    if (reading.outcome !== 'read') throw readFailed(file, { guestAddress, bytes }, whyNot(reading, file));
    return reading.bytes;
  };
  const first = await shell.readFile(file, { offset: extents[0]?.fileOffset ?? 0, length: PAGE_BYTES });
  if (first.outcome !== 'read') return { outOfReach: whyNot(first, file) };
  if (first.bytes.length < PAGE_BYTES) return { outOfReach: `${file} gives no memory` };
  return {
    ranges: extents,
    windowBytes: WINDOW_BYTES,
    read,
    ...(shell.where === 'local' ? { file: { path: file, extents } } : {}),
    [Symbol.asyncDispose]: async () => {},
  };
}

async function openPmemsave(target: MemoryTarget): Promise<Opening> {
  const { host, domain, ram } = target;
  const file = await scratchFile(target, 'monitor');
  if ('outOfReach' in file) return file;
  const remove = () => removeFile(host.shell, file.path);
  const read = async (guestAddress: number, bytes: number) => {
    await domain.monitorCommand({
      execute: 'pmemsave',
      arguments: { val: guestAddress, size: bytes, filename: file.path },
    });
    const parts: Uint8Array[] = [];
    for (let offset = 0; offset < bytes; offset += WINDOW_BYTES) {
      const reading = await host.shell.readFile(file.path, { offset, length: Math.min(WINDOW_BYTES, bytes - offset) });
      if (reading.outcome !== 'read') throw readFailed(file.path, { guestAddress, bytes }, whyNot(reading, file.path));
      parts.push(reading.bytes);
    }
    return parts.length === 1 ? (parts[0] ?? new Uint8Array()) : Buffer.concat(parts);
  };
  return opened({ ranges: ram, windowBytes: PMEMSAVE_WINDOW_BYTES, read: inTurn(read), [Symbol.asyncDispose]: remove });
}

async function openPeek({ domain, ram }: MemoryTarget): Promise<Opening> {
  const read = (guestAddress: number, bytes: number) => domain.memoryPeek(guestAddress, bytes);
  return opened({ ranges: ram, windowBytes: WINDOW_BYTES, read, [Symbol.asyncDispose]: async () => {} });
}

async function openCoreDump(target: MemoryTarget): Promise<Opening> {
  const { host, domain, ram } = target;
  const file = await scratchFile(target, 'core');
  if ('outOfReach' in file) return file;
  const remove = () => removeFile(host.shell, file.path);
  try {
    await domain.coreDump(file.path);
    const opening = await openElf(host.shell, file.path, ram);
    if (!('outOfReach' in opening)) return { ...opening, [Symbol.asyncDispose]: remove };
    await remove();
    return opening;
  } catch (error) {
    await remove();
    if (isRefusal(error)) return { outOfReach: errorText(error) };
    throw error;
  }
}

async function openElf(shell: HostShell, file: string, ram: readonly MemoryRange[]): Promise<Opening> {
  const header = await shell.readFile(file, { offset: 0, length: ELF_HEADER_BYTES });
  if (header.outcome !== 'read') return { outOfReach: whyNot(header, file) };
  const table = await shell.readFile(file, programHeadersOf(header.bytes, file));
  if (table.outcome !== 'read') return { outOfReach: whyNot(table, file) };
  // QEMU dumps ROMs and video memory too.
  return openFile(
    shell,
    file,
    loadSegments(table.bytes, file).filter((extent) => isInside(extent, ram)),
  );
}

/** Calls one after the other: they share a file. */
function inTurn(read: OpenMemory['read']): OpenMemory['read'] {
  let last: Promise<unknown> = Promise.resolve();
  return (guestAddress, bytes) => {
    const reading = last.then(() => read(guestAddress, bytes));
    last = reading.catch(() => {});
    return reading;
  };
}

function isInside(extent: MemoryRange, ram: readonly MemoryRange[]): boolean {
  const end = extent.guestAddress + extent.bytes;
  return ram.some(({ guestAddress, bytes }) => guestAddress <= extent.guestAddress && end <= guestAddress + bytes);
}

/** The way, when its first page can be read. */
async function opened(memory: OpenMemory): Promise<Opening> {
  try {
    await memory.read(memory.ranges[0]?.guestAddress ?? 0, PAGE_BYTES);
    return memory;
  } catch (error) {
    await memory[Symbol.asyncDispose]();
    if (isRefusal(error)) return { outOfReach: errorText(error) };
    throw error;
  }
}

/** The host said no, in whatever words; the connection is all right. */
function isRefusal(error: unknown): boolean {
  return (
    isRemoteError(error) || isSevHarnessError(error, 'QEMU_MONITOR') || isSevHarnessError(error, 'MEMORY_READ_FAILED')
  );
}

function whyNot(reading: Exclude<FileReading, { outcome: 'read' }>, file: string): string {
  return reading.outcome === 'absent' ? `${file} is absent` : reading.because;
}

function readFailed(file: string, { guestAddress, bytes }: MemoryRange, because: string) {
  const what = `${bytes} bytes of guest memory at 0x${guestAddress.toString(16)}`;
  return guestMemoryError('MEMORY_READ_FAILED', `cannot read ${what} from ${file}: ${because}`);
}
