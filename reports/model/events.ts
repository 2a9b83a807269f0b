import type { CheckRow, EvidenceItem, HostFacts, ReportedError, RunHeader, ScenarioHeader, Status } from './run.ts';

/** Where in a run something happened. `step` numbers count up within an attempt; 0 is the attempt itself. */
interface Place {
  readonly scenario: string;
  /** 1 for the first. */
  readonly attempt: number;
}

/**
 * One line of `run.jsonl`. `atMs` is milliseconds since the run started.
 *
 * The stream is the truth: `run.json`, live progress and every report derive from it.
 */
export type RunEvent = { readonly atMs: number } & (
  | { readonly type: 'run-started'; readonly schemaVersion: number; readonly run: RunHeader }
  | { readonly type: 'host-described'; readonly host: HostFacts }
  | ({ readonly type: 'scenario-started'; readonly header: ScenarioHeader } & Place)
  | ({ readonly type: 'step-started'; readonly step: number; readonly parent: number; readonly title: string } & Place)
  | ({ readonly type: 'step-finished'; readonly step: number; readonly error?: ReportedError } & Place)
  | ({ readonly type: 'check'; readonly step: number; readonly check: CheckRow } & Place)
  | ({ readonly type: 'evidence'; readonly step: number; readonly evidence: EvidenceItem } & Place)
  | ({ readonly type: 'note'; readonly step: number; readonly text: string } & Place)
  | ({
      readonly type: 'scenario-finished';
      readonly status: Status;
      readonly reason?: string;
      readonly error?: ReportedError;
    } & Place)
  | { readonly type: 'run-error'; readonly error: ReportedError }
  | { readonly type: 'left-behind'; readonly what: string }
  | { readonly type: 'interrupted' }
  | { readonly type: 'run-finished'; readonly exitCode: number }
);
