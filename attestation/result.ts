import type { JsonValue } from '../core/errors.ts';

/** `incomplete`: nothing is wrong, but something that the verdict needs was not given. It is not a pass. */
export type CheckOutcome = 'passed' | 'failed' | 'skipped' | 'incomplete';

/** One row of a verdict. */
export interface Check {
  /** Stable, dotted, lowercase: `chain.ask-signed-by-ark`. */
  readonly id: string;
  readonly outcome: CheckOutcome;
  /** What is promised when the row passes, in words. */
  readonly title: string;
  readonly expected?: JsonValue;
  readonly actual?: JsonValue;
  /** Why it failed, is incomplete, or was skipped. A skipped row names the row that it depended on. */
  readonly because?: string;
  /** What to do about it. */
  readonly hint?: string;
  /** Document and section, e.g. `SEV API 55766 rev 3.24, section C.4`. */
  readonly spec: string;
}

export interface AttestationResult {
  /** True only when there is at least one row, every row is `passed` or `skipped`, and none is `failed` or `incomplete`. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

export function attestationResult(checks: readonly Check[]): AttestationResult {
  const ran = checks.some((check) => check.outcome === 'passed');
  return { ok: ran && checks.every((check) => check.outcome === 'passed' || check.outcome === 'skipped'), checks };
}
