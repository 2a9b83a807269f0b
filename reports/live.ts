import { type Clock, systemClock } from '../core/clock.ts';
import { errorText, isSevHarnessError, type SevHarnessError } from '../core/errors.ts';
import { reportError } from './errors.ts';
import { renderAll } from './index.ts';
import type { RunEvent } from './model/events.ts';
import { createRunReducer } from './model/reduce.ts';
import type { Run } from './model/run.ts';
import { openReportFolder } from './model/store.ts';

/** Reports on disk are never older than this while events come in, unless writing them takes longer than a tenth of it. */
const REWRITE_MS = 2000;

export interface LiveReport {
  /** Absolute path of the report folder. */
  readonly path: string;
  /** Appends the event to `run.jsonl` and, now and then, rewrites the other files. Never throws for a full disk. */
  push(event: RunEvent): void;
  /** The run as if it came to its end now, with the exit code that it would have. */
  snapshot(): Run;
  /** Writes all files a last time and closes. `REPORT_WRITE_FAILED` when this or an earlier write failed. */
  finish(): Run;
}

/**
 * Opens the report before the run and keeps it current while the run goes on, so that a killed run has one too.
 *
 * `REPORT_FOLDER_UNWRITABLE`, `REPORT_FOLDER_FOREIGN`, `REPORT_FOLDER_BUSY`.
 */
export function openLiveReport(folder: string, clock: Clock = systemClock): LiveReport {
  const store = openReportFolder(folder);
  const reducer = createRunReducer();
  let firstFailure: SevHarnessError | undefined;
  let nextWriteMs = Number.NEGATIVE_INFINITY;

  const attempt = (write: () => void) => {
    try {
      write();
    } catch (error) {
      firstFailure ??= isSevHarnessError(error)
        ? error
        : reportError('REPORT_WRITE_FAILED', `could not write the report: ${errorText(error)}`, { cause: error });
    }
  };
  const rewrite = () => {
    const startMs = clock.nowMs();
    attempt(() => store.write(renderAll(reducer.snapshot())));
    const endMs = clock.nowMs();
    nextWriteMs = endMs + Math.max(REWRITE_MS, 10 * (endMs - startMs));
  };

  return {
    path: store.path,
    push: (event) => {
      reducer.push(event);
      attempt(() => store.events.append(event));
      if (clock.nowMs() >= nextWriteMs) rewrite();
    },
    snapshot: () => reducer.concluded(),
    finish: () => {
      rewrite();
      store.close();
      if (firstFailure !== undefined) throw firstFailure;
      return reducer.snapshot();
    },
  };
}
