import type { QemuProcess } from '../qemu/process.ts';
import type { HostReading } from '../state/host-files.ts';
import type { Machine } from '../state/machine.ts';
import { readByWay } from './reading-ways.ts';

/** Where the mapping of the RAM begins in every QEMU; real ones are somewhere else each time. */
const RAM_MAPPED_AT = 0x7f00_0000_0000;
const PROGRAM_MAPPED_AT = 0x55d0_0000_0000;

/** /proc/PID/maps and /proc/PID/mem of a QEMU; `undefined` for another path. */
export function readProcessMemory(
  machine: Machine,
  path: string,
  offset: number,
  length: number,
): HostReading | undefined {
  const [, pid, file] = /^\/proc\/(\d+)\/(maps|mem)$/.exec(path) ?? [];
  const qemu = machine.processes.get(Number(pid));
  if (file === undefined || qemu === undefined) return undefined;
  if (file === 'maps') {
    const content = new TextEncoder().encode(mappings(qemu));
    return { ok: true, content: content.slice(offset, offset + length) };
  }
  const ramBytes = qemu.definition.memoryKiB * 1024;
  const at = offset - RAM_MAPPED_AT;
  if (at < 0 || at >= ramBytes) return { ok: false, errno: 'EIO' };
  return { ok: true, content: readByWay(machine, qemu.guest, 'process', at, Math.min(length, ramBytes - at)) };
}

/** The lines of proc_pid_maps(5) that matter: the program, and the RAM as one anonymous mapping, as QEMU makes it. */
function mappings({ definition }: QemuProcess): string {
  const hex = (value: number) => value.toString(16).padStart(12, '0');
  const line = (at: number, bytes: number, access: string, more: string) =>
    `${hex(at)}-${hex(at + bytes)} ${access} ${more}\n`;
  const binary = '00000000 fe:00 271843                     /usr/bin/qemu-system-x86_64';
  return (
    line(PROGRAM_MAPPED_AT, 0x2f3000, 'r--p', binary) +
    line(PROGRAM_MAPPED_AT + 0x1000_0000, 0x15_0000, 'rw-p', '00000000 00:00 0                          [heap]') +
    line(RAM_MAPPED_AT, definition.memoryKiB * 1024, 'rw-p', '00000000 00:00 0 ')
  );
}
