import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { errorText } from '../../core/errors.ts';
import { harnessError } from '../errors.ts';
import { importedDefinitions, type ScenarioDefinition } from '../fixtures/scenario.ts';

const SUFFIX = /\.scenario\.(js|ts)$/;
const folder = path.resolve(import.meta.dirname, '../../scenarios');
/** Of the compiled program in a checkout; an installed package has no source. */
const sourceFolder = path.resolve(import.meta.dirname, '../../../scenarios');

export interface ScenarioFile {
  readonly definition: ScenarioDefinition;
  readonly file: string;
}

/** Names of scenario files, sorted, without compiled ones whose source was removed or renamed: the compiler lets those lie. */
export function scenarioNames(from: string, sources: string): string[] {
  const isCurrent = (name: string) =>
    !name.endsWith('.js') || !existsSync(sources) || existsSync(path.join(sources, name.replace(/js$/, 'ts')));
  return readdirSync(from)
    .filter((name) => SUFFIX.test(name) && isCurrent(name))
    .sort();
}

/** Every scenario of the catalogue, by id. Throws `SCENARIO_FILE` for one that does not load or is misnamed. */
export async function loadScenarios(): Promise<ScenarioFile[]> {
  const names = existsSync(folder) ? scenarioNames(folder, sourceFolder) : [];
  const scenarios: ScenarioFile[] = [];
  for (const name of names) {
    const file = path.join(folder, name);
    const known = importedDefinitions.length;
    try {
      await import(pathToFileURL(file).href);
    } catch (error) {
      throw harnessError('SCENARIO_FILE', `${file} does not load: ${errorText(error)}`, { cause: error });
    }
    const added = importedDefinitions.slice(known);
    const [definition] = added;
    const id = name.replace(SUFFIX, '');
    if (definition === undefined || added.length > 1 || definition.id !== id)
      throw harnessError('SCENARIO_FILE', `${file} must declare exactly one scenario, with the id '${id}'`);
    scenarios.push({ definition, file });
  }
  return scenarios;
}

/** The scenarios with these ids, all when none is named. Throws `CLI_USAGE` for an unknown id. */
export function selectScenarios(all: readonly ScenarioFile[], ids: readonly string[]): ScenarioFile[] {
  const known = new Map(all.map((entry) => [entry.definition.id, entry]));
  const unknown = ids.filter((id) => !known.has(id));
  if (unknown.length > 0)
    throw harnessError('CLI_USAGE', `unknown scenario ${unknown.map((id) => `'${id}'`).join(', ')}`, {
      hint: `Scenarios: ${[...known.keys()].join(', ')}.`,
    });
  return all.filter((entry) => ids.length === 0 || ids.includes(entry.definition.id));
}
