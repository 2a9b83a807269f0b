import { expect, test } from 'vitest';
import type { SlotTimeline } from '../model/run.ts';
import { commonPrefix, renderTimeline } from './timeline.ts';

function timelineOf(limit: number, guests: number, refusals = 0): SlotTimeline {
  return {
    pools: [{ name: 'sev', limit }],
    guests: Array.from({ length: guests }, (_, index) => ({
      name: `sevh-1-sev-${index}`,
      pool: 'sev',
      startMs: index,
      endMs: guests + 5,
      end: 'stopped' as const,
    })),
    refusals: Array.from({ length: refusals }, (_, index) => ({
      name: `late-${index}`,
      pool: 'sev',
      atMs: guests,
      text: `2026-11-23T02:36:${10 + index}.900000Z no slot for ${index % 9}`,
    })),
  };
}

const times = (text: string, part: string | RegExp) => text.split(part).length - 1;
const draw = (timeline: SlotTimeline) => renderTimeline(timeline, 'slots').markup;

test('each guest has a bar, the limit a line, and a guest above the limit another look', () => {
  const markup = draw(timelineOf(15, 16, 1));
  const picture = markup.slice(0, markup.indexOf('</svg>'));
  expect(times(picture, '<rect class="bar first"')).toBe(15);
  expect(times(picture, '<rect class="bar over"')).toBe(1);
  expect(times(picture, '<line class="limit"')).toBe(1);
  expect(times(picture, '<g class="refusal">')).toBe(1);
  expect(picture).toContain('16 guests, at most 16 of 15 slots in use, 1 launch refused');
});

test('a refusal has its word only where the word does not cover the next mark', () => {
  const spread = timelineOf(15, 100, 0);
  const refusals = [10, 12.5, 60].map((atMs) => ({ name: `late-${atMs}`, pool: 'sev', atMs, text: 'no slot' }));
  const markup = draw({ ...spread, refusals });
  const picture = markup.slice(0, markup.indexOf('</svg>'));
  const marks = picture.split('<g class="refusal">').slice(1);
  expect(marks.map((mark) => mark.includes('>refused</text>'))).toEqual([false, true, true]);
});

test('hundreds of slots are one area with its peak, not hundreds of bars', () => {
  const markup = draw(timelineOf(1006, 1006, 3));
  expect(times(markup, '<rect class="bar first"')).toBe(0);
  expect(times(markup, '<path class="usage"')).toBe(1);
  expect(markup).toContain('1006 in use');
  expect(markup).toContain('3 refused');
});

test('the table has every launch that the picture has, up to its limit, and counts the rest', () => {
  expect(times(draw(timelineOf(15, 15, 2)), '<th scope="row">')).toBe(17);
  const many = draw(timelineOf(2000, 1600, 0));
  expect(times(many, '<th scope="row">')).toBe(1500);
  expect(many).toContain('100 more launches: see the evidence file.');
});

test('refusals are quoted once for each wording, and further wordings counted', () => {
  const markup = draw(timelineOf(15, 15, 18));
  expect(times(markup, /<pre>[^<]*no slot for/)).toBe(4);
  expect(markup).toContain('2 launches were refused');
  expect(markup).toContain('5 other wordings: see the evidence file.');
});

test('a launch in a pool that nobody declared is counted, not lost', () => {
  const timeline = timelineOf(15, 1);
  const stray = { ...timeline, refusals: [{ name: 'x', pool: 'other', atMs: 0, text: 'no' }] };
  expect(draw(stray)).toContain('Not drawn: 1 launch outside of these pools (other).');
});

test('names are shown without what they have in common, cut at a hyphen', () => {
  expect(commonPrefix(['sevh-1-sev-01', 'sevh-1-sev-02'])).toBe('sevh-1-sev-');
  expect(commonPrefix(['sevh-1-sev-10', 'sevh-1-sev-1'])).toBe('sevh-1-sev-');
  expect(commonPrefix(['a', 'b'])).toBe('');
  expect(commonPrefix(['alone-1'])).toBe('');
  expect(commonPrefix([])).toBe('');
});
