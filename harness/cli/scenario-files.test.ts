import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scenarioNames } from './scenario-files.ts';

let compiled: string;
let sources: string;

beforeEach(() => {
  [compiled, sources] = ['dist', 'src'].map((name) => mkdtempSync(path.join(tmpdir(), `sevh-${name}-`))) as [
    string,
    string,
  ];
  for (const name of ['b.scenario.js', 'a.scenario.js', 'a.scenario.js.map', 'a.scenario.d.ts', 'index.js'])
    writeFileSync(path.join(compiled, name), '');
});
afterEach(() => {
  for (const folder of [compiled, sources]) rmSync(folder, { recursive: true, force: true });
});

describe('scenarioNames', () => {
  it('leaves out what is compiled of a scenario that is no more', () => {
    writeFileSync(path.join(sources, 'a.scenario.ts'), '');
    expect(scenarioNames(compiled, sources)).toEqual(['a.scenario.js']);
  });

  it('takes everything compiled where no source is installed', () => {
    rmSync(sources, { recursive: true });
    expect(scenarioNames(compiled, sources)).toEqual(['a.scenario.js', 'b.scenario.js']);
  });

  it('takes source as it is', () => {
    writeFileSync(path.join(sources, 'c.scenario.ts'), '');
    expect(scenarioNames(sources, path.join(sources, 'none'))).toEqual(['c.scenario.ts']);
  });
});
