import { type Clock, systemClock } from '../../core/clock.ts';
import type { RunEvent } from '../model/events.ts';
import { formatEvent } from '../model/jsonl.ts';
import type { Run } from '../model/run.ts';
import { wantsColour } from './paint.ts';
import { createProgress } from './progress.ts';
import { renderSummary } from './summary.ts';

/** How often the live line turns and slow steps are looked for. */
const TICK_MS = 250;

/** The part of `process.stderr` that progress needs. */
export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface TerminalReporter {
  push(event: RunEvent): void;
  /** Ends progress: what is printed from now on stands below it. */
  close(): void;
  /** Ends progress and prints the summary, without `reportPath` that of a run whose report could not be written. */
  finish(run: Run, reportPath: string | undefined): void;
}

/** Progress on a stream, with a timer that does not keep the process alive. */
export function openTerminal(
  stream: TerminalStream,
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock = systemClock,
): TerminalReporter {
  const isTty = stream.isTTY === true;
  const isColoured = wantsColour(isTty, env);
  const progress = createProgress({
    write: (text) => stream.write(text),
    isTty,
    isColoured,
    columns: () => stream.columns ?? 80,
  });
  let offsetMs = 0;
  const timer = setInterval(() => progress.tick(clock.nowMs() - offsetMs), TICK_MS);
  timer.unref();
  const close = () => {
    clearInterval(timer);
    progress.close();
  };
  return {
    push: (event) => {
      offsetMs = clock.nowMs() - event.atMs;
      progress.push(event);
    },
    close,
    finish: (run, reportPath) => {
      close();
      const areErrorsTold = run.scenarios.length === 0;
      stream.write(
        renderSummary(run, {
          isColoured,
          areErrorsTold,
          ...(reportPath === undefined ? { isUnwritten: true } : { reportPath }),
        }),
      );
    },
  };
}

/** `--json`: each event as one line. */
export function openJsonStream(stream: Pick<TerminalStream, 'write'>): { push(event: RunEvent): void } {
  return { push: (event) => void stream.write(formatEvent(event)) };
}
