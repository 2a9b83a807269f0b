import { createHash } from 'node:crypto';
import type { RunEvent } from '../model/events.ts';
import {
  type CheckRow,
  type EvidenceItem,
  type HostFacts,
  type ReportedError,
  type RunHeader,
  SCHEMA_VERSION,
  type ScenarioHeader,
  SLOT_TIMELINE_TYPE,
  type SlotTimeline,
  type Status,
} from '../model/run.ts';

/** Writes the events of a run by hand, with a clock that moves only when it is told to. */
export interface Script {
  readonly events: RunEvent[];
  nowMs(): number;
  pass(ms: number): void;
  scenario(header: ScenarioHeader, attempt?: number): Scene;
  error(error: ReportedError): void;
  leftBehind(what: string): void;
  interrupt(): void;
  finish(exitCode: number): RunEvent[];
}

/** One attempt of one scenario. */
export interface Scene {
  step(title: string, ms: number, body?: (inner: Scene) => void, error?: ReportedError): void;
  /** Starts a step that nothing ends. */
  openStep(title: string): Scene;
  check(check: CheckRow): void;
  attach(name: string, mediaType: string, content: string | Uint8Array): void;
  timeline(timeline: SlotTimeline): void;
  note(text: string): void;
  end(status: Status, extra?: { reason?: string; error?: ReportedError }): void;
}

export function evidenceItem(
  path: string,
  name: string,
  mediaType: string,
  content: string | Uint8Array,
): EvidenceItem {
  const bytes = Buffer.from(content);
  const isText = typeof content === 'string';
  return {
    path,
    name,
    mediaType,
    bytes: bytes.length,
    sha256Hex: createHash('sha256').update(bytes).digest('hex'),
    ...(isText ? { text: content } : mediaType === 'image/png' ? { base64: bytes.toString('base64') } : {}),
  };
}

export function writeScript(run: RunHeader, host?: HostFacts): Script {
  let atMs = 0;
  let files = 0;
  const events: RunEvent[] = [{ atMs, type: 'run-started', schemaVersion: SCHEMA_VERSION, run }];
  if (host !== undefined) events.push({ atMs: 4, type: 'host-described', host });
  if (host !== undefined) atMs = 5;

  const scenario = (header: ScenarioHeader, attempt = 1): Scene => {
    const place = { scenario: header.id, attempt };
    let steps = 0;
    const sceneOf = (current: number): Scene => {
      const start = (title: string) => {
        steps += 1;
        events.push({ atMs, type: 'step-started', ...place, step: steps, parent: current, title });
        return steps;
      };
      const scene: Scene = {
        step: (title, ms, body, error) => {
          const step = start(title);
          body?.(sceneOf(step));
          atMs += ms;
          events.push({ atMs, type: 'step-finished', ...place, step, ...(error === undefined ? {} : { error }) });
        },
        openStep: (title) => sceneOf(start(title)),
        check: (check) => events.push({ atMs, type: 'check', ...place, step: current, check }),
        attach: (name, mediaType, content) => {
          files += 1;
          const path = `${header.id}-${files}-${name}`.replace(/[^\w.-]+/g, '-').replace(/^-/, '');
          events.push({
            atMs,
            type: 'evidence',
            ...place,
            step: current,
            evidence: evidenceItem(path, name, mediaType, content),
          });
        },
        timeline: (timeline) => scene.attach('slot-timeline.json', SLOT_TIMELINE_TYPE, JSON.stringify(timeline)),
        note: (text) => events.push({ atMs, type: 'note', ...place, step: current, text }),
        end: (status, extra = {}) => events.push({ atMs, type: 'scenario-finished', ...place, status, ...extra }),
      };
      return scene;
    };
    events.push({ atMs, type: 'scenario-started', ...place, header });
    return sceneOf(0);
  };

  return {
    events,
    nowMs: () => atMs,
    pass: (ms) => {
      atMs += ms;
    },
    scenario,
    error: (error) => events.push({ atMs, type: 'run-error', error }),
    leftBehind: (what) => events.push({ atMs, type: 'left-behind', what }),
    interrupt: () => events.push({ atMs, type: 'interrupted' }),
    finish: (exitCode) => {
      events.push({ atMs, type: 'run-finished', exitCode });
      return events;
    },
  };
}
