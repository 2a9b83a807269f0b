import fc from 'fast-check';
import { XMLValidator } from 'fast-xml-parser';
import { describe, expect, test } from 'vitest';
import { reduceRun } from '../model/reduce.ts';
import type { Run } from '../model/run.ts';
import { HOSTILE, hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { escapeHtml, html, trusted } from './markup.ts';
import { renderHtml } from './render.ts';

const page = (make: () => ReturnType<typeof runs.greenRun>) => renderHtml(reduceRun(make()));
/** The page without style and script, one element a line, for people to read in a snapshot. */
const bare = (text: string) =>
  text
    .replace(/<style>[\s\S]*?<\/style>/, '<style/>')
    .replace(/<script>[\s\S]*?<\/script>/, '<script/>')
    .replace(/'sha256-[^']+'/g, "'sha256'")
    .replaceAll('><', '>\n<');

describe('renderHtml', () => {
  test.each([
    ['killed', runs.killedRun],
    ['broken', runs.brokenRun],
    ['skipped', runs.skippedRun],
    ['unreachable', runs.unreachableRun],
    ['two pools', runs.twoPoolRun],
  ])('%s run', (_name, make) => {
    expect(bare(page(make))).toMatchSnapshot();
  });

  test('failures come first and are open; passes beside them are folded', () => {
    const text = page(runs.redRun);
    expect(text.indexOf('<article class="scenario failed" id="slot-limit"')).toBeLessThan(
      text.indexOf('id="slot-churn"'),
    );
    expect(text).toMatch(/id="slot-limit"[^>]*><details open>/);
    expect(text).toMatch(/id="slot-churn"[^>]*><details>/);
    expect(page(runs.greenRun)).toMatch(/id="slot-churn"[^>]*><details open>/);
  });

  test('of several scenarios the page first lists all, failures on top with their reason, then what stays open', () => {
    const text = page(runs.redRun);
    const places = ['<h1>', 'class="index"', 'href="#slot-limit"', 'href="#slot-churn"', 'Not shown', '<article'];
    const at = places.map((place) => text.indexOf(place));
    expect(at).toEqual([...at].sort((a, b) => a - b));
    expect(/href="#slot-limit"[\s\S]*?<\/tr>/.exec(text)?.[0]).toMatch(
      /<span class="because failed">\d+ of \d+ checks failed: /,
    );
    expect(text).not.toContain('<h2>Shown</h2>');
    expect(page(runs.oneGreenRun)).toContain('<h2>Shown</h2>');
  });

  test('a check that could not be made is not counted as held', () => {
    const skipped = { id: 'es', title: 'ES guests start', outcome: 'skipped' } as const;
    const events = runs
      .greenRun()
      .map((event) =>
        event.type === 'check' && event.check.id === 'fills-to-limit' ? { ...event, check: skipped } : event,
      );
    const row = (text: string) => /href="#slot-limit"[\s\S]*?<td>([^<]*)<\/td>/.exec(text)?.[1];
    const all = Number(row(page(runs.greenRun)));
    expect(row(renderHtml(reduceRun(events)))).toBe(`${all - 1} of ${all}`);
    const head = (text: string) => /id="slot-limit"[\s\S]*?<\/summary>/.exec(text)?.[0];
    expect(head(renderHtml(reduceRun(events)))).toContain(`${all - 1} of ${all} checks · `);
    expect(head(page(runs.greenRun))).not.toContain('checks · ');
  });

  test('nothing that comes in becomes an element, an attribute or a link to elsewhere', () => {
    const text = page(hostileRun);
    // What the texts are not: an independent scanner finds only elements and attributes that we write.
    const tags = [...text.replace(/<(style|script)>[\s\S]*?<\/\1>/g, '<$1>').matchAll(/<([a-zA-Z]+)([^>]*)>/g)];
    const names = new Set(tags.map(([, name]) => name));
    expect([...names].filter((name) => ['img', 'iframe', 'object', 'form', 'base'].includes(name ?? ''))).toEqual([]);
    expect(tags.filter(([, name]) => name === 'script').length).toBe(1);
    for (const [, , attributes] of tags) expect(attributes?.replace(/"[^"]*"/g, '""')).not.toMatch(/\son\w+\s*=/i);
    for (const [, , attributes] of tags) {
      const href = /\shref="([^"]*)"/.exec(attributes ?? '')?.[1] ?? '#';
      expect(href).toMatch(/^(?:#|artifacts\/[\w.%-]+$|run\.jsonl?$|junit\.xml$|data:image\/svg\+xml,)/);
    }
    expect(text).not.toMatch(/(?!\n)\p{Cc}|\p{Surrogate}|\u202e/u);
    for (const bad of HOSTILE.slice(0, 3)) expect(text).not.toContain(bad);
  });

  test('the body is balanced markup, whatever comes in', () => {
    for (const make of [runs.greenRun, runs.redRun, runs.flakyRun, hostileRun, runs.bigRun]) {
      const body = /<body>[\s\S]*<\/body>/.exec(page(make).replace(/<script>[\s\S]*?<\/script>/, ''))?.[0] ?? '';
      const xml = body
        .replace(/<(input|img)([^>]*)>/g, '<$1$2/>')
        .replace(/<details([^>]*) open>/g, '<details$1>')
        .replace(/ hidden /g, ' ');
      expect(XMLValidator.validate(xml)).toBe(true);
    }
  });

  test('what has several lines in the details of an error is text, without what steers a terminal', () => {
    const text = page(runs.bootFailedRun);
    expect(
      text,
    ).toContain(`<pre tabindex="0">BdsDxe: failed to load Boot0001 &quot;UEFI Non-Block Boot Device&quot; from VenMedia(1428F772): Not Found
BdsDxe: No bootable option or device was found.
BdsDxe: Press any key to enter the Boot Manager Menu.
</pre>`);
    expect(text).toContain('<dt>guest</dt><dd><code>sevh-a1b2c3-sev-01</code></dd>');
    expect(text).not.toMatch(/\\u\{?(?:00)?1b|\[2J|\\r/);
  });

  test('the same run gives the same bytes', () => {
    expect(page(runs.redRun)).toBe(page(runs.redRun));
    const run = reduceRun(runs.redRun());
    expect(renderHtml(JSON.parse(JSON.stringify(run)) as Run)).toBe(renderHtml(run));
  });

  test('each id is there once, and each link inside the page has its target', () => {
    for (const make of [runs.greenRun, runs.flakyRun, runs.twoPoolRun]) {
      const text = page(make);
      const ids = [...text.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id);
      expect(new Set(ids).size).toBe(ids.length);
      for (const [, target] of text.matchAll(/href="#([^"]*)"/g)) expect(ids).toContain(target);
    }
  });

  test('a picture is shown in place, and only as what it is', () => {
    const picture = {
      path: 'a.png',
      name: 'canary',
      mediaType: 'image/png',
      bytes: 3,
      sha256Hex: '0'.repeat(64),
      base64: 'AQID',
    };
    const place = { scenario: 'slot-limit', attempt: 1, step: 0 };
    const events = runs.killedRun();
    const svg = { ...picture, name: 'drawing', mediaType: 'image/svg+xml' };
    const text = renderHtml(
      reduceRun([
        ...events,
        { atMs: 30, type: 'evidence', ...place, evidence: picture },
        { atMs: 30, type: 'evidence', ...place, evidence: svg },
      ]),
    );
    expect(text.match(/<img [^>]*>/g)).toEqual(['<img alt="canary" src="data:image/png;base64,AQID">']);
  });
});

describe('html', () => {
  test('escapes every value that is not markup, and nothing twice', () => {
    const inner = html`<b>${'<&"\'>'}</b>`;
    expect(html`<p title="${'"'}">${[inner, 1, undefined, false]}${trusted('<hr>')}</p>`.markup).toBe(
      '<p title="&quot;"><b>&lt;&amp;&quot;&#39;&gt;</b>1<hr></p>',
    );
  });

  test('no text leaves a character that could end a text or an attribute', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escapeHtml(text)).not.toMatch(/[<>"']/);
      }),
    );
  });
});
