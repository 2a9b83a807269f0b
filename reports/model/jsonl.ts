import { appendFileSync, closeSync, openSync } from 'node:fs';
import { errorText } from '../../core/errors.ts';
import { NOT_WRITTEN_HINT, RUN_FILE_HINT, reportError } from '../errors.ts';
import type { RunEvent } from './events.ts';
import { firstViolation } from './schema-check.ts';

/** One event as its line in `run.jsonl`, newline included. */
export function formatEvent(event: RunEvent): string {
  return `${JSON.stringify(event)}\n`;
}

export interface EventLog {
  /** On disk, as far as the kernel is concerned, when it returns. `REPORT_WRITE_FAILED`. */
  append(event: RunEvent): void;
  close(): void;
}

/** Opens a file for one event per line, at its end. */
export function openEventLog(path: string): EventLog {
  const file = openSync(path, 'a', 0o644);
  return {
    append: (event) => {
      try {
        appendFileSync(file, formatEvent(event));
      } catch (cause) {
        throw reportError('REPORT_WRITE_FAILED', `could not append to ${path}: ${errorText(cause)}`, {
          cause,
          details: { path },
          hint: NOT_WRITTEN_HINT,
        });
      }
    },
    close: () => closeSync(file),
  };
}

export interface EventLines {
  readonly events: readonly RunEvent[];
  /** Set when the last line is not whole: the writer was killed while it wrote, and that line is left out. */
  readonly tornLine?: number;
}

/**
 * Reads what `run.jsonl` holds.
 *
 * A torn last line is left out and named; a bad line anywhere else is `REPORT_FILE_INVALID`. `from` is the file's name.
 */
export function parseEventLines(text: string, from: string): EventLines {
  const lines = text.split('\n');
  const events: RunEvent[] = [];
  for (const [index, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const isLast = index === lines.length - 1;
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      if (isLast) return { events, tornLine: index + 1 };
      throw reportError('REPORT_FILE_INVALID', `${from} line ${index + 1} is not JSON: ${errorText(cause)}`, {
        cause,
        details: { file: from, line: index + 1 },
        hint: RUN_FILE_HINT,
      });
    }
    const violation = firstViolation('event', value);
    if (violation !== undefined) {
      throw reportError('REPORT_FILE_INVALID', `${from} line ${index + 1} is not an event of a run: ${violation}`, {
        details: { file: from, line: index + 1 },
        hint: RUN_FILE_HINT,
      });
    }
    events.push(value as RunEvent);
  }
  return { events };
}
