import { FIRMWARE_FAULTS, type FirmwareFaultId, type FirmwareFaults } from '../firmware/faults.ts';
import { MEMORY_FAULTS, type MemoryFaultId, type MemoryFaults } from '../memory/faults.ts';

/** Those of the chosen faults that are the Secure Processor's. */
export function firmwareFaults(faults: ReadonlySet<string>): FirmwareFaults {
  return new Set([...faults].filter((id): id is FirmwareFaultId => Object.hasOwn(FIRMWARE_FAULTS, id)));
}

/** Those of the chosen faults that are the memory's. */
export function memoryFaults(faults: ReadonlySet<string>): MemoryFaults {
  return new Set([...faults].filter((id): id is MemoryFaultId => Object.hasOwn(MEMORY_FAULTS, id)));
}
