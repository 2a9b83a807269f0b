import type { ErrorDetails, JsonValue } from '../../core/errors.ts';
import { withoutControls } from '../../core/text.ts';
import {
  type AttemptRow,
  type CheckRow,
  PROMISE_BROKEN,
  type ReportedError,
  type ScenarioRow,
  type StepRow,
} from '../model/run.ts';
import { byTime, checksOf, checksOfScenario, evidenceOf, notesOf, stepsOf } from '../model/select.ts';
import { count, countMade, formatDuration, formatValue } from '../model/text.ts';
import { scenarioReason } from '../model/verdict.ts';
import { renderEvidence, renderMemories, renderTimelines } from './evidence.ts';
import { mark, outcomeMark, outcomeTone } from './marks.ts';
import { type Html, html, nothing, trusted } from './markup.ts';

/** Values longer than this fold. */
const LONG_VALUE = 160;

/** A name as it can stand in an id and after `#`. */
export function anchor(text: string): string {
  return text.replace(/[^A-Za-z0-9_-]+/g, '-');
}

function value(item: JsonValue | undefined): Html {
  if (item === undefined) return nothing;
  const text = formatValue(item);
  if (text.length <= LONG_VALUE) return html`<code>${text}</code>`;
  return html`<details class="long"><summary><code>${text.slice(0, LONG_VALUE - 20)}…</code></summary><code>${text}</code></details>`;
}

/** Values of an error; what has several lines, as the console of a guest, is shown as the text that it is. */
function renderDetails(details: ErrorDetails): Html {
  const isText = (item: JsonValue | undefined): item is string => typeof item === 'string' && item.includes('\n');
  const known = Object.entries(details).filter(([, item]) => item !== undefined);
  const texts = known.flatMap(([key, item]) => (isText(item) ? [[key, item] as const] : []));
  const values = known.filter(([, item]) => !isText(item));
  return html`${
    values.length > 0 &&
    html`<dl class="facts small">${values.map(([key, item]) => html`<div><dt>${key}</dt><dd>${value(item)}</dd></div>`)}</dl>`
  }${texts.map(([key, text]) => html`<p class="text-name">${key}</p><pre tabindex="0">${withoutControls(text)}</pre>`)}`;
}

/** An error with its code, whose fault it is, and what to do. */
export function renderError(error: ReportedError): Html {
  const whose = {
    product: 'the thing under test',
    harness: 'the harness',
    environment: 'the environment',
    usage: 'the call',
  };
  return html`<div class="error" role="note"><p class="error-head">${error.code !== undefined && html`<code>${error.code}</code> `}<span class="quiet">lies with ${whose[error.kind]}</span></p><pre class="message">${error.message}</pre>${
    error.hint !== undefined && html`<p class="hint"><strong>What to do:</strong> ${error.hint}</p>`
  }${renderDetails(error.details ?? {})}${
    error.stack !== undefined &&
    html`<details class="stack"><summary>Stack</summary><pre tabindex="0">${error.stack}</pre></details>`
  }</div>`;
}

interface PlacedCheck {
  readonly check: CheckRow;
  readonly step: string | undefined;
}

function placedChecks(root: StepRow): PlacedCheck[] {
  const rank = { failed: 0, skipped: 1, passed: 2 };
  const placed = stepsOf(root).flatMap((step) =>
    step.checks.map((check) => ({ check, step: step === root ? undefined : step.title })),
  );
  return placed.sort((a, b) => rank[a.check.outcome] - rank[b.check.outcome] || byTime(a.check, b.check));
}

function renderCheck({ check, step }: PlacedCheck): Html {
  const word = { passed: 'held', failed: 'broken', skipped: 'not checked' }[check.outcome];
  const where = step === undefined ? check.id : `${check.id} · in “${step}”`;
  return html`<tr class="check ${check.outcome}"><td class="result">${mark(check.outcome, word)}</td><th scope="row"><span class="promise">${check.title}</span>${
    check.because !== undefined && html`<span class="because">${check.because}</span>`
  }<span class="quiet">${where}</span>${check.source !== undefined && html`<span class="quiet">Source: ${check.source}</span>`}</th><td data-label="Expected">${value(check.expected)}</td><td data-label="Actual">${value(check.actual)}</td></tr>`;
}

function renderChecks(root: StepRow): Html {
  const checks = placedChecks(root);
  if (checks.length === 0) return nothing;
  const failed = checks.filter(({ check }) => check.outcome === 'failed').length;
  const skipped = checks.filter(({ check }) => check.outcome === 'skipped').length;
  const words = [
    failed > 0 ? `${failed} broken` : '',
    skipped > 0 ? `${skipped} not checked` : '',
    `${checks.length - failed - skipped} held`,
  ].filter((word) => word !== '');
  return html`<section class="part"><h4>Checks <span class="quiet">${words.join(', ')}</span></h4><table class="checks"><thead><tr><th scope="col">Result</th><th scope="col">Promise</th><th scope="col">Expected</th><th scope="col">Actual</th></tr></thead><tbody>${checks.map(renderCheck)}</tbody></table></section>`;
}

