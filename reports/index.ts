import { renderGithubAnnotations, renderGithubSummary } from './github/render.ts';
import { renderHtml } from './html/render.ts';
import { renderJunit } from './junit/render.ts';
import type { Run } from './model/run.ts';
import { renderTap } from './tap/render.ts';
import { renderSummary } from './terminal/summary.ts';

/** `run.json`: what every other report can be made from again. */
export function renderJson(run: Run): string {
  return `${JSON.stringify(run, null, 1)}\n`;
}

/** The run as `run.json` will give it back, so that live reports and later ones are the same bytes. */
function asStored(run: Run): Run {
  return JSON.parse(JSON.stringify(run)) as Run;
}

/** All forms of a report by name; each is a function of the run alone. */
export const renderers = {
  html: (run: Run) => renderHtml(asStored(run)),
  junit: (run: Run) => renderJunit(asStored(run)),
  terminal: (run: Run) => renderSummary(asStored(run)),
  github: (run: Run) => renderGithubSummary(asStored(run)),
  'github-annotations': (run: Run) => renderGithubAnnotations(asStored(run)),
  tap: (run: Run) => renderTap(asStored(run)),
  json: renderJson,
} as const satisfies Readonly<Record<string, (run: Run) => string>>;

/** What a report folder holds besides `run.jsonl` and `artifacts/`: file name to content. */
export function renderAll(run: Run): Map<string, string> {
  const stored = asStored(run);
  return new Map([
    ['run.json', renderJson(stored)],
    ['junit.xml', renderJunit(stored)],
    ['index.html', renderHtml(stored)],
  ]);
}
