import { statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { errorText } from '../../core/errors.ts';
import { diffRuns, formatDiff } from '../../reports/diff/index.ts';
import { reportError, unwritableHint } from '../../reports/errors.ts';
import { renderAll, renderers } from '../../reports/index.ts';
import { makeFolder } from '../../reports/model/folder.ts';
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
  const folder = path.resolve(options.out ?? (statSync(file).isDirectory() ? file : path.dirname(file)));
  for (const target of writeReports(folder, renderAll(run))) process.stdout.write(`${target}\n`);
  return EXIT.ok;
}

function writeReports(folder: string, files: ReadonlyMap<string, string>): string[] {
  try {
    makeFolder(folder);
    return [...files].map(([name, content]) => {
      writeFileSync(path.join(folder, name), content);
      return path.join(folder, name);
    });
  } catch (error) {
    throw reportError('REPORT_FOLDER_UNWRITABLE', `reports cannot be written to ${folder}: ${errorText(error)}`, {
      cause: error,
      details: { folder },
      hint: unwritableHint('--out', error),
    });
  }
}

/**
 * Compares a run with a baseline. Exit code 1 when a promise is broken that was not broken before; otherwise 2 when the harness,
 * the host or an interrupt kept the candidate from judging.
 */
export function diffVerb(baseline: string, candidate: string, options: { readonly json?: boolean }): number {
  const diff = diffRuns(readRun(baseline), readRun(candidate));
  process.stdout.write(options.json ? `${JSON.stringify(diff)}\n` : formatDiff(diff));
  if (diff.newFailures.length > 0) return EXIT.product;
  return diff.wasStopped || diff.notJudged.length + diff.neverJudged.length > 0 ? EXIT.broken : EXIT.ok;
}
