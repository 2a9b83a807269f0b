import { createHash } from 'node:crypto';
import { toBase64 } from '../../../core/bytes.ts';
import type { TypedParam } from '../../libvirt/protocol/typed-params.ts';
import { cBitPosition, type Profile } from '../profiles/profile.ts';
import { REPORTED_REDUCED_PHYS_BITS } from '../qemu/launch.ts';
import type { Machine } from './machine.ts';

const PDH_BYTES = 2084;
const CHAIN_CERTIFICATES = 3;
const CHIP_ID_BYTES = 64;

/** How many guests libvirt says the host can run (`virQEMUCapsGetSEVMaxGuests`). */
export function advertisedLimits(profile: Profile, error: number): { maxGuests: number; maxEsGuests: number } {
  const { maxAsid, minSevAsid } = profile.memoryEncryption;
  if (maxAsid === 0 || minSevAsid === 0) return { maxGuests: 0, maxEsGuests: 0 };
  return { maxGuests: maxAsid - minSevAsid + 1 + error, maxEsGuests: minSevAsid - 1 };
}

/** Bytes that stand for one chip's key material: the right size, the same each time, and no key behind them. */
function stand(profile: Profile, what: string, length: number): Uint8Array {
  const blocks = Math.ceil(length / 64);
  const hashes = Array.from({ length: blocks }, (_, index) =>
    createHash('sha512').update(`${profile.name} ${what} ${index}`).digest(),
  );
  return new Uint8Array(Buffer.concat(hashes).subarray(0, length));
}

export function chipIdBase64(profile: Profile): string {
  return toBase64(stand(profile, 'chip id', CHIP_ID_BYTES));
}

export function sevInfo(machine: Machine): TypedParam[] {
  const { profile } = machine;
  const { maxGuests, maxEsGuests } = advertisedLimits(profile, machine.has('advertised-limit-wrong') ? 1 : 0);
  return [
    { field: 'pdh', type: 'string', value: toBase64(stand(profile, 'pdh', PDH_BYTES)) },
    { field: 'cert-chain', type: 'string', value: toBase64(stand(profile, 'chain', PDH_BYTES * CHAIN_CERTIFICATES)) },
    { field: 'cpu0-id', type: 'string', value: chipIdBase64(profile) },
    { field: 'cbitpos', type: 'uint', value: cBitPosition(profile.memoryEncryption) },
    { field: 'reduced-phys-bits', type: 'uint', value: REPORTED_REDUCED_PHYS_BITS },
    { field: 'max-guests', type: 'uint', value: maxGuests },
    { field: 'max-es-guests', type: 'uint', value: maxEsGuests },
  ];
}
