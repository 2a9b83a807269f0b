import { type ErrorCatalogue, errorFactory, isSystemError } from '../core/errors.ts';

/** What can go wrong with reports themselves: folders that cannot be written, files that cannot be read back. */
export const reportErrors = {
  REPORT_EVENT_MISPLACED: {
    kind: 'harness',
    summary: 'An event names a scenario, attempt or step that never started, or comes before its run.',
  },
  REPORT_FILE_INVALID: {
    kind: 'usage',
    summary: 'A file that was given as run.json or run.jsonl does not follow the schema.',
  },
  REPORT_FILE_UNREADABLE: { kind: 'usage', summary: 'A file that was given as run.json or run.jsonl cannot be read.' },
  REPORT_FOLDER_BUSY: { kind: 'environment', summary: 'Another run is writing its report to the same folder.' },
  REPORT_FOLDER_FOREIGN: {
    kind: 'usage',
    summary: 'The report folder holds a file of ours by name that this harness did not write.',
  },
  REPORT_FOLDER_UNWRITABLE: { kind: 'environment', summary: 'The report folder cannot be created or written.' },
  REPORT_VERSION_UNSUPPORTED: {
    kind: 'usage',
    summary: 'A run was written by a harness whose results this one does not understand.',
  },
  REPORT_WRITE_FAILED: {
    kind: 'environment',
    summary: 'A file of the report could not be written after the run had begun, for example on a full disk.',
  },
} as const satisfies ErrorCatalogue;

export const reportError = errorFactory(reportErrors);

/** A disk, or the share of it that this user may have, is full. */
export function isOutOfRoom(error: unknown): boolean {
  if (isSystemError(error, 'ENOSPC') || isSystemError(error, 'EDQUOT')) return true;
  return error instanceof Error && error.cause !== undefined && isOutOfRoom(error.cause);
}

/** What to do about a folder that cannot be written, which `option` named. */
export function unwritableHint(option: '--report' | '--out', cause: unknown): string {
  return isOutOfRoom(cause)
    ? `Make room there, or give ${option} a folder on another disk.`
    : `Give ${option} a folder that this user may create or write.`;
}

export const NOT_WRITTEN_HINT =
  'Make room there, or give --report another folder; what the terminal says of the run holds.';

export const RUN_FILE_HINT = 'Give the run.json or run.jsonl of a report folder, or the folder itself.';
