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

/** A reader that has seen enough (`| head`) is no error; a full disk ends the process with one line and exit code 2. */
export function guardOutput(stream: NodeJS.WriteStream): NodeJS.WriteStream {
  return stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    printError(
      harnessError('OUTPUT_UNWRITABLE', `standard output cannot be written: ${errorText(error)}`, { cause: error }),
    );
    process.exit(EXIT.broken);
  });
}

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
