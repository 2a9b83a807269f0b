import type { SlotTimeline } from '../model/run.ts';
import { count, formatDuration, list, wordingOf } from '../model/text.ts';
import { type Html, html, nothing } from './markup.ts';
import { axisTicks, layoutSlots, type PoolLayout, type SlotBar, type SlotLayout } from './slots.ts';

const WIDTH = 1000;
const LEFT = 76;
const RIGHT = 984;
const REFUSAL_ROW = 34;
/** Beyond these a bar for each guest is noise, and the number of slots in use is drawn instead. */
const MAX_LANES = 64;
const MAX_BARS = 1500;
const AREA_HEIGHT = 220;
/** Rows of the table below the picture; the artifact has all of them. */
const MAX_ROWS = 1500;
/** Different wordings of refusals that are quoted; the artifact has all of them. */
const SHOWN_TEXTS = 4;
/** Refusals nearer to each other than this, in pixels, share a mark. */
const REFUSAL_GAP = 14;

type Scale = (ms: number) => number;

function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

/** What all names begin with, cut where a word of the name begins. */
export function commonPrefix(names: readonly string[]): string {
  const [first = ''] = names;
  let length = names.length > 1 ? first.length : 0;
  for (const name of names) {
    while (!name.startsWith(first.slice(0, length))) length -= 1;
  }
  return first.slice(0, first.slice(0, length).lastIndexOf('-') + 1);
}

function endWords(bar: SlotBar): string {
  if (bar.guest.endMs === null) return 'still running at the end';
  return bar.guest.end ?? 'stopped';
}

function drawBar(bar: SlotBar, y: number, height: number, scale: Scale, prefix: string, isOver: boolean): Html {
  const x = scale(bar.startMs);
  const width = Math.max(1.5, scale(bar.endMs) - x - 0.8);
  const label = bar.guest.name.slice(prefix.length);
  const title = `${bar.guest.name}: ${formatDuration(bar.startMs)} to ${formatDuration(bar.endMs)}, ${endWords(bar)}`;
  const hasLabel = height >= 11 && width > label.length * 6.2 + 10;
  const kind = isOver ? 'over' : bar.isReuse ? 'reuse' : 'first';
  const isViolent = bar.guest.end === 'killed' || bar.guest.end === 'crashed';
  const endX = Math.min(scale(bar.endMs), RIGHT);
  const middle = y + height / 2;
  const arm = Math.min(5, height / 2);
  return html`<g><title>${title}</title><rect class="bar ${kind}" x="${px(x)}" y="${px(y)}" width="${px(width)}" height="${px(height)}" rx="${height > 8 ? 2 : 0.5}"/>${
    hasLabel && html`<text class="bar-name" x="${px(x + 5)}" y="${px(middle + 3.6)}">${label}</text>`
  }${
    isViolent &&
    html`<path class="killed" d="M${px(endX)} ${px(middle - arm)}l${px(arm)} ${px(arm)}l${px(-arm)} ${px(arm)}l${px(-arm)} ${px(-arm)}z"/>`
  }${bar.guest.endMs === null && html`<path class="open" d="M${px(RIGHT + 1)} ${px(middle - arm)}l${px(arm * 1.4)} ${px(arm)}l${px(-arm * 1.4)} ${px(arm)}z"/>`}</g>`;
}

function drawRefusals(pool: PoolLayout, y: number, scale: Scale): Html {
  const groups: { x: number; items: PoolLayout['refusals'][number][] }[] = [];
  for (const refusal of [...pool.refusals].sort((a, b) => a.atMs - b.atMs)) {
    const x = scale(refusal.atMs);
    const last = groups.at(-1);
    if (last !== undefined && x - last.x < REFUSAL_GAP) last.items.push(refusal);
    else groups.push({ x, items: [refusal] });
  }
  let freeFrom = 0;
  return html`${groups.map(({ x, items }, index) => {
    const text = items.length === 1 ? 'refused' : `${items.length} refused`;
    const width = text.length * 6.6 + 16;
    const isLeft = x + width > RIGHT;
    const next = groups[index + 1]?.x ?? Number.POSITIVE_INFINITY;
    const isNamed = isLeft ? x - width >= freeFrom : x >= freeFrom && x + width < next;
    if (isNamed) freeFrom = isLeft ? x + 8 : x + width;
    const title = items.slice(0, 5).map((item) => `${item.name} at ${formatDuration(item.atMs)}: ${item.text}`);
    const rest = items.length > 5 ? [`and ${items.length - 5} more`] : [];
    const at = isLeft ? x - 9 : x + 9;
    return html`<g class="refusal"><title>${[...title, ...rest].join('\n')}</title><path d="M${px(x - 5)} ${px(y + 6)}l10 10m0 -10l-10 10"/>${
      isNamed && html`<text x="${px(at)}" y="${px(y + 15)}"${isLeft && html` text-anchor="end"`}>${text}</text>`
    }</g>`;
  })}`;
}

