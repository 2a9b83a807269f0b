import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { diffRuns, formatDiff } from '../../reports/diff/index.ts';
import { renderAll, renderers } from '../../reports/index.ts';
import { readRun } from '../../reports/read.ts';
import { harnessError } from '../errors.ts';
import { EXIT } from './output.ts';

export interface RenderOptions {
  readonly out?: string;
  readonly format?: string;
}

/** Writes the reports of a finished run again: the same bytes as the run wrote. */
export function renderVerb(file: string, options: RenderOptions): number {
  const run = readRun(file);
  if (options.format !== undefined) {
    const render = (renderers as Record<string, (typeof renderers)[keyof typeof renderers] | undefined>)[
      options.format
    ];
    if (render === undefined)
      throw harnessError('CLI_USAGE', `--format: unknown format '${options.format}'`, {
        hint: `Formats: ${Object.keys(renderers).join(', ')}.`,
      });
    process.stdout.write(render(run));
    return EXIT.ok;
  }
  const folder = path.resolve(options.out ?? path.dirname(file));
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of renderAll(run)) {
    writeFileSync(path.join(folder, name), content);
    process.stdout.write(`${path.join(folder, name)}\n`);
  }
  return EXIT.ok;
}

/** Compares a run with a baseline. Exit code 1 when something that held before does not hold now. */
export function diffVerb(baseline: string, candidate: string, options: { readonly json?: boolean }): number {
  const diff = diffRuns(readRun(baseline), readRun(candidate));
  process.stdout.write(options.json ? `${JSON.stringify(diff)}\n` : formatDiff(diff));
  return diff.newFailures.length > 0 ? EXIT.product : EXIT.ok;
}
