import { errorText, SevHarnessError } from '../../core/errors.ts';
import { showable } from '../../reports/model/text.ts';
import { createPaint, wantsColour } from '../../reports/terminal/paint.ts';
import { harnessError } from '../errors.ts';

/** Exit codes of every verb. */
export const EXIT = { ok: 0, product: 1, broken: 2, usage: 3 } as const;

/** Exit code for a thrown value: usage errors are 3, faults of the product 1, everything else 2. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof SevHarnessError)) return EXIT.broken;
  return error.kind === 'usage' ? EXIT.usage : error.kind === 'product' ? EXIT.product : EXIT.broken;
}

/** One line that says what is wrong, and one that says what to do. A stack only for what nobody expected. */
export function printError(error: unknown): void {
  const paint = createPaint(wantsColour(process.stderr.isTTY === true, process.env));
  if (error instanceof SevHarnessError) {
    process.stderr.write(`${paint.red('error:')} ${oneLine(error.message)} [${error.code}]\n`);
    if (error.hint !== undefined) process.stderr.write(`  ${paint.dim('hint:')} ${oneLine(error.hint)}\n`);
    return;
  }
  process.stderr.write(`${paint.red('error:')} unexpected: ${oneLine(errorText(error))}\n`);
  explainUnexpected(error);
}

/** Below an error that nobody threw on purpose: whose it is, or where it happened. */
export function explainUnexpected(error: unknown): void {
  if (error instanceof Error && process.env.SEV_HARNESS_DEBUG === '1') process.stderr.write(`${error.stack}\n`);
  else process.stderr.write('  This is a defect of sev-harness. SEV_HARNESS_DEBUG=1 shows where it happened.\n');
}

/**
 * Lets the process go on, and clean up, when nobody takes what it prints: a run must not end where it stands.
 *
 * A reader that has seen enough (`| head`) is no error, and progress that is lost is none either; results that cannot be
 * written (a full disk) are told in one line, and what would have ended with 0 ends with 2.
 */
export function guardOutput(): void {
  if (isGuarded) return;
  isGuarded = true;
  process.stderr.on('error', () => {});
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE' || isOutputLost) return;
    isOutputLost = true;
    printError(
      harnessError('OUTPUT_UNWRITABLE', `standard output cannot be written: ${errorText(error)}`, {
        hint: 'Make room there, or send it elsewhere.',
        cause: error,
      }),
    );
    process.once('exit', (code) => {
      if (code === EXIT.ok) process.exitCode = EXIT.broken;
    });
  });
}

let isGuarded = false;
let isOutputLost = false;

export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** Rows as columns, each as wide as its longest cell. */
export function formatColumns(rows: readonly (readonly string[])[]): string {
  const width = (column: number) => Math.max(...rows.map((row) => (row[column] ?? '').length));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(width(column)))).join('  ');
  return rows.map((row) => `${line(row)}\n`).join('');
}

function oneLine(text: string): string {
  // What comes from hosts and files must not be able to steer the terminal.
  return showable(text)
    .replace(/\s*\n\s*/g, ' | ')
    .trim();
}