function drawLimit(pool: PoolLayout, y: number): Html {
  return html`<line class="limit" x1="${LEFT}" x2="${RIGHT}" y1="${px(y)}" y2="${px(y)}"/><text class="limit-name" x="${LEFT - 8}" y="${px(y + 4)}" text-anchor="end">limit ${pool.limit}</text>`;
}

interface Drawing {
  readonly markup: Html;
  readonly height: number;
}

/** A bar a guest, on lanes that fill upwards to the limit. */
function drawBars(pool: PoolLayout, top: number, scale: Scale, prefix: string): Drawing {
  const lanes = Math.max(pool.limit, pool.peak, 1);
  const pitch = lanes <= 8 ? 20 : lanes <= 24 ? 16 : lanes <= 40 ? 11 : 8;
  const bottom = top + REFUSAL_ROW + lanes * pitch;
  const yOf = (lane: number) => bottom - (lane + 1) * pitch;
  const labelled = new Set([1, ...Array.from({ length: 12 }, (_, index) => (index + 1) * (lanes <= 24 ? 5 : 10))]);
  const marks = [...labelled].filter((slot) => slot <= lanes && Math.abs(slot - pool.limit) * pitch > 12);
  return {
    height: REFUSAL_ROW + lanes * pitch + 8,
    markup: html`<rect class="field" x="${LEFT}" y="${px(bottom - pool.limit * pitch)}" width="${RIGHT - LEFT}" height="${px(pool.limit * pitch)}"/>${marks.map(
      (slot) =>
        html`<text class="slot" x="${LEFT - 8}" y="${px(yOf(slot - 1) + pitch / 2 + 4)}" text-anchor="end">${slot}</text>`,
    )}${pool.bars.map((bar) => drawBar(bar, yOf(bar.lane) + 1, pitch - 2, scale, prefix, bar.lane >= pool.limit))}${drawLimit(pool, bottom - pool.limit * pitch)}${drawRefusals(pool, top, scale)}`,
  };
}

/** The number of slots in use over time, for hosts with hundreds of them. */
function drawUsage(pool: PoolLayout, top: number, scale: Scale): Drawing {
  const ceiling = Math.max(pool.limit, pool.peak, 1);
  const bottom = top + REFUSAL_ROW + AREA_HEIGHT;
  const yOf = (used: number) => bottom - (used / ceiling) * AREA_HEIGHT;
  // One point a pixel is all that can be seen: of each pixel its highest number, and the last one to go on from.
  const columns = new Map<number, { high: number; last: number }>();
  for (const point of pool.usage) {
    const x = Math.round(scale(point.atMs));
    const column = columns.get(x);
    columns.set(x, { high: Math.max(column?.high ?? 0, point.used), last: point.used });
  }
  let path = `M${LEFT} ${bottom}`;
  for (const [x, column] of columns) {
    path += `H${x}V${px(yOf(column.high))}`;
    if (column.last !== column.high) path += `V${px(yOf(column.last))}`;
  }
  const peakAt = pool.usage.find((point) => point.used === pool.peak);
  const peakX = scale(peakAt?.atMs ?? 0);
  const isRight = peakX > WIDTH / 2;
  const quarters = [0.25, 0.5, 0.75].map((part) => Math.round(ceiling * part));
  return {
    height: REFUSAL_ROW + AREA_HEIGHT + 8,
    markup: html`<rect class="field" x="${LEFT}" y="${px(yOf(pool.limit))}" width="${RIGHT - LEFT}" height="${px(bottom - yOf(pool.limit))}"/>${quarters.map(
      (used) =>
        html`<line class="grid" x1="${LEFT}" x2="${RIGHT}" y1="${px(yOf(used))}" y2="${px(yOf(used))}"/><text class="slot" x="${LEFT - 8}" y="${px(yOf(used) + 4)}" text-anchor="end">${used}</text>`,
    )}<path class="usage" d="${path}H${RIGHT}V${bottom}Z"/>${drawLimit(pool, yOf(pool.limit))}${
      pool.peak > 0 &&
      html`<circle class="peak" cx="${px(peakX)}" cy="${px(yOf(pool.peak))}" r="3.5"/><text class="peak-name" x="${px(peakX + (isRight ? -8 : 8))}" y="${px(yOf(pool.peak) + 18)}" text-anchor="${isRight ? 'end' : 'start'}">${pool.peak} in use</text>`
    }${drawRefusals(pool, top, scale)}`,
  };
}

