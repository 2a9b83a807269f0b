import type { ScenarioRow } from '../model/run.ts';
import type { Tone } from '../model/verdict.ts';
import { type Html, html } from './markup.ts';

export type MarkTone = Tone | 'skipped';

/** Each tone has a sign of its own, so that nothing is told by colour alone. */
const SIGNS: Readonly<Record<MarkTone, string>> = {
  passed: '✓',
  failed: '✗',
  flaky: '≈',
  broken: '?',
  interrupted: '■',
  skipped: '–',
};

export function signOf(tone: MarkTone): string {
  return SIGNS[tone];
}

/** A sign with its word; the word of a `terse` mark is for those who hear the page. */
export function mark(tone: MarkTone, word: string, terse = false): Html {
  return html`<span class="tag ${tone}"><span class="sign" aria-hidden="true">${SIGNS[tone]}</span><span class="${terse ? 'heard' : 'word'}">${word}</span></span>`;
}

export function outcomeTone(scenario: ScenarioRow): MarkTone {
  switch (scenario.outcome) {
    case 'expected':
      return 'passed';
    case 'unexpected':
      return 'failed';
    case 'flaky':
      return 'flaky';
    case 'skipped':
      return 'skipped';
    case 'broken':
      return scenario.status === 'interrupted' ? 'interrupted' : 'broken';
  }
}

export function outcomeMark(scenario: ScenarioRow): Html {
  const words: Record<MarkTone, string> = {
    passed: 'passed',
    failed: scenario.status === 'timedOut' ? 'timed out' : 'failed',
    flaky: 'flaky',
    broken: 'not judged',
    interrupted: 'interrupted',
    skipped: 'skipped',
  };
  const tone = outcomeTone(scenario);
  return mark(tone, words[tone]);
}
