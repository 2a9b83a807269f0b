import type { ErrorDetails, ErrorKind, JsonValue } from '../../core/errors.ts';

/** Version of `run.json` and `run.jsonl`. It changes when a reader of the old form would misread the new one. */
export const SCHEMA_VERSION = 1;

/** What happened. */
export type Status = 'passed' | 'failed' | 'timedOut' | 'skipped' | 'interrupted';

/** What it means: `flaky` passed on a retry, `broken` could not be judged (harness or environment error). */
export type Outcome = 'expected' | 'unexpected' | 'flaky' | 'skipped' | 'broken';

/** Code of the error that only says that checks failed; reports leave it out where they show the checks. */
export const PROMISE_BROKEN = 'SCENARIO_PROMISE_BROKEN';

/** Code of the error that ends what runs when somebody interrupts: reports say so once, and that nothing failed. */
export const INTERRUPTED = 'SCENARIO_INTERRUPTED';

/** A thrown error, as far as JSON carries it. */
export interface ReportedError {
  readonly kind: ErrorKind;
  readonly message: string;
  readonly code?: string;
  readonly hint?: string;
  readonly details?: ErrorDetails;
  readonly stack?: string;
}

/** One promise of a scenario, kept or broken. A failed prerequisite makes its dependents `skipped` with `because`. */
export interface CheckRow {
  /** Unique within its scenario, kebab-case: `refused-guest-left-nothing`. */
  readonly id: string;
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** The promise, in words. */
  readonly title: string;
  readonly expected?: JsonValue;
  readonly actual?: JsonValue;
  readonly because?: string;
  /** What a check that passed could not look at, in one sentence. */
  readonly leavesOpen?: string;
  /** Where the promise comes from: seed sentence, specification section, or documentation page. */
  readonly source?: string;
  /** When it was made, in milliseconds since the run started. In `run.json` only: in `run.jsonl` the event says it. */
  readonly atMs?: number;
}

export interface EvidenceItem {
  /** File name below `artifacts/`, unique within the run. */
  readonly path: string;
  readonly name: string;
  readonly mediaType: string;
  readonly bytes: number;
  readonly sha256Hex: string;
  /** The content itself, when it is text of at most 64 KiB or a slot timeline; otherwise only the file has it. */
  readonly text?: string;
  /** The content itself, when it is a picture of at most 256 KiB: what the HTML report shows in place. */
  readonly base64?: string;
}

export interface StepRow {
  readonly title: string;
  readonly status: 'passed' | 'failed' | 'interrupted';
  /** Milliseconds since the run started. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly error?: ReportedError;
  readonly checks: readonly CheckRow[];
  readonly evidence: readonly EvidenceItem[];
  readonly notes: readonly string[];
  readonly steps: readonly StepRow[];
}

export interface ScenarioHeader {
  readonly id: string;
  readonly title: string;
  /** Seed sentences and specification sections that the scenario proves. */
  readonly source: readonly string[];
  readonly needs: readonly string[];
  readonly maturity: 'experimental' | 'stable';
  /** Path of the scenario file, relative to the project. */
  readonly file: string;
}

/** One attempt of a scenario. The root step holds what was not inside a named step. */
export interface AttemptRow {
  readonly status: Status;
  readonly startMs: number;
  readonly durationMs: number;
  readonly error?: ReportedError;
  readonly root: StepRow;
}

export interface ScenarioRow extends ScenarioHeader {
  readonly status: Status;
  readonly outcome: Outcome;
  /** Why it was skipped, or why a skip counts as a failure. */
  readonly reason?: string;
  /** Newest last; more than one only with `--retry`. */
  readonly attempts: readonly AttemptRow[];
}

/** What the host said about itself, and which part of it is emulated. */
export interface HostFacts {
  /** As given: `fake:naples` or a libvirt URI. */
  readonly name: string;
  readonly uri: string;
  readonly kind: 'emulated' | 'real';
  readonly hostname: string;
  /** Profile of an emulated host, with the generation it models. */
  readonly profile?: string;
  readonly generation?: string;
  /** e.g. `{ libvirt: '9.0.0', qemu: '7.2.0', kernel: '6.1', sevFirmware: '0.17 build 48' }`. */
  readonly versions: Readonly<Record<string, string>>;
  /** `sev`, `sev-es`, … that the host offers. */
  readonly capabilities: readonly string[];
  /** Where each number came from: `{ maxGuests: 'domcapabilities: 15' }`. */
  readonly facts: Readonly<Record<string, string>>;
  /** What this run cannot show on this host, one sentence each. */
  readonly notVerified: readonly string[];
}

export interface RunHeader {
  readonly runId: string;
  /** ISO 8601, UTC. */
  readonly startedAt: string;
  readonly command: readonly string[];
  readonly harnessVersion: string;
  readonly nodeVersion: string;
  /** Operating system of the machine that runs the harness, not of the host under test. */
  readonly platform: string;
  /** Host as the user named it. */
  readonly host: string;
  readonly faults: readonly string[];
  readonly required: readonly string[];
}

export interface Run extends RunHeader {
  readonly schemaVersion: typeof SCHEMA_VERSION;
  readonly status: 'passed' | 'failed' | 'broken' | 'interrupted';
  /** The event stream stops before the run's end: the harness was killed, or is still at work. */
  readonly unfinished?: true;
  readonly exitCode: number;
  readonly durationMs: number;
  readonly hostFacts?: HostFacts;
  readonly scenarios: readonly ScenarioRow[];
  /** Errors that belong to no scenario: host unreachable, file did not load. */
  readonly errors: readonly ReportedError[];
  /** What cleanup could not remove, with the command that does. Empty when nothing is left behind. */
  readonly leftBehind: readonly string[];
}

/** Media type of the slot timeline that the HTML report draws; content is a `SlotTimeline` as JSON. */
export const SLOT_TIMELINE_TYPE = 'application/vnd.sev-harness.slot-timeline+json';

/** What became of every slot over time. */
export interface SlotTimeline {
  /** Pools with their limits, in drawing order: `[{ name: 'sev', limit: 15 }]`. */
  readonly pools: readonly { readonly name: string; readonly limit: number }[];
  /** One bar a guest: it held a slot from `startMs` to `endMs` (still running at the end: null). Milliseconds since the run started. */
  readonly guests: readonly {
    readonly name: string;
    readonly pool: string;
    readonly startMs: number;
    readonly endMs: number | null;
    readonly end?: 'stopped' | 'killed' | 'crashed';
  }[];
  /** Launches that the host refused. */
  readonly refusals: readonly {
    readonly name: string;
    readonly pool: string;
    readonly atMs: number;
    readonly text: string;
  }[];
}

/** Media type of the picture of memories that the HTML report draws; content is a `MemoryPicture` as JSON. */
export const MEMORY_PICTURE_TYPE = 'application/vnd.sev-harness.memory-picture+json';

/** The memories of guests side by side, as their host reads them. */
export interface MemoryPicture {
  /** One of so many bytes was counted. */
  readonly sampledOf: number;
  readonly guests: readonly {
    readonly name: string;
    /** The way of reading. */
    readonly readBy: string;
    readonly bytes: number;
    readonly pagesOfZeros: number;
    /** How often each of the 256 byte values was met in the other pages. */
    readonly histogram: readonly number[];
    readonly bytesPerTile: number;
    /** Entropy of each part of the memory, in bits per byte, 0 to 8; 0 also where there are only zeros. */
    readonly tileBits: readonly number[];
  }[];
}
