import { type EvidenceItem, MEMORY_PICTURE_TYPE, SLOT_TIMELINE_TYPE } from '../model/run.ts';
import { count, formatBytes } from '../model/text.ts';
import { type Html, html, nothing, trusted } from './markup.ts';
import { parseMemoryPicture, renderMemoryPicture } from './memory-picture.ts';
import { parseSlotTimeline } from './slots.ts';
import { renderTimeline } from './timeline.ts';

/** Texts longer than this are in the artifact only. */
const SHOWN_TEXT = 64 * 1024;

function artifactLink(item: EvidenceItem): Html {
  return html`<a href="artifacts/${encodeURIComponent(item.path)}">${item.path}</a>`;
}

function facts(item: EvidenceItem): Html {
  return html`<span class="quiet">${item.mediaType}, ${formatBytes(item.bytes)}, SHA-256 <code class="hash">${item.sha256Hex.slice(0, 16)}…</code></span>`;
}

function content(item: EvidenceItem): Html {
  // Only a picture format that cannot carry script, and only real base64: the schema has checked it.
  if (item.base64 !== undefined && item.mediaType === 'image/png') {
    return html`<img alt="${item.name}" src="data:image/png;base64,${trusted(item.base64.replace(/[^A-Za-z0-9+/=]/g, ''))}">`;
  }
  if (item.text === undefined) return html`<p class="quiet">The content is in the file only.</p>`;
  if (item.text === '') return html`<p class="quiet">Empty.</p>`;
  if (item.text.length > SHOWN_TEXT) return html`<p class="quiet">Too long to show here: the file has it.</p>`;
  return html`<pre tabindex="0">${item.text}</pre>`;
}

function renderItem(item: EvidenceItem): Html {
  const isPicture = item.base64 !== undefined;
  return html`<details class="evidence"${isPicture && trusted(' open')}><summary><span class="evidence-name">${item.name}</span> ${facts(item)}</summary><div class="evidence-body">${content(item)}<p>File: ${artifactLink(item)}</p></div></details>`;
}

/** What was kept, each with its text or picture where it is small. */
export function renderEvidence(items: readonly EvidenceItem[]): Html {
  if (items.length === 0) return nothing;
  const list = items.map(renderItem);
  if (items.length <= 12) return html`<section class="part"><h4>Evidence</h4>${list}</section>`;
  return html`<section class="part"><h4>Evidence</h4><details><summary>${count(items.length, 'file')}</summary>${list}</details></section>`;
}

/** The pictures of all slot timelines among the evidence. */
export function renderTimelines(items: readonly EvidenceItem[], idPrefix: string): Html {
  const timelines = items
    .filter((item) => item.mediaType === SLOT_TIMELINE_TYPE && item.text !== undefined)
    .map((item) => parseSlotTimeline(item.text ?? ''))
    .filter((timeline) => timeline !== undefined);
  return html`${timelines.map((timeline, index) => renderTimeline(timeline, `${idPrefix}-slots-${index + 1}`))}`;
}

/** The pictures of all memories among the evidence. */
export function renderMemories(items: readonly EvidenceItem[], idPrefix: string): Html {
  const pictures = items
    .filter((item) => item.mediaType === MEMORY_PICTURE_TYPE && item.text !== undefined)
    .map((item) => parseMemoryPicture(item.text ?? ''))
    .filter((picture) => picture !== undefined);
  return html`${pictures.map((picture, index) => renderMemoryPicture(picture, `${idPrefix}-memory-${index + 1}`))}`;
}
