import type { Evidence } from '../diagnose.ts';

export function log(text: string): Evidence[] {
  return [{ name: 'qemu.log', text }];
}

/** Paint that colours nothing. */
export const plain = { red: String, yellow: String, green: String, dim: String };