function isDrawnAsBars(pool: PoolLayout): boolean {
  return Math.max(pool.limit, pool.peak) <= MAX_LANES && pool.bars.length <= MAX_BARS;
}

function poolSentence(pool: PoolLayout): string {
  const refused =
    pool.refusals.length === 0 ? 'no launch refused' : `${count(pool.refusals.length, 'launch', 'launches')} refused`;
  return `${count(pool.bars.length, 'guest')}, at most ${pool.peak} of ${pool.limit} slots in use, ${refused}`;
}

function draw(layout: SlotLayout, prefix: string, id: string): Html {
  const scale: Scale = (ms) => LEFT + ((ms - layout.startMs) / (layout.endMs - layout.startMs)) * (RIGHT - LEFT);
  let top = 0;
  const pools = layout.pools.map((pool) => {
    const heading = html`<text class="pool" x="${LEFT}" y="${top + 16}">${pool.name}</text><text class="pool-facts" x="${RIGHT}" y="${top + 16}" text-anchor="end">${poolSentence(pool)}</text>`;
    const drawing = isDrawnAsBars(pool) ? drawBars(pool, top + 22, scale, prefix) : drawUsage(pool, top + 22, scale);
    top += 22 + drawing.height + 10;
    return html`<g data-pool="${pool.name}">${heading}${drawing.markup}</g>`;
  });
  const ticks = axisTicks(layout.startMs, layout.endMs, 8);
  const isSeconds = layout.endMs - layout.startMs > 2000;
  const axis = html`<g class="axis"><line x1="${LEFT}" x2="${RIGHT}" y1="${top}" y2="${top}"/>${ticks.map((tick) => {
    const x = px(scale(tick));
    const text = isSeconds ? `${Math.round(tick / 10) / 100} s` : `${Math.round(tick * 1000) / 1000} ms`;
    const anchor = scale(tick) > RIGHT - 24 ? 'end' : 'middle';
    return html`<line x1="${x}" x2="${x}" y1="${top}" y2="${top + 5}"/><text x="${x}" y="${top + 18}" text-anchor="${anchor}">${text}</text>`;
  })}</g>`;
  const sentences = layout.pools.map((pool) => `${pool.name}: ${poolSentence(pool)}`).join('. ');
  return html`<svg viewBox="0 0 ${WIDTH} ${top + 26}" role="img" aria-labelledby="${id}-name ${id}-words"><title id="${id}-name">Slot timeline</title><desc id="${id}-words">${sentences}. Time runs from ${formatDuration(layout.startMs)} to ${formatDuration(layout.endMs)} after the start of the run. The table below has the same facts.</desc>${pools}${axis}</svg>`;
}

function legend(layout: SlotLayout): Html {
  const bars = layout.pools
    .filter(isDrawnAsBars)
    .flatMap((pool) => pool.bars.map((bar) => ({ bar, limit: pool.limit })));
  const has = (test: (each: (typeof bars)[number]) => boolean) => bars.some(test);
  const swatch = (kind: string, text: string) =>
    html`<li><svg class="swatch" viewBox="0 0 22 12" aria-hidden="true"><rect class="bar ${kind}" x="0" y="1" width="22" height="10" rx="2"/></svg>${text}</li>`;
  const sign = (kind: string, path: string, text: string) =>
    html`<li><svg class="swatch" viewBox="0 0 22 12" aria-hidden="true"><path class="${kind}" d="${path}"/></svg>${text}</li>`;
  const items = [
    has(({ bar, limit }) => !bar.isReuse && bar.lane < limit) && swatch('first', 'first guest on a slot'),
    has(({ bar, limit }) => bar.isReuse && bar.lane < limit) && swatch('reuse', 'slot came back and was used again'),
    has(({ bar, limit }) => bar.lane >= limit) && swatch('over', 'guest above the limit'),
    has(({ bar }) => bar.guest.end === 'killed' || bar.guest.end === 'crashed') &&
      sign('killed', 'M11 1l5 5l-5 5l-5 -5z', 'killed or crashed'),
    layout.pools.some((pool) => pool.refusals.length > 0) &&
      sign('refused', 'M7 2l8 8m0 -8l-8 8', 'launch refused by the host'),
    layout.pools.some((pool) => !isDrawnAsBars(pool)) && swatch('usage', 'slots in use (too many for a bar each)'),
  ];
  return html`<ul class="legend">${items}</ul>`;
}

