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
  /**
   * Writes all files a last time and closes. `REPORT_WRITE_FAILED` when that failed, or an event could not be kept; no file then
   * tells of an earlier time.
   */
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
  let lostEvent: SevHarnessError | undefined;
  let nextWriteMs = Number.NEGATIVE_INFINITY;

  const failureOf = (write: () => void): SevHarnessError | undefined => {
    try {
      write();
      return undefined;
    } catch (error) {
      return isSevHarnessError(error)
        ? error
        : reportError('REPORT_WRITE_FAILED', `could not write the report: ${errorText(error)}`, { cause: error });
    }
  };
  const rewrite = () => {
    const startMs = clock.nowMs();
    // What fails now is made good by a later one, or told by the last.
    failureOf(() => store.write(renderAll(reducer.snapshot())));
    const endMs = clock.nowMs();
    nextWriteMs = endMs + Math.max(REWRITE_MS, 10 * (endMs - startMs));
  };

  return {
    path: store.path,
    push: (event) => {
      reducer.push(event);
      // Nothing may follow a line that is not whole.
      lostEvent ??= failureOf(() => store.events.append(event));
      if (clock.nowMs() >= nextWriteMs) rewrite();
    },
    snapshot: () => reducer.concluded(),
    finish: () => {
      const failure = failureOf(() => store.writeLast(renderAll(reducer.snapshot())));
      store.close();
      if (failure !== undefined) throw failure;
      if (lostEvent !== undefined) throw lostEvent;
      return reducer.snapshot();
    },
  };
}
