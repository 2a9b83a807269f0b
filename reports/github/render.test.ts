import { describe, expect, test } from 'vitest';
import { reduceRun } from '../model/reduce.ts';
import { hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { renderGithubAnnotations, renderGithubSummary } from './render.ts';

const summary = (make: () => ReturnType<typeof runs.greenRun>) => renderGithubSummary(reduceRun(make()));
const annotations = (make: () => ReturnType<typeof runs.greenRun>) => renderGithubAnnotations(reduceRun(make()));

describe('renderGithubSummary', () => {
  test.each([
    ['green', runs.greenRun],
    ['red', runs.redRun],
    ['broken', runs.brokenRun],
    ['unreachable', runs.unreachableRun],
  ])('%s run', (_name, make) => {
    expect(summary(make)).toMatchSnapshot();
  });

  test('no text from a host becomes markup, a link, or a row of its own', () => {
    const text = summary(hostileRun);
    const tags = [...text.matchAll(/<\/?([a-zA-Z]+)[^>]*>/g)].map(([, name]) => name);
    expect([...new Set(tags)].sort()).toEqual(['code', 'details', 'pre', 'summary']);
    expect(text.replace(/<pre>.*<\/pre>/g, '')).not.toMatch(/\]\(|\*\*|`|&&/);
    const table = text.split('\n').filter((line) => line.startsWith('|'));
    for (const row of table) expect([4, 5]).toContain(row.split('|').length - 2);
  });

  test('a summary that GitHub would refuse for its size is cut and says so', () => {
    const run = reduceRun(runs.redRun());
    const first = run.scenarios.find((scenario) => scenario.outcome === 'unexpected');
    if (first === undefined) throw new Error('no scenario');
    const many = {
      ...run,
      scenarios: Array.from({ length: 6000 }, (_, index) => ({ ...first, id: `scenario-ü-${index}` })),
    };
    const text = renderGithubSummary(many);
    expect(Buffer.byteLength(text)).toBeLessThan(1024 * 1024);
    expect(text.endsWith('_Cut here: the HTML report has the rest._\n')).toBe(true);
  });
});

describe('renderGithubAnnotations', () => {
  test('each failure is one error at its file, a pass on retry a warning', () => {
    expect(annotations(runs.redRun)).toMatchInlineSnapshot(`
      "::error file=scenarios/slot-limit.scenario.ts,title=slot-limit failed::2 of 6 checks failed: “after one guest stops, exactly one more starts” and “at the end as many slots are in use as at the start”
      "
    `);
    expect(annotations(runs.flakyRun)).toMatchInlineSnapshot(`
      "::warning file=scenarios/slot-limit.scenario.ts,title=slot-limit flaky::passed only on attempt 2
      "
    `);
    expect(annotations(runs.unreachableRun)).toMatchInlineSnapshot(`
      "::error title=LIBVIRT_UNREACHABLE::could not reach qemu+ssh://lab9/system: ssh: connect to host lab9 port 22: No route to host
      "
    `);
    expect(annotations(runs.skippedRun)).toMatchInlineSnapshot(`
      "::error title=Not judged::All 2 scenarios were skipped, so nothing was shown: needs sev: domcapabilities say <sev supported="no"/>.
      "
    `);
    expect(annotations(runs.greenRun)).toBe('');
  });

  test('no text from a host becomes a command of its own', () => {
    const lines = annotations(hostileRun).trimEnd().split('\n');
    expect(lines.length).toBe(3);
    for (const line of lines) expect(line).toMatch(/^::(?:error|warning) [^:\r]*::[^\r]*$/);
  });
});
