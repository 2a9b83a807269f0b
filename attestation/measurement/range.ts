import { attestationError } from '../errors.ts';

/** The number itself, when it is an integer from `min` to `max`; else `LAUNCH_INPUT_INVALID` that names it. */
export function integerInRange(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw attestationError('LAUNCH_INPUT_INVALID', `${name} must be an integer from ${min} to ${max}, got ${value}`, {
      details: { name, min, max, actual: String(value) },
    });
  }
  return value;
}

export function hex32(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}
