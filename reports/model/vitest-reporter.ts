import type { Reporter, TestModule } from 'vitest/node';
import type { RunEvent } from './events.ts';
import type { ReportedError } from './run.ts';

/** Turns what vitest reports into run events; scenarios send theirs as annotations of one type, as JSON. */
export function eventReporter(options: {
  readonly annotationType: string;
  readonly emit: (event: RunEvent) => void;
  readonly nowMs: () => number;
  /** What a scenario prints with `console`. */
  readonly print: (text: string) => void;
}): Reporter {
  const runError = (message: string, stack: string | undefined) => {
    const error: ReportedError = { kind: 'harness', message, ...(stack === undefined ? {} : { stack }) };
    options.emit({ type: 'run-error', atMs: options.nowMs(), error });
  };
  return {
    onTestCaseAnnotate(_testCase, annotation) {
      if (annotation.type === options.annotationType) options.emit(JSON.parse(annotation.message) as RunEvent);
    },
    onTestModuleEnd(module: TestModule) {
      for (const error of module.errors())
        runError(`${module.relativeModuleId} did not load: ${error.message}`, error.stack);
    },
    onTestRunEnd(_modules, unhandledErrors) {
      for (const error of unhandledErrors) runError(`unhandled: ${error.message}`, error.stack);
    },
    onUserConsoleLog(log) {
      options.print(log.content);
    },
  };
}
