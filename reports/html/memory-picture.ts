import type { MemoryPicture } from '../model/run.ts';
import { formatBytes, list } from '../model/text.ts';
import { type Html, html } from './markup.ts';

type Guest = MemoryPicture['guests'][number];

const PAGE_BYTES = 4096;
const BYTE_VALUES = 256;
const COLUMN_WIDTH = 480;
const COLUMN_GAP = 40;
/** One guest alone is drawn at the scale of two side by side, so that pictures of two runs can be compared. */
const LEAST_COLUMNS = 2;
const PLOT_WIDTH = 448;
const PLOT_HEIGHT = 120;
const MAP_COLUMNS = 64;
const CELL = PLOT_WIDTH / MAP_COLUMNS;
const MAX_TILES = 4096;
/** Shades of the map: 1 bit per byte each. */
const LEVELS = 8;
/** From this share of the parts on a map has one colour to the eye. */
const NEARLY_ALL = 0.9;
const COUNT = /^\d+$/;

function areNumbers(value: unknown, from: number, to: number): value is number[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'number' && one >= from && one <= to);
}

function isGuest(value: unknown): value is Guest {
  if (typeof value !== 'object' || value === null) return false;
  const { name, readBy, bytes, pagesOfZeros, histogram, bytesPerTile, tileBits } = value as Record<string, unknown>;
  return (
    typeof name === 'string' &&
    typeof readBy === 'string' &&
    [bytes, pagesOfZeros, bytesPerTile].every((one) => typeof one === 'number' && COUNT.test(String(one))) &&
    areNumbers(histogram, 0, Number.MAX_SAFE_INTEGER) &&
    histogram.length === BYTE_VALUES &&
    areNumbers(tileBits, 0, LEVELS) &&
    tileBits.length <= MAX_TILES
  );
}

/** A picture of memories from evidence; `undefined` when the text is not one. */
export function parseMemoryPicture(text: string): MemoryPicture | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { guests, sampledOf } = value as Record<string, unknown>;
  if (!Array.isArray(guests) || !guests.every(isGuest) || typeof sampledOf !== 'number') return undefined;
  return { guests, sampledOf };
}

function px(value: number): string {
  return String(Math.round(value * 100) / 100);
}

/** Bits per byte of all bytes that were counted. */
function entropy(histogram: readonly number[]): number {
  const total = histogram.reduce((sum, count) => sum + count, 0);
  return histogram.reduce((bits, count) => (count === 0 ? bits : bits - (count / total) * Math.log2(count / total)), 0);
}

function drawHistogram({ histogram }: Guest, y: number): Html {
  const most = Math.max(1, ...histogram);
  const width = PLOT_WIDTH / BYTE_VALUES;
  // Square roots: beside the most frequent value of ordinary memory, which is zero, the others would not be seen.
  const bars = histogram.map((count, value) => {
    const height = Math.sqrt(count / most) * PLOT_HEIGHT;
    return count === 0 ? '' : `M${px(value * width)} ${px(y + PLOT_HEIGHT)}v${px(-height)}h${px(width)}v${px(height)}z`;
  });
  const labels = [0, 0x40, 0x80, 0xc0, 0xff].map((value) => {
    const anchor = value === 0 ? 'start' : value === 0xff ? 'end' : 'middle';
    const x = value === 0xff ? PLOT_WIDTH : value * width;
    return html`<text class="axis" x="${px(x)}" y="${px(y + PLOT_HEIGHT + 14)}" text-anchor="${anchor}">0x${value.toString(16).padStart(2, '0')}</text>`;
  });
  return html`<rect class="field" x="0" y="${px(y)}" width="${PLOT_WIDTH}" height="${PLOT_HEIGHT}"/><path class="memory" d="${bars.join('')}"/>${labels}`;
}

function drawMap({ tileBits }: Guest, y: number): Html {
  const cells = Array.from({ length: LEVELS + 1 }, () => '');
  for (const [index, bits] of tileBits.entries()) {
    const level = Math.ceil(bits);
    const x = (index % MAP_COLUMNS) * CELL;
    const top = y + Math.floor(index / MAP_COLUMNS) * CELL;
    cells[level] += `M${px(x)} ${px(top)}h${px(CELL)}v${px(CELL)}h${px(-CELL)}z`;
  }
  return html`<rect class="field" x="0" y="${px(y)}" width="${PLOT_WIDTH}" height="${px(mapHeight(tileBits))}"/>${cells.map(
    (path, level) =>
      level > 0 && path !== '' && html`<path class="memory" fill-opacity="${px(level / LEVELS)}" d="${path}"/>`,
  )}`;
}

