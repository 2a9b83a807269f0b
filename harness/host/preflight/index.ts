import type { Host } from '../host.ts';
import { evaluatePreflight, type PreflightReport } from './evaluate.ts';
import { readPreflight } from './read.ts';
import type { PreflightOptions } from './row.ts';

export { isNovaRelease, NOVA_MINIMUMS } from './minimums.ts';
export { formatPreflight } from './render.ts';

/** Reads the host and judges it. Changes nothing on it; what cannot be read is a row of outcome `unknown`. */
export async function preflight(host: Host, options: PreflightOptions = {}): Promise<PreflightReport> {
  return evaluatePreflight(await readPreflight(host), options);
}

/** What a run's report says of the host's preflight. */
export interface PreflightSummary {
  readonly verdict: PreflightReport['verdict'];
  /** Lines for `HostFacts.facts`. */
  readonly facts: Readonly<Record<string, string>>;
  /** Sentences for `HostFacts.notVerified`. */
  readonly notVerified: readonly string[];
}

/** The kernel says a few lines about SEV when it boots; a log that goes on about it is cut to its end. */
const KEPT_LINES = 20;

/** Preflight in a few lines, for the head of every report. */
export async function preflightSummary(host: Host): Promise<PreflightSummary> {
  const { verdict, counts, diagnoses, rows, kernelLog } = await preflight(host);
  const first = diagnoses[0];
  const warned = rows.filter((row) => row.outcome === 'warn').map((row) => row.title);
  return {
    verdict,
    facts: {
      preflight: `${verdict} for SEV: ${counts.pass} passed, ${counts.fail} failed, ${counts.warn} warned, ${counts.unknown} unknown`,
      ...(first === undefined ? {} : { 'preflight found': `${first.way}: ${first.because}` }),
      ...(warned.length === 0 ? {} : { 'preflight warned': warned.join('; ') }),
      ...(kernelLog.length === 0 ? {} : { 'kernel log': kernelLog.slice(-KEPT_LINES).join(' ¶ ') }),
    },
    notVerified: rows
      .filter((row) => row.outcome === 'unknown')
      .map((row) => `Preflight could not tell '${row.title}': ${row.because ?? 'no reason'}.`),
  };
}
