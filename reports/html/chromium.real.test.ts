import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { reduceRun } from '../model/reduce.ts';
import { type Chromium, type OpenPage, startChromium } from '../testing/chromium.ts';
import { hostileRun } from '../testing/hostile.ts';
import * as runs from '../testing/runs.ts';
import { renderHtml } from './render.ts';

const page = (make: () => ReturnType<typeof runs.greenRun>) => renderHtml(reduceRun(make()));
const everyRun = Object.entries({ ...runs, hostileRun }).filter((entry) => typeof entry[1] === 'function') as [
  string,
  typeof runs.greenRun,
][];
let chromium: Chromium;

beforeAll(async () => {
  chromium = await startChromium();
});
afterAll(() => chromium?.close());

const seen = (open: OpenPage) => open.evaluate<string>('document.body.innerText');
const number = (open: OpenPage, selector: string) =>
  open.evaluate<number>(`document.querySelectorAll(${JSON.stringify(selector)}).length`);

/** Texts whose contrast with what is behind them is below 4.5, the least that WCAG 2 level AA accepts for text of this size. */
const LOW_CONTRAST = `(() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const over = (layers) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const layer of layers) { canvas.fillStyle = layer; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest('svg') || ![...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (!element.checkVisibility()) continue;
    const behind = [];
    for (let item = element; item; item = item.parentElement) behind.unshift(getComputedStyle(item).backgroundColor);
    const back = light(over(['#fff', ...behind]));
    const front = light(over(['#fff', ...behind, getComputedStyle(element).color]));
    const ratio = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
    if (ratio < 4.5) low.push(element.className + ' ' + element.textContent.slice(0, 40) + ' ' + ratio.toFixed(2));
  }
  return low;
})()`;

