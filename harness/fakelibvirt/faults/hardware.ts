import type { FirmwareFaults } from '../firmware/faults.ts';
import type { MemoryFaults } from '../memory/faults.ts';
import { type FaultId, isFaultId } from './catalogue.ts';
import type { Switches } from './switches.ts';

/** The chosen faults as the Secure Processor and the memory ask for theirs; not all of those are in the catalogue. */
export function hardwareFaults(faults: Switches<FaultId>): FirmwareFaults & MemoryFaults {
  return { has: (id: string) => isFaultId(id) && faults.has(id) };
}