function mapHeight(tileBits: readonly number[]): number {
  return Math.max(1, Math.ceil(tileBits.length / MAP_COLUMNS)) * CELL;
}

function drawGuest(guest: Guest, left: number): Html {
  return html`<g transform="translate(${left} 0)"><text class="pool" x="0" y="14">${guest.name}</text><text class="axis" x="${PLOT_WIDTH}" y="14" text-anchor="end">${formatBytes(guest.bytes)} by ${guest.readBy}</text>${drawHistogram(guest, 22)}${drawMap(guest, 170)}</g>`;
}

function table({ guests }: MemoryPicture): Html {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Memories"><table><thead><tr><th scope="col">Guest</th><th scope="col" class="number">Pages of zeros</th><th scope="col" class="number">Bits per byte of the others</th><th scope="col" class="number">Parts above 7 bits</th></tr></thead><tbody>${guests.map(
    ({ name, bytes, pagesOfZeros, histogram, tileBits }) => {
      const used = tileBits.filter((bits) => bits > 0);
      return html`<tr><th scope="row">${name}</th><td class="number">${pagesOfZeros} of ${Math.ceil(bytes / PAGE_BYTES)}</td><td class="number">${entropy(histogram).toFixed(2)}</td><td class="number">${used.filter((bits) => bits > 7).length} of ${used.length} that hold something</td></tr>`;
    },
  )}</tbody></table></div>`;
}

/** A map of nearly one colour looks like a picture that failed: says why it is none. */
function oneColour({ tileBits }: Guest): string | undefined {
  const share = (isSuch: (bits: number) => boolean) => tileBits.filter(isSuch).length / Math.max(1, tileBits.length);
  if (share((bits) => bits === 0) >= NEARLY_ALL)
    return 'nearly all of the map is empty, as memory that a guest has not written yet reads as zeros, encrypted or not. The few parts that hold something tell guests apart; the table counts them.';
  if (share((bits) => bits > 7) >= NEARLY_ALL)
    return 'nearly all of the map is dark, as every part looks random. Ciphertext looks like that, and so does what is compressed.';
  return undefined;
}

/** The memories of guests side by side: how often each byte value occurs, and how random each part looks. `id` is unique in the page. */
export function renderMemoryPicture(picture: MemoryPicture, id: string): Html {
  const { guests, sampledOf } = picture;
  const height = 170 + Math.max(CELL, ...guests.map(({ tileBits }) => mapHeight(tileBits))) + 4;
  const width = Math.max(LEAST_COLUMNS, guests.length) * (COLUMN_WIDTH + COLUMN_GAP) - COLUMN_GAP;
  const words = guests
    .map(({ name, histogram }) => `${name}: ${entropy(histogram).toFixed(2)} bits per byte`)
    .join('. ');
  const reasons = [...new Set(guests.map(oneColour))].filter((reason) => reason !== undefined);
  const notes = reasons.map((reason) => {
    const names = guests.filter((guest) => oneColour(guest) === reason).map(({ name }) => name);
    return html`<p>${list(names)}: ${reason}</p>`;
  });
  return html`<figure class="timeline"><figcaption>Memory as the host reads it</figcaption><div class="scroll" tabindex="0" role="region" aria-label="Memory as the host reads it"><svg viewBox="0 0 ${width} ${px(height)}" role="img" aria-labelledby="${id}-name ${id}-words"><title id="${id}-name">Memory as the host reads it</title><desc id="${id}-words">${words}. The table below has the same facts.</desc>${guests.map((guest, index) => drawGuest(guest, index * (COLUMN_WIDTH + COLUMN_GAP)))}</svg></div><p class="quiet">Above: how often each byte value occurs in pages that are not all zeros, from one byte in ${sampledOf}; heights are square roots. Below: each part of the memory from low to high addresses, row by row; the darker, the more bits per byte (8 is random, as ciphertext is; empty is zeros).</p>${notes}${table(picture)}</figure>`;
}
