import { toBase64 } from '../../../core/bytes.ts';
import type { TypedParam } from '../../libvirt/protocol/typed-params.ts';
import { cBitPosition, type Profile } from '../profiles/profile.ts';
import { REPORTED_REDUCED_PHYS_BITS } from '../qemu/launch.ts';
import type { Machine } from './machine.ts';

const CHIP_ID_BYTES = 64;

/** How many guests libvirt says the host can run (`virQEMUCapsGetSEVMaxGuests`). */
export function advertisedLimits(profile: Profile, error: number): { maxGuests: number; maxEsGuests: number } {
  const { maxAsid, minSevAsid } = profile.memoryEncryption;
  if (maxAsid === 0 || minSevAsid === 0) return { maxGuests: 0, maxEsGuests: 0 };
  return { maxGuests: maxAsid - minSevAsid + 1 + error, maxEsGuests: minSevAsid - 1 };
}

/** Identity of the chip in the first socket. */
export function chipIdBase64(machine: Machine): string {
  const reply = machine.sevDriver.processor.platform.getId();
  if (reply.status !== 0) return '';
  const id = reply.id.slice(0, CHIP_ID_BYTES);
  if (machine.has('chip-id-misreported')) id.reverse();
  return toBase64(id);
}

export function sevInfo(machine: Machine): TypedParam[] {
  const { profile } = machine;
  const { maxGuests, maxEsGuests } = advertisedLimits(profile, machine.has('advertised-limit-wrong') ? 1 : 0);
  const chain = machine.sevDriver.exportChain();
  return [
    { field: 'pdh', type: 'string', value: toBase64(chain.status === 0 ? chain.pdh : new Uint8Array()) },
    { field: 'cert-chain', type: 'string', value: toBase64(chain.status === 0 ? chain.chain : new Uint8Array()) },
    { field: 'cpu0-id', type: 'string', value: chipIdBase64(machine) },
    { field: 'cbitpos', type: 'uint', value: cBitPosition(profile.memoryEncryption) },
    { field: 'reduced-phys-bits', type: 'uint', value: REPORTED_REDUCED_PHYS_BITS },
    { field: 'max-guests', type: 'uint', value: maxGuests },
    { field: 'max-es-guests', type: 'uint', value: maxEsGuests },
  ];
}
