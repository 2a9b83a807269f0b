import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { RunEvent } from '../model/events.ts';
import { reduceRun } from '../model/reduce.ts';
import { hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { parseXml, violations } from '../testing/xsd.ts';
import { renderJunit } from './render.ts';
import { element, formatXml } from './xml.ts';

const schemaPath = path.join(import.meta.dirname, 'junit.xsd');
const schema = readFileSync(schemaPath, 'utf8');
const allRuns: Record<string, () => RunEvent[]> = {
  green: runs.greenRun,
  red: runs.redRun,
  broken: runs.brokenRun,
  flaky: runs.flakyRun,
  interrupted: runs.interruptedRun,
  killed: runs.killedRun,
  skipped: runs.skippedRun,
  unreachable: runs.unreachableRun,
  big: runs.bigRun,
  hostile: hostileRun,
};
const junitOf = (events: RunEvent[]) => renderJunit(reduceRun(events));

describe('renderJunit', () => {
  test.each(Object.keys(allRuns))('%s run is valid by junit.xsd', (name) => {
    const xml = junitOf(allRuns[name]?.() ?? []);
    expect(violations(schema, xml)).toEqual([]);
    // The same by libxml2 where the machine has it.
    if (spawnSync('xmllint', ['--version']).error === undefined) {
      execFileSync('xmllint', ['--noout', '--schema', schemaPath, '-'], { input: xml, stdio: 'pipe' });
    }
  });

  test('the schema refuses what it should', () => {
    const xml = junitOf(runs.redRun());
    const broken = {
      attribute: xml.replace('<testcase name=', '<testcase nome='),
      order: xml.replace(/(<properties>[\s\S]*?<\/properties>)([\s\S]*?)(<\/testsuite>)/, '$2$1$3'),
      time: xml.replace(/time="[\d.]+"/, 'time="1,5"'),
      unknown: xml.replace('</testsuites>', '<surprise/></testsuites>'),
    };
    for (const [what, text] of Object.entries(broken)) expect(violations(schema, text), what).not.toEqual([]);
  });

  test('a broken promise is a failure, an unusable host an error, a skip has its reason', () => {
    expect(junitOf(runs.redRun())).toMatchSnapshot('red');
    expect(junitOf(runs.brokenRun())).toMatchSnapshot('broken');
    expect(junitOf(runs.skippedRun())).toMatchSnapshot('skipped');
    expect(junitOf(runs.unreachableRun())).toMatchSnapshot('unreachable');
  });

  test('a flaky scenario passes and keeps the failed attempt as flakyFailure', () => {
    const xml = junitOf(runs.flakyRun());
    expect(xml).toMatch(
      /<flakyFailure message="failed checks: stop-frees-one-slot, nothing-lost" type="SCENARIO_PROMISE_BROKEN">/,
    );
    expect(parseXml(xml).attributes).toMatchObject({ failures: '0', errors: '0' });
  });

  test.each(['broken', 'interrupted', 'killed', 'skipped', 'unreachable', 'red'])(
    '%s run has a failure or an error, because its exit code is not 0',
    (name) => {
      const run = reduceRun(allRuns[name]?.() ?? []);
      const { failures, errors } = parseXml(renderJunit(run)).attributes;
      expect(run.exitCode).not.toBe(0);
      expect(Number(failures) + Number(errors)).toBeGreaterThan(0);
    },
  );

  test('a carriage return is written as a reference, or every XML reader would make it a newline', () => {
    expect(formatXml(element('a', { b: 'c\rd\ne' }, 'f\rg\nh'))).toBe('<a b="c&#13;d&#10;e">f&#13;g\nh</a>');
  });

  test('texts survive the way through XML, whatever bytes a host sends', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const root = parseXml(formatXml(element('a', { b: text }, text)));
        const expected = text.replace(
          // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that XML cannot hold.
          /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff\p{Surrogate}]/gu,
          (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
        );
        expect(root.attributes.b ?? '').toBe(expected);
        expect(root.text).toBe(expected);
      }),
    );
  });
});
