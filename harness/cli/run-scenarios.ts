import path from 'node:path';
import { BaseSequencer, createVitest, type TestSpecification } from 'vitest/node';
import type { RunEvent } from '../../reports/model/events.ts';
import { eventReporter } from '../../reports/model/vitest-reporter.ts';
import { announceInterrupt } from '../fixtures/interrupt-channel.ts';
import { EVENT_ANNOTATION, type ScenarioSettings } from '../fixtures/settings.ts';
import { keepingInterrupts } from './interrupt.ts';

export interface ScenarioRunOptions {
  /** Absolute paths of compiled scenario files. */
  readonly files: readonly string[];
  readonly settings: ScenarioSettings;
  readonly retries: number;
  /** Scenario files that run at the same time; more than one only on emulated hosts, which each file has to itself. */
  readonly atOnce?: number;
  readonly emit: (event: RunEvent) => void;
  /** Aborting ends the scenarios after their cleanup. */
  readonly signal: AbortSignal;
}

/** One after the other, in the order of their names: vitest's own order depends on what earlier runs took and on file sizes. */
class InOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return files.sort((a, b) => (a.moduleId < b.moduleId ? -1 : 1));
  }
}

/** Runs the scenario files in vitest and returns when all have cleaned up. */
export async function runScenarios(options: ScenarioRunOptions): Promise<void> {
  const { files, settings, signal } = options;
  const vitest = await keepingInterrupts(() =>
    createVitest(
      'test',
      {
        config: false,
        root: path.dirname(files[0] ?? '.'),
        include: files.map((file) => path.basename(file)),
        watch: false,
        pool: 'threads',
        isolate: false,
        fileParallelism: options.atOnce !== undefined,
        maxWorkers: options.atOnce ?? 1,
        testTimeout: 0,
        hookTimeout: 0,
        retry: options.retries,
        ...(options.atOnce === undefined ? { sequence: { sequencer: InOrder } } : {}),
        provide: { sevHarness: settings },
        reporters: [
          eventReporter({
            annotationType: EVENT_ANNOTATION,
            emit: options.emit,
            nowMs: () => Date.now() - settings.startedAtMs,
            print: (text) => process.stderr.write(text),
          }),
        ],
        server: { deps: { external: [/.*/] } },
      },
      { envDir: false, logLevel: 'silent' },
    ),
  );
  using _interrupt = announceInterrupt(settings.owner.runId, signal);
  try {
    if (!signal.aborted) await vitest.start();
  } finally {
    await vitest.close();
  }
}