/** Where in the attempt a step lies, as a thin bar. */
function stepBar(step: StepRow, attempt: AttemptRow): Html {
  const whole = Math.max(attempt.durationMs, 1);
  const x = Math.min(99, Math.max(0, ((step.startMs - attempt.startMs) / whole) * 100));
  const width = Math.min(100 - x, Math.max(1, (step.durationMs / whole) * 100));
  return html`<svg class="step-bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="8"/><rect class="span ${step.status}" x="${Math.round(x * 10) / 10}" width="${Math.round(width * 10) / 10}" height="8"/></svg>`;
}

function stepLine(step: StepRow, attempt: AttemptRow): Html {
  const word = { passed: 'done', failed: 'failed', interrupted: 'interrupted' }[step.status];
  const inside =
    step.steps.length === 0 ? nothing : html` <span class="quiet">${count(step.steps.length, 'step')}</span>`;
  return html`<span class="step-line">${mark(step.status, word, true)}<span class="step-title">${step.title}${inside}</span>${stepBar(step, attempt)}<span class="number">${formatDuration(step.durationMs)}</span></span>`;
}

function renderStep(step: StepRow, attempt: AttemptRow): Html {
  const error =
    step.error !== undefined && step.status !== 'passed'
      ? html`<p class="step-error">${step.error.message}</p>`
      : nothing;
  const notes = step.notes.map((note) => html`<p class="note">${note}</p>`);
  const hasBody = step.steps.length > 0 || step.notes.length > 0 || error !== nothing;
  if (!hasBody) return html`<li>${stepLine(step, attempt)}</li>`;
  const isOpen = step.status !== 'passed';
  return html`<li><details${isOpen && trusted(' open')}><summary>${stepLine(step, attempt)}</summary>${error}${notes}${
    step.steps.length > 0 && html`<ol class="steps">${step.steps.map((child) => renderStep(child, attempt))}</ol>`
  }</details></li>`;
}

function renderSteps(attempt: AttemptRow): Html {
  const { steps } = attempt.root;
  if (steps.length === 0) return nothing;
  return html`<section class="part"><h4>Steps <span class="quiet">${formatDuration(attempt.durationMs)} in all</span></h4><ol class="steps">${steps.map((step) => renderStep(step, attempt))}</ol></section>`;
}

function renderAttempt(attempt: AttemptRow, id: string): Html {
  const { root } = attempt;
  const hasFailedCheck = checksOf(root).some((check) => check.outcome === 'failed');
  const isSaid = attempt.error?.code === PROMISE_BROKEN && hasFailedCheck;
  const error = attempt.error === undefined || isSaid ? nothing : renderError(attempt.error);
  const notes =
    notesOf(root).length > 0
      ? html`<ul class="notes">${notesOf(root).map((note) => html`<li>${note}</li>`)}</ul>`
      : nothing;
  const evidence = evidenceOf(root);
  return html`${error}${notes}${hasFailedCheck && renderChecks(root)}${renderTimelines(evidence, id)}${renderMemories(evidence, id)}${!hasFailedCheck && renderChecks(root)}${renderSteps(attempt)}${renderEvidence(evidence)}`;
}

/** One scenario: what decided first, then how it went, then what was kept. */
export function renderScenario(scenario: ScenarioRow, isOpen: boolean): Html {
  const id = anchor(scenario.id);
  const last = scenario.attempts.at(-1);
  const earlier = scenario.attempts.slice(0, -1);
  const reason = scenarioReason(scenario);
  const isSaidBelow = last?.error?.message === reason;
  const checks = checksOfScenario(scenario);
  // Passed alone would say that its promise holds.
  const part = checks.some((check) => check.outcome === 'skipped') ? `${countMade(checks)} · ` : '';
  const durationMs = scenario.attempts.reduce((sum, attempt) => sum + attempt.durationMs, 0);
  const meta = [
    scenario.file,
    scenario.maturity,
    scenario.needs.length > 0 ? `needs ${scenario.needs.join(', ')}` : '',
    scenario.attempts.length > 1 ? count(scenario.attempts.length, 'attempt') : '',
  ].filter((part) => part !== '');
  return html`<article class="scenario ${outcomeTone(scenario)}" id="${id}" data-outcome="${scenario.outcome}" aria-labelledby="${id}-name"><details${isOpen && trusted(' open')}><summary><span class="scenario-head">${outcomeMark(scenario)}<h3 id="${id}-name"><span class="scenario-id">${scenario.id}</span> <span class="scenario-title">${scenario.title}</span></h3><span class="number">${part}${formatDuration(durationMs)}</span></span></summary><div class="scenario-body">${
    reason !== '' && !isSaidBelow && html`<p class="reason">${reason}</p>`
  }${last !== undefined && renderAttempt(last, id)}${earlier.map(
    (attempt, index) =>
      html`<details class="earlier"><summary>Attempt ${index + 1}: ${attempt.status} after ${formatDuration(attempt.durationMs)}</summary>${renderAttempt(attempt, `${id}-${index + 1}`)}</details>`,
  )}<p class="meta">${meta.join(' · ')}</p>${
    scenario.source.length > 0 && html`<p class="meta">Proves: ${scenario.source.join('; ')}</p>`
  }</div></details></article>`;
}
