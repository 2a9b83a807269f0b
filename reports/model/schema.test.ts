import { readFileSync } from 'node:fs';
import path from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { reduceRun } from './reduce.ts';
import type { AttemptRow, CheckRow, EvidenceItem, HostFacts, ReportedError, Run, ScenarioRow, StepRow } from './run.ts';
import { firstViolation } from './schema-check.ts';

const schema = JSON.parse(readFileSync(path.join(import.meta.dirname, 'run.schema.json'), 'utf8'));
const ajv = new Ajv2020({ strict: true, allErrors: false });
const validateRun = ajv.compile(schema);
const validateEvent = ajv.compile({ $ref: `${schema.$id}#/$defs/event` });

const makers = { ...runs, hostileRun };
const stored = (make: () => ReturnType<typeof runs.greenRun>): unknown => JSON.parse(JSON.stringify(reduceRun(make())));

describe('run.schema.json', () => {
  test.each(
    Object.entries(makers).filter((entry) => typeof entry[1] === 'function') as [string, typeof runs.greenRun][],
  )('accepts %s and each of its events, by ajv and by our own check', (name, make) => {
    expect(validateRun(stored(make)), `${name}: ${ajv.errorsText(validateRun.errors)}`).toBe(true);
    expect(firstViolation('run', stored(make))).toBeUndefined();
    for (const event of make()) {
      const line: unknown = JSON.parse(JSON.stringify(event));
      expect(validateEvent(line), ajv.errorsText(validateEvent.errors)).toBe(true);
      expect(firstViolation('event', line)).toBeUndefined();
    }
  });

  test('names exactly the properties that the types have', () => {
    const keys = <T>(known: Record<keyof Required<T>, true>) => Object.keys(known).sort();
    const header = {
      runId: true,
      startedAt: true,
      command: true,
      harnessVersion: true,
      nodeVersion: true,
      platform: true,
      host: true,
      faults: true,
      required: true,
    } as const;
    const scenario = { id: true, title: true, source: true, needs: true, maturity: true, file: true } as const;
    const typed = {
      runHeader: Object.keys(header).sort(),
      scenarioHeader: Object.keys(scenario).sort(),
      scenario: keys<ScenarioRow>({ ...scenario, status: true, outcome: true, reason: true, attempts: true }),
      attempt: keys<AttemptRow>({ status: true, startMs: true, durationMs: true, error: true, root: true }),
      step: keys<StepRow>({
        title: true,
        status: true,
        startMs: true,
        durationMs: true,
        error: true,
        checks: true,
        evidence: true,
        notes: true,
        steps: true,
      }),
      check: keys<CheckRow>({
        id: true,
        outcome: true,
        title: true,
        expected: true,
        actual: true,
        because: true,
        leavesOpen: true,
        source: true,
        atMs: true,
      }),
      evidence: keys<EvidenceItem>({
        path: true,
        name: true,
        mediaType: true,
        bytes: true,
        sha256Hex: true,
        text: true,
        base64: true,
      }),
      error: keys<ReportedError>({ kind: true, message: true, code: true, hint: true, details: true, stack: true }),
      hostFacts: keys<HostFacts>({
        name: true,
        uri: true,
        kind: true,
        hostname: true,
        profile: true,
        generation: true,
        versions: true,
        capabilities: true,
        facts: true,
        notVerified: true,
      }),
    };
    for (const [name, expected] of Object.entries(typed)) {
      expect(Object.keys(schema.$defs[name].properties).sort(), name).toEqual(expected);
      expect(schema.$defs[name].additionalProperties, name).toBe(false);
    }
    const run = keys<Run>({
      ...header,
      schemaVersion: true,
      status: true,
      unfinished: true,
      exitCode: true,
      durationMs: true,
      hostFacts: true,
      scenarios: true,
      errors: true,
      leftBehind: true,
    });
    expect(Object.keys(schema.properties).sort()).toEqual(run);
  });

  test('our own check and ajv agree on every mutation of a run', () => {
    const places = placesOf(stored(runs.brokenRun));
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(places.length - 1), fc.constantFrom(...MUTATIONS), (index, mutation) => {
        const run = stored(runs.brokenRun);
        mutate(run, places[index] ?? [], mutation);
        const violation = firstViolation('run', run);
        if (violation !== undefined) refused += 1;
        expect(violation === undefined, violation).toBe(validateRun(run));
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(1000);
  });

  test('a violation says where it is and what was expected', () => {
    const run = stored(runs.greenRun) as {
      scenarios: { attempts: { root: { steps: { durationMs: unknown }[] } }[] }[];
    };
    const step = run.scenarios[0]?.attempts[0]?.root.steps[2];
    if (step !== undefined) step.durationMs = 'soon';
    expect(firstViolation('run', run)).toBe('scenarios[0].attempts[0].root.steps[2].durationMs is "soon", not number');
    expect(firstViolation('run', 7)).toBe('the whole is 7, not object');
    expect(firstViolation('event', { type: 'x', atMs: 1 })).toBe('the whole has the unknown type "x"');
  });

  test('a run nested without end is refused, not overflowed', () => {
    const run = stored(runs.killedRun) as { scenarios: { attempts: { root: { steps: unknown[] } }[] }[] };
    const root = run.scenarios[0]?.attempts[0]?.root;
    let steps: unknown[] = [];
    for (let depth = 0; depth < 5000; depth += 1) steps = [{ ...root, steps }];
    if (root !== undefined) root.steps = steps;
    expect(firstViolation('run', run)).toMatch(/nested deeper than 400 levels$/);
  });
});

type Path = readonly (string | number)[];
const MUTATIONS = ['remove', 'null', 'number', 'negative', 'text', 'array', 'extra', 'empty'] as const;

function placesOf(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [
    path,
    ...Object.entries(value).flatMap(([key, item]) =>
      placesOf(item, [...path, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

function mutate(root: unknown, path: Path, mutation: (typeof MUTATIONS)[number]): void {
  const key = path.at(-1);
  if (key === undefined) return;
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((item, part) => (item as Record<string | number, unknown>)[part], root) as Record<
    string | number,
    unknown
  >;
  const values = { null: null, number: 1.5, negative: -1, text: '<text>', array: ['a'], empty: {} };
  if (mutation === 'extra') parent.surprise = 1;
  else if (mutation !== 'remove') parent[key] = values[mutation];
  else if (Array.isArray(parent)) parent.splice(Number(key), 1);
  else delete parent[key];
}
