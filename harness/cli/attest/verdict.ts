import type { Check } from '../../../attestation/result.ts';
import type { RootIdentity } from '../../../attestation/verify/chain-roots.ts';
import { createPaint } from '../../../reports/terminal/paint.ts';
import { EXIT } from '../output.ts';
import type { AttestIo } from './io.ts';
import type { InputNote } from './read.ts';
import { renderTree } from './tree.ts';

/** What a verb found out, to be shown to a person or a program. */
export interface Report {
  readonly verb: string;
  readonly ok: boolean;
  readonly verdict: 'valid' | 'invalid' | 'incomplete';
  readonly checks: readonly Check[];
  readonly warnings: readonly string[];
  readonly inputs: readonly InputNote[];
  /** More for `--json`. */
  readonly details?: object;
  /** Lines for people, behind the verdict. */
  readonly notes?: readonly string[];
}

/** The line that says whose root a chain ends at. */
export function rootNote(root: RootIdentity | undefined): string {
  const whose = root === undefined ? 'unknown' : root.isAmd ? `AMD's root of ${root.product}` : 'not AMD';
  return `root: ${whose}`;
}

export function verdictOf(ok: boolean, checks: readonly Check[]): Report['verdict'] {
  if (checks.some((check) => check.outcome === 'failed')) return 'invalid';
  return ok ? 'valid' : 'incomplete';
}

/** Prints a report and returns the exit code: 0 for a valid verdict only. */
export function present(
  report: Report,
  io: AttestIo,
  options: { readonly json: boolean; readonly quiet: boolean },
): number {
  const { details, notes = [], ...rest } = report;
  for (const warning of options.quiet ? [] : report.warnings) io.err(`warning: ${warning}\n`);
  if (options.json) io.out(`${JSON.stringify({ ...rest, ...details })}\n`);
  else if (!options.quiet) {
    const paint = createPaint(io.isColoured);
    for (const { flag, path, form, bytes } of report.inputs) {
      io.out(`${paint.dim(`${flag} ${path}: taken as ${form}, ${bytes} bytes`)}\n`);
    }
    io.out(renderTree(report.checks, io.isColoured));
    io.out(`${sentence(report)}\n`);
    for (const note of notes) io.out(`${note}\n`);
  }
  return report.ok ? EXIT.ok : EXIT.product;
}

function sentence({ verdict, checks }: Report): string {
  const count = (outcome: Check['outcome']) => checks.filter((check) => check.outcome === outcome).length;
  const counts = `${count('passed')} passed, ${count('failed')} failed, ${count('incomplete')} incomplete, ${count('skipped')} skipped`;
  switch (verdict) {
    case 'valid':
      return `VALID: ${counts}`;
    case 'invalid':
      return `INVALID, do not trust it: ${counts}`;
    case 'incomplete':
      return `INCOMPLETE, do not trust it yet: ${counts}`;
  }
}
