import type { NovaRelease } from './minimums.ts';
import type { PreflightReadings, Reading } from './readings.ts';

/**
 * `warn`: worth seeing, does not keep a SEV guest from running. `skip`: a parent failed. `n/a`: does not apply to this
 * host or generation. `unknown`: could not be read.
 */
export type PreflightOutcome = 'pass' | 'warn' | 'fail' | 'skip' | 'n/a' | 'unknown';

/** The ways a host can be wrong, by name. */
export type WrongWay =
  | 'virtual-machine'
  | 'not-amd'
  | 'no-cpu-support'
  | 'bios'
  | 'kernel-parameter'
  | 'kernel-module'
  | 'dev-sev-missing'
  | 'dev-sev-permissions'
  | 'sev-firmware'
  | 'software-too-old'
  | 'stale-capabilities'
  | 'qemu-without-sev'
  | 'nova-requirement';

/** What one check came to. */
export interface Finding {
  readonly outcome: PreflightOutcome;
  readonly found?: string;
  readonly expected?: string;
  readonly because?: string;
  readonly hint?: string;
  /** Only on `fail`: the name of what is wrong. */
  readonly way?: WrongWay;
}

/** One row of the tree; rows come in the order of the tree, parents before children. */
export interface PreflightRow extends Finding {
  readonly id: string;
  readonly parent?: string;
  readonly title: string;
  /** Where the value was read, and the document that asks for it. */
  readonly source: string;
}

export interface PreflightOptions {
  /** nova release whose own minimums count too. */
  readonly nova?: NovaRelease | undefined;
}

export interface PreflightCheck {
  readonly id: string;
  readonly parent?: string;
  readonly title: string;
  readonly source: string;
  readonly evaluate: (readings: PreflightReadings, options: PreflightOptions) => Finding;
}

/** The finding for a reading that has no value: unknown, whatever the reason. */
export function unread(reading: Reading<unknown>): Finding {
  return { outcome: 'unknown', because: reading.outcome === 'read' ? 'read, but not understood' : reading.because };
}

export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