describe('the page in Chromium', () => {
  test.each(everyRun)(
    '%s: no message, no request but the page itself, nothing wider than the window',
    async (_name, make) => {
      const open = await chromium.open(page(make), { width: 360 });
      expect(open.messages).toEqual([]);
      expect(open.requests.filter((url) => !url.startsWith('data:image/')).map((url) => url.split('/').at(-1))).toEqual(
        ['index.html'],
      );
      expect(await open.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360);
      expect(await open.evaluate('document.scripts.length')).toBe(1);
    },
  );

  test('a page that loads, runs or styles what it should not is noticed', async () => {
    const text = page(runs.oneGreenRun);
    const bad = {
      script: '<script>alert(1)</script>',
      handler: '<p onclick="alert(1)">x</p>',
      style: '<p style="color:red">x</p>',
      image: '<img src="http://127.0.0.1:9/x.png" alt="">',
    };
    for (const [what, markup] of Object.entries(bad)) {
      const open = await chromium.open(text.replace('<main', `${markup}<main`));
      // A handler is refused when it would run.
      await open.evaluate('document.querySelector("[onclick]")?.click()');
      expect(open.messages.join('\n'), what).toMatch(/Content Security Policy/);
      expect(open.messages.join('\n'), what).not.toMatch(/^dialog/m);
    }
  });

  test('a green run says what was shown, what was not, and how it went', async () => {
    const open = await chromium.open(page(runs.greenRun));
    const text = await seen(open);
    for (const part of [
      'PASSED',
      '8 checks in 2 scenarios held on fake:naples, EPYC 7001 (Naples). 1 scenario skipped.',
      'The host is emulated: this says nothing about a real CPU, firmware or kernel.',
      'Guests of the emulated host execute no code, and their memory is not encrypted.',
      'slot-es-split skipped: needs sev-es: the host offers no SEV-ES (MinASID 1 leaves none)',
      '0.17 build 48',
      'sev_kvm_init: failed to initialize ret=-16 fw_error=0',
    ]) {
      expect(text).toContain(part);
    }
    expect(await number(open, '#slot-limit svg .bar.first')).toBe(16);
    expect(await open.evaluate<string>('document.title')).toBe('✓ Passed: 3 scenarios on fake:naples');
  });

  test('the slot timeline has a bar for each guest inside its frame, and none overlaps another on its slot', async () => {
    const open = await chromium.open(page(runs.oneGreenRun));
    const boxes = await open.evaluate<{ left: number; right: number; top: number; bottom: number }[]>(
      `[...document.querySelectorAll('.timeline .scroll g > .bar')].map((bar) => { const { left, right, top, bottom } = bar.getBoundingClientRect(); return { left, right, top, bottom }; })`,
    );
    const frame = await open.evaluate<{ left: number; right: number }>(
      `(() => { const { left, right } = document.querySelector('.timeline .field').getBoundingClientRect(); return { left, right }; })()`,
    );
    expect(boxes.length).toBe(17);
    for (const [index, a] of boxes.entries()) {
      expect(a.left).toBeGreaterThanOrEqual(frame.left - 1);
      expect(a.right).toBeLessThanOrEqual(frame.right + 1);
      for (const b of boxes.slice(index + 1)) {
        const isApart = a.right <= b.left + 0.5 || b.right <= a.left + 0.5 || a.bottom <= b.top || b.bottom <= a.top;
        expect(isApart).toBe(true);
      }
    }
  });

  test('a red run shows at once what broke: promise, expected, actual and why are above the fold of its scenario', async () => {
    const open = await chromium.open(page(runs.redRun));
    const row = await open.evaluate<string>(`document.querySelector('#slot-limit .check').innerText`);
    expect(row).toContain('after one guest stops, exactly one more starts');
    expect(row).toContain('["started", "refused"]');
    expect(row).toContain('["refused", "refused"]');
    expect(row).toContain('the slot of the stopped guest did not come back');
    expect(await open.evaluate('document.querySelector(".scenario").id')).toBe('slot-limit');
  });

  test('a telephone shows in the overview what failed and why, without the promises', async () => {
    const open = await chromium.open(page(runs.redRun), { width: 360 });
    const row = await open.evaluate<string>(`document.querySelector('.index tbody tr').innerText`);
    expect(row).toContain('2 of 6 checks failed: “after one guest stops, exactly one more starts”');
    expect(row).not.toContain('The host runs exactly as many SEV guests');
    const box = await open.evaluate<number>(`document.querySelector('.index .because').getBoundingClientRect().width`);
    expect(box).toBeGreaterThan(250);
  });

  test.each([1200, 360])(
    'at %i px the console of a failed boot is as wide as its error, and scrolls',
    async (width) => {
      const open = await chromium.open(page(runs.bootFailedRun), { width });
      const [box, around] = await open.evaluate<[number, number]>(
        `['.error pre[tabindex]', '.error'].map((selector) => document.querySelector(selector).getBoundingClientRect().width)`,
      );
      expect(box).toBeGreaterThan(around - 40);
      expect(await open.evaluate(`getComputedStyle(document.querySelector('.error pre[tabindex]')).overflowY`)).toBe(
        'auto',
      );
      expect(await seen(open)).toContain('BdsDxe: No bootable option or device was found.\n');
    },
  );

  test('1006 guests are one area that reaches the limit line, quickly and in one page', async () => {
    const text = page(runs.bigRun);
    const open = await chromium.open(text);
    expect(await number(open, 'svg path.usage')).toBe(1);
    const gap = await open.evaluate<number>(
      `document.querySelector('path.usage').getBoundingClientRect().top - document.querySelector('.timeline .limit').getBoundingClientRect().top`,
    );
    expect(Math.abs(gap)).toBeLessThan(2);
    expect(text.length).toBeLessThan(1_000_000);
  });

  test.each(['light', 'dark'] as const)('all text is readable in %s', async (scheme) => {
    for (const make of [runs.redRun, runs.brokenRun, runs.flakyRun, runs.interruptedRun, runs.greenRun]) {
      const open = await chromium.open(page(make), { scheme });
      await open.evaluate(`document.querySelectorAll('details').forEach((item) => { item.open = true; })`);
      expect(await open.evaluate(LOW_CONTRAST)).toEqual([]);
    }
  });

  test('filter and find leave what was asked for, and say how much', async () => {
    const open = await chromium.open(page(runs.redRun));
    const shown = () =>
      open.evaluate<string[]>(
        `[...document.querySelectorAll('.scenario')].filter((s) => s.checkVisibility()).map((s) => s.id)`,
      );
    expect(await shown()).toEqual(['slot-limit', 'slot-churn']);
    await open.evaluate(`document.querySelector('[data-show="expected"]').click()`);
    expect(await shown()).toEqual(['slot-churn']);
    await open.evaluate(`document.querySelector('[data-show="all"]').click()`);
    await open.evaluate(
      `(() => { const box = document.querySelector('.tools input'); box.value = 'LEAKS back'; box.dispatchEvent(new Event('input')); })()`,
    );
    expect(await shown()).toEqual([]);
    expect(await open.evaluate(`document.querySelector('[role=status]').textContent`)).toBe('0 of 2 shown');
  });

  test('a link to a folded scenario unfolds it, and printing unfolds all', async () => {
    const unfolded = `[...document.querySelectorAll('.scenario > details[open]')].map((item) => item.parentElement.id)`;
    const plain = await chromium.open(page(runs.redRun));
    expect(await plain.evaluate(unfolded)).toEqual(['slot-limit']);
    const linked = await chromium.open(page(runs.redRun), { hash: 'slot-churn' });
    expect(await linked.evaluate(unfolded)).toEqual(['slot-limit', 'slot-churn']);
    await plain.evaluate(`dispatchEvent(new Event('beforeprint'))`);
    expect(await plain.evaluate(unfolded)).toEqual(['slot-limit', 'slot-churn']);
  });

  test('without its script the page has the same text', async () => {
    const text = page(runs.redRun);
    const [withScript, without] = [
      await chromium.open(text),
      await chromium.open(text.replace(/<script>[\s\S]*?<\/script>/, '')),
    ];
    const main = `document.querySelector('.scenario').innerText`;
    expect(await without.evaluate(main)).toBe(await withScript.evaluate(main));
    expect(await number(without, '.tools:not([hidden])')).toBe(0);
  });
});
