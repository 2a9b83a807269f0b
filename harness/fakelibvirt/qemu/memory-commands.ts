import { readByWay } from '../memory/reading-ways.ts';
import { SparseFile } from '../memory/sparse-file.ts';
import { canCreateFile } from '../state/host-paths.ts';
import type { Machine } from '../state/machine.ts';
import type { GuestMachine } from './guest.ts';

/** Room that the emulated host has for one file. */
const MAX_DUMP_BYTES = 256 * 1024 * 1024;

/** `pmemsave`: guest-physical memory as the host sees it, into a file of the host. Returns QEMU's words for a failure. */
export function savePhysicalMemory(
  machine: Machine,
  guest: GuestMachine,
  { address, size, path }: { readonly address: number; readonly size: number; readonly path: string },
): string | undefined {
  if (!canCreateFile(path)) return `Could not open '${path}': No such file or directory`;
  if (!(size >= 0 && size <= MAX_DUMP_BYTES)) return 'No space left on device';
  machine.dumps.set(path, SparseFile.of(readByWay(machine, guest, 'pmemsave', address, size)));
  return undefined;
}

const XP = /^xp\s*\/(\d*)([xducoi]?)([bhwg]?)\s+(?:0x([0-9a-fA-F]+)|(\d+))$/;
const UNIT_BYTES: Readonly<Record<string, number>> = { b: 1, h: 2, w: 4, g: 8 };
const LINE_BYTES = 16;

/** HMP `xp /FMT ADDRESS` in hexadecimal: 16 bytes to a line, as `memory_dump` prints them. */
export function hmpExamine(guest: GuestMachine, line: string): string | undefined {
  const match = XP.exec(line.trim());
  if (match === null) return undefined;
  const [, count = '', format = '', size = '', hex, decimal] = match;
  if (format !== '' && format !== 'x') return undefined;
  const unit = UNIT_BYTES[size || 'w'] ?? 4;
  const address = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
  const bytes = Buffer.from(guest.hostRead(address, unit * Math.max(1, Number(count || '1'))));
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += LINE_BYTES) {
    const part = bytes.subarray(at, at + LINE_BYTES);
    const words = Array.from({ length: part.length / unit }, (_, index) => {
      const word = Buffer.from(part.subarray(index * unit, (index + 1) * unit)).reverse();
      return ` 0x${word.toString('hex')}`;
    });
    lines.push(`${(address + at).toString(16).padStart(16, '0')}:${words.join('')}\r\n`);
  }
  return lines.join('');
}
