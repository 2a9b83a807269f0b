import { fromBase64, fromHex } from '../../core/bytes.ts';
import { LAUNCH_MEASURE_BYTES, MEASUREMENT_BYTES } from '../measurement/measurement.ts';

/** One way to read what was given as the measurement. */
export interface Reading {
  /** How it was read, as in "the measurement is read as …"; `undefined` for the right way. */
  readonly as: string | undefined;
  readonly measurement: Uint8Array;
  /** Absent when only 32 bytes were given, and no nonce beside them. */
  readonly mnonce: Uint8Array | undefined;
}

const MNONCE_BYTES = LAUNCH_MEASURE_BYTES - MEASUREMENT_BYTES;
/** Longer input is no mistaken measurement. */
const MAX_INPUT = 4096;

/** All ways to read it, the right one first if it is readable so. Text in hex can be base64 too, so both are kept. */
export function readMeasurement(given: string | Uint8Array, mnonce: Uint8Array | undefined): Reading[] {
  if (given.length > MAX_INPUT) return [];
  const readings = typeof given === 'string' ? readText(given, []) : readBytes(given, []);
  return readings.flatMap(({ bytes, as }) => split(bytes, as, mnonce));
}

interface Decoded {
  readonly bytes: Uint8Array;
  readonly as: readonly string[];
}

function readText(text: string, as: readonly string[]): Decoded[] {
  const compact = text.replace(/\s+/g, '');
  const spaced = compact === text ? [] : ['text with white space in it'];
  const standard = compact.replaceAll('-', '+').replaceAll('_', '/');
  const padded = standard.replace(/=+$/, '').padEnd(Math.ceil(standard.replace(/=+$/, '').length / 4) * 4, '=');
  const found: Decoded[] = [];
  const add = (bytes: Uint8Array | undefined, ...how: string[]) => {
    if (bytes !== undefined && bytes.length > 0) found.push({ bytes, as: [...as, ...spaced, ...how] });
  };
  add(fromBase64(compact));
  if (standard !== compact) add(fromBase64(standard), 'URL-safe base64');
  else if (padded !== compact) add(fromBase64(padded), 'base64 with wrong padding');
  add(fromHex(compact.replace(/^0x/i, '').replaceAll(':', '')), 'hex');
  if (as.length > 0) return found;
  // Base64 or hex of a text that itself is base64 or hex.
  return [...found, ...found.flatMap((outer) => readInner(outer.bytes, [...outer.as, 'encoded twice']))];
}

function readBytes(bytes: Uint8Array, as: readonly string[]): Decoded[] {
  return [{ bytes, as }, ...readInner(bytes, ['text instead of its bytes'])];
}

function readInner(bytes: Uint8Array, as: readonly string[]): Decoded[] {
  const text = Buffer.from(bytes).toString('latin1');
  return /^[\x20-\x7e\r\n\t]+$/.test(text) ? readText(text, as) : [];
}

function split(bytes: Uint8Array, as: readonly string[], mnonce: Uint8Array | undefined): Reading[] {
  const reading = (measurement: Uint8Array, nonce: Uint8Array | undefined, ...how: string[]): Reading => {
    const all = [...as, ...how];
    return { as: all.length === 0 ? undefined : all.join(', '), measurement, mnonce: nonce };
  };
  const head = bytes.subarray(0, MEASUREMENT_BYTES);
  const tail = bytes.subarray(MEASUREMENT_BYTES, LAUNCH_MEASURE_BYTES);
  if (bytes.length === LAUNCH_MEASURE_BYTES) {
    const swapped = reading(bytes.subarray(MNONCE_BYTES), bytes.subarray(0, MNONCE_BYTES), 'nonce before measurement');
    const restated = mnonce === undefined ? [] : [reading(head, mnonce, 'measurement with the nonce stated beside it')];
    return [reading(head, tail), swapped, ...restated];
  }
  if (bytes.length > LAUNCH_MEASURE_BYTES) {
    const surplus = bytes.length - LAUNCH_MEASURE_BYTES;
    return [reading(head, tail, `measurement with ${surplus} surplus byte${surplus === 1 ? '' : 's'} behind it`)];
  }
  if (bytes.length === MEASUREMENT_BYTES) return [reading(head, mnonce, 'measurement without its nonce')];
  return [];
}
