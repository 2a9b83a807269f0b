import type { Paint } from '../../../reports/terminal/paint.ts';
import type { PreflightReport } from './evaluate.ts';
import type { PreflightOutcome, PreflightRow } from './row.ts';

const COLUMN_WIDTH = 7;

/** The report for a terminal: what is wrong first, then the tree. */
export function formatPreflight(hostName: string, report: PreflightReport, paint: Paint): string {
  const lines = [verdictLine(hostName, report, paint)];
  for (const { way, because, hint } of report.diagnoses) {
    lines.push(`  ${paint.red(way)}: ${because}`);
    if (hint !== undefined) lines.push(`    ${paint.dim('hint:')} ${hint}`);
  }
  lines.push('');
  const depths = new Map<string, number>();
  for (const row of report.rows) {
    const depth = row.parent === undefined ? 0 : (depths.get(row.parent) ?? 0) + 1;
    depths.set(row.id, depth);
    lines.push(...rowLines(row, depth, paint));
  }
  if (report.verdict !== 'usable' && report.kernelLog.length > 0)
    lines.push('', 'Kernel log:', ...report.kernelLog.map((line) => `  ${paint.dim(line)}`));
  const { pass, warn, fail, skip, unknown } = report.counts;
  lines.push('', `${pass} passed, ${fail} failed, ${warn} warned, ${skip} skipped, ${unknown} unknown`);
  return `${lines.join('\n')}\n`;
}

function verdictLine(hostName: string, { verdict, conditions }: PreflightReport, paint: Paint): string {
  const table = `domain capabilities ${conditions.domainCapabilities}, kernel parameter ${conditions.kernelParameter}`;
  switch (verdict) {
    case 'usable':
      return `${hostName} is ${paint.green('usable for SEV')} (${table})`;
    case 'unusable':
      return `${hostName} is ${paint.red('not usable for SEV')} (${table})`;
    case 'unknown':
      return `Whether ${hostName} is usable for SEV is ${paint.yellow('unknown')} (${table})`;
  }
}

function rowLines(row: PreflightRow, depth: number, paint: Paint): string[] {
  const indent = '  '.repeat(depth);
  const head = `${column(row.outcome, paint)} ${indent}${row.title}`;
  if (row.outcome === 'skip' || row.outcome === 'n/a') return [`${head} ${paint.dim(`(${row.because ?? ''})`)}`];
  const lines = [row.found === undefined ? head : `${head}: ${row.found}`];
  const below = ' '.repeat(COLUMN_WIDTH + 3) + indent;
  if (row.expected !== undefined && row.outcome !== 'pass')
    lines.push(`${below}${paint.dim('expected')} ${row.expected}`);
  if (row.because !== undefined && row.outcome !== 'pass') lines.push(`${below}${row.because}`);
  if (row.because !== undefined && row.outcome === 'pass') lines.push(`${below}${paint.dim(row.because)}`);
  if (row.hint !== undefined && row.outcome !== 'pass') lines.push(`${below}${paint.dim('hint:')} ${row.hint}`);
  return lines;
}

function column(outcome: PreflightOutcome, paint: Paint): string {
  const word = outcome.toUpperCase().padStart(COLUMN_WIDTH);
  switch (outcome) {
    case 'pass':
      return paint.green(word);
    case 'fail':
      return paint.bold(paint.red(word));
    case 'warn':
    case 'unknown':
      return paint.yellow(word);
    case 'skip':
    case 'n/a':
      return paint.dim(word);
  }
}
