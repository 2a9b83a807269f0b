import { microcodeFloor } from '../preflight/minimums.ts';
import { is, type Judgement } from './defect.ts';
import type { DefectReadings } from './readings.ts';

/** Security version of microcode in the TCB with the fix of EntrySign, by line (AMD-SB-3019): not comparable across lines. */
const TCB_FLOORS: Readonly<Record<string, number>> = {
  Milan: 219,
  'Milan-X': 68,
  Genoa: 84,
  'Genoa-X': 79,
  'Bergamo or Siena': 25,
};

function hex(microcode: number): string {
  return `0x${microcode.toString(16).padStart(8, '0')}`;
}

/** CVE-2024-56161: the loaded microcode, and its security version where the host tells the TCB. */
export function judgeEntrySign({ microcode, tcb }: DefectReadings): Judgement {
  if (microcode === undefined)
    return { ...is('unknown', 'the kernel does not say which microcode runs'), missing: 'microcode' };
  const known = microcodeFloor(microcode);
  if (known === undefined) return is('unknown', `microcode ${hex(microcode)} is of a line without a known floor`);
  const { line, floor } = known;
  const text = `microcode ${hex(microcode)} of ${line}; fixed in ${hex(floor)}`;
  if (microcode < floor) return is('vulnerable', text);
  const lowest = TCB_FLOORS[line];
  if ('because' in tcb || lowest === undefined) return is('fixed', text);
  const version = `security version ${tcb.ucode} in the TCB, fixed in ${lowest}`;
  return is(tcb.ucode >= lowest ? 'fixed' : 'vulnerable', `${text}; ${version}`);
}

/** CVE-2023-20592: mended on Milan only, by microcode older than the floor of EntrySign. */
export function judgeCacheWarp(readings: DefectReadings): Judgement {
  const later = judgeEntrySign(readings);
  if (later.missing !== undefined) return later;
  if (later.verdict === 'fixed')
    return is('fixed', `${later.because} (AMD-SB-3019), which came later than AMD-SB-3005`);
  return is('unknown', `no number of its own to compare with; ${later.because}: hold it against AMD-SB-3005`);
}