/** The host's own words, once for each wording, with how often they came. */
function refusalTexts(timeline: SlotTimeline): Html {
  const wordings = new Map<string, { text: string; names: string[] }>();
  for (const { name, text } of timeline.refusals) {
    const known = wordings.get(wordingOf(text));
    if (known === undefined) wordings.set(wordingOf(text), { text, names: [name] });
    else known.names.push(name);
  }
  if (wordings.size === 0) return nothing;
  const rest = wordings.size - SHOWN_TEXTS;
  return html`<div class="refusal-texts">${[...wordings.values()]
    .slice(0, SHOWN_TEXTS)
    .map(
      ({ text, names }) =>
        html`<p><strong>${names.length === 1 ? `${names[0] ?? ''} was refused` : `${names.length} launches were refused`}</strong> in the host’s own words${names.length > 1 && ' (those of the first)'}:</p><pre>${text}</pre>`,
    )}${rest > 0 && html`<p class="quiet">${count(rest, 'other wording')}: see the evidence file.</p>`}</div>`;
}

function table(layout: SlotLayout): Html {
  const rows = layout.pools.flatMap((pool) => [
    ...pool.bars.map((bar) => ({
      atMs: bar.startMs,
      name: bar.guest.name,
      pool: pool.name,
      until: bar.guest.endMs === null ? '' : formatDuration(bar.endMs),
      how: endWords(bar),
    })),
    ...pool.refusals.map((refusal) => ({
      atMs: refusal.atMs,
      name: refusal.name,
      pool: pool.name,
      until: '',
      how: 'refused',
    })),
  ]);
  rows.sort((a, b) => a.atMs - b.atMs);
  const shown = rows.slice(0, MAX_ROWS);
  const rest = rows.length - shown.length;
  return html`<details class="timeline-data"><summary>The same as a table: ${count(rows.length, 'launch', 'launches')}</summary><div class="scroll" tabindex="0" role="region" aria-label="Launches"><table><thead><tr><th scope="col">Guest</th><th scope="col">Pool</th><th scope="col">Started</th><th scope="col">Ended</th><th scope="col">How</th></tr></thead><tbody>${shown.map(
    (row) =>
      html`<tr><th scope="row">${row.name}</th><td>${row.pool}</td><td class="number">${formatDuration(row.atMs)}</td><td class="number">${row.until}</td><td>${row.how}</td></tr>`,
  )}</tbody></table></div>${rest > 0 && html`<p class="quiet">${count(rest, 'more launch', 'more launches')}: see the evidence file.</p>`}</details>`;
}

/** The slot timeline as a picture with legend, the host's refusals in words, and a table with the same facts. `id` is unique in the page. */
export function renderTimeline(timeline: SlotTimeline, id: string): Html {
  const layout = layoutSlots(timeline);
  const prefix = commonPrefix(timeline.guests.map((guest) => guest.name));
  const known = new Set(timeline.pools.map((pool) => pool.name));
  const stray = [...timeline.guests, ...timeline.refusals].filter((item) => !known.has(item.pool));
  const strayPools = [...new Set(stray.map((item) => item.pool))];
  return html`<figure class="timeline"><figcaption>Slots over time${prefix !== '' && html` <span class="quiet">guests are named <code>${prefix}…</code></span>`}</figcaption><div class="scroll" tabindex="0" role="region" aria-label="Slot timeline">${draw(layout, prefix, id)}</div>${legend(layout)}${
    stray.length > 0 &&
    html`<p class="quiet">Not drawn: ${count(stray.length, 'launch', 'launches')} outside of these pools (${list(strayPools)}).</p>`
  }${refusalTexts(timeline)}${table(layout)}</figure>`;
}
