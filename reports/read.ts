import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errorText } from '../core/errors.ts';
import { RUN_FILE_HINT, reportError } from './errors.ts';
import { parseEventLines } from './model/jsonl.ts';
import { reduceRun } from './model/reduce.ts';
import { type Run, SCHEMA_VERSION } from './model/run.ts';
import { firstViolation } from './model/schema-check.ts';

function readText(path: string): { file: string; text: string } {
  try {
    const file = statSync(path).isDirectory() ? join(path, 'run.json') : path;
    return { file, text: readFileSync(file, 'utf8') };
  } catch (cause) {
    throw reportError('REPORT_FILE_UNREADABLE', `cannot read a run from ${path}: ${errorText(cause)}`, {
      cause,
      details: { file: path },
      hint: RUN_FILE_HINT,
    });
  }
}

function assertVersion(value: unknown, file: string): void {
  if (typeof value !== 'object' || value === null || !('schemaVersion' in value)) return;
  const version = value.schemaVersion;
  if (typeof version !== 'number' || version === SCHEMA_VERSION) return;
  throw reportError(
    'REPORT_VERSION_UNSUPPORTED',
    `${file} has schema version ${version}; this harness reads version ${SCHEMA_VERSION}`,
    { details: { file, version, supported: SCHEMA_VERSION }, hint: 'Read it with the harness that wrote it.' },
  );
}

/** A run from the text of `run.json`. `file` is its name in errors. `REPORT_FILE_INVALID`, `REPORT_VERSION_UNSUPPORTED`. */
export function parseRun(text: string, file: string): Run {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw reportError('REPORT_FILE_INVALID', `${file} is not JSON: ${errorText(cause)}`, {
      cause,
      details: { file },
      hint: RUN_FILE_HINT,
    });
  }
  assertVersion(value, file);
  const violation = firstViolation('run', value);
  if (violation !== undefined) {
    throw reportError('REPORT_FILE_INVALID', `${file} is not a run: ${violation}`, {
      details: { file },
      hint: RUN_FILE_HINT,
    });
  }
  return value as Run;
}

/** A run from the text of `run.jsonl`, torn last line left out. Errors as `parseRun`. */
export function parseRunEvents(text: string, file: string): Run {
  const firstLine = text.slice(0, text.indexOf('\n') + 1);
  try {
    assertVersion(JSON.parse(firstLine), file);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  const { events } = parseEventLines(text, file);
  if (events.length === 0) {
    throw reportError('REPORT_FILE_INVALID', `${file} holds no event of a run`, {
      details: { file },
      hint: RUN_FILE_HINT,
    });
  }
  return reduceRun(events);
}

/**
 * Reads a run back from `run.json`, from `run.jsonl`, or from the report folder that holds them.
 *
 * `REPORT_FILE_UNREADABLE`, `REPORT_FILE_INVALID`, `REPORT_VERSION_UNSUPPORTED`.
 */
export function readRun(path: string): Run {
  const { file, text } = readText(path);
  return file.endsWith('.jsonl') ? parseRunEvents(text, file) : parseRun(text, file);
}
