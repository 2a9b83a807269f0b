import type { FaultId } from '../faults/catalogue.ts';
import type { GuestMachine } from '../qemu/guest.ts';
import type { Machine } from '../state/machine.ts';

/** How programs of the host read a guest's memory; on real hardware all of them see the same DRAM. */
export type ReadingWay = 'peek' | 'pmemsave' | 'dump' | 'process';

/** Faults under which one of the ways shows what only the guest should see. */
const LEAKS: Readonly<Record<ReadingWay, FaultId>> = {
  peek: 'peek-in-clear',
  pmemsave: 'pmemsave-in-clear',
  dump: 'dump-in-clear',
  process: 'process-memory-in-clear',
};

/** Guest-physical memory as one way of reading gives it. */
export function readByWay(
  machine: Machine,
  guest: GuestMachine,
  way: ReadingWay,
  address: number,
  length: number,
): Uint8Array {
  if (way === 'pmemsave' && machine.has('pmemsave-empty')) return new Uint8Array(length);
  if (guest.isEncrypted && machine.has(LEAKS[way])) return guest.clearRead(address, length);
  const bytes = guest.hostRead(address, length);
  if (!guest.isEncrypted && machine.has('plain-guest-scrambled'))
    return bytes.map((byte, at) => byte ^ mask(address + at));
  return bytes;
}

/** A byte that depends on the address and on nothing else. */
function mask(address: number): number {
  return (Math.imul(address, 0x9e3779b1) >>> 24) | 1;
}
