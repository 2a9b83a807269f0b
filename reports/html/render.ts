import { createHash } from 'node:crypto';
import type { Run, ScenarioRow } from '../model/run.ts';
import { checksOfScenario, countRun, scenarioDurationMs, worstFirst } from '../model/select.ts';
import { count, formatCommand, formatDuration, versionName } from '../model/text.ts';
import { scenarioReason, type Verdict, verdictOf } from '../model/verdict.ts';
import { outcomeMark, outcomeTone, signOf } from './marks.ts';
import { type Html, html, nothing, trusted } from './markup.ts';
import { anchor, renderError, renderScenario } from './scenario.ts';
import { SCRIPT } from './script.ts';
import { STYLE } from './style.ts';

/** Where nothing went wrong, this many scenarios are open. */
const OPEN_PASSES = 3;

function hashOf(content: string): string {
  return `'sha256-${createHash('sha256').update(content).digest('base64')}'`;
}

/** Nothing may be loaded: the page is this one file, and only this style and this script act in it. */
function policy(): string {
  return `default-src 'none'; style-src ${hashOf(STYLE)}; script-src ${hashOf(SCRIPT)}; img-src data:; base-uri 'none'; form-action 'none'`;
}

/** A dot in the verdict's colour, so that tabs can be told apart. */
function icon(verdict: Verdict): Html {
  const colour = { passed: '17724a', failed: 'b3261e', flaky: 'c77b00', broken: 'c77b00', interrupted: '6b4fa0' }[
    verdict.tone
  ];
  return trusted(
    `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Ccircle cx='8' cy='8' r='7' fill='%23${colour}'/%3E%3C/svg%3E`,
  );
}

function fact(name: string, value: string | Html | undefined): Html {
  return value === undefined ? nothing : html`<div><dt>${name}</dt><dd>${value}</dd></div>`;
}

function provenance(run: Run): Html {
  const host = run.hostFacts;
  const versions = Object.entries(host?.versions ?? {}).map(([what, version]) => fact(versionName(what), version));
  const kind = host === undefined ? 'never described itself' : host.kind;
  return html`<dl class="facts">${fact('Host', html`${run.host} <span class="pill">${kind}</span>`)}${fact('Generation', host?.generation)}${
    host !== undefined && host.hostname !== run.host && fact('Host name', host.hostname)
  }${fact('Profile', host?.profile)}${host !== undefined && host.capabilities.length > 0 && fact('Offers', host.capabilities.join(', '))}${versions}${fact('Started', run.startedAt.replace('T', ' ').replace(/(?:\.\d+)?Z$/, ' UTC'))}${fact('Took', formatDuration(run.durationMs))}${fact('Harness', `sev-harness ${run.harnessVersion}, Node ${run.nodeVersion.replace(/^v/, '')}`)}${fact('Ran on', run.platform)}${
    run.faults.length > 0 && fact('Injected faults', run.faults.join(', '))
  }${run.required.length > 0 && fact('Required', run.required.join(', '))}</dl><p class="meta"><code>${formatCommand(run.command)}</code></p>`;
}

function sentences(title: string, items: readonly string[], none: string): Html {
  const body =
    items.length === 0
      ? html`<p class="quiet">${none}</p>`
      : html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;
  return html`<section class="panel"><h2>${title}</h2>${body}</section>`;
}

function troubles(run: Run): Html {
  if (run.errors.length + run.leftBehind.length === 0) return nothing;
  return html`${
    run.errors.length > 0 &&
    html`<section class="block panel failed"><h2>What went wrong outside of scenarios</h2>${run.errors.map(renderError)}</section>`
  }${
    run.leftBehind.length > 0 &&
    html`<section class="block panel broken"><h2>Left behind</h2><ul>${run.leftBehind.map((what) => html`<li>${what}</li>`)}</ul></section>`
  }`;
}

/** What went wrong, beside the promise; why scenarios were skipped stands in the list of what is not shown. */
function indexReason(scenario: ScenarioRow): Html {
  const reason = scenario.outcome === 'skipped' ? '' : scenarioReason(scenario);
  return reason === '' ? nothing : html`<span class="because ${outcomeTone(scenario)}">${reason}</span>`;
}

function indexRow(scenario: ScenarioRow): Html {
  const checks = checksOfScenario(scenario);
  const failed = checks.filter((check) => check.outcome === 'failed').length;
  const made = checks.filter((check) => check.outcome !== 'skipped').length;
  const held = made === checks.length ? `${made}` : `${made} of ${checks.length}`;
  const words = failed > 0 ? `${failed} of ${checks.length} broken` : checks.length === 0 ? '–' : held;
  return html`<tr><td>${outcomeMark(scenario)}</td><th scope="row"><a href="#${anchor(scenario.id)}">${scenario.id}</a></th><td class="promise"><span class="wide">${scenario.title}</span>${indexReason(scenario)}</td><td>${words}</td><td class="number">${formatDuration(scenarioDurationMs(scenario))}</td></tr>`;
}

function index(scenarios: readonly ScenarioRow[]): Html {
  return html`<table class="index"><thead><tr><th scope="col">Outcome</th><th scope="col">Scenario</th><th scope="col" class="wide">Promise</th><th scope="col">Checks</th><th scope="col" class="number">Time</th></tr></thead><tbody>${scenarios.map(indexRow)}</tbody></table>`;
}

function tools(run: Run): Html {
  if (run.scenarios.length < 2) return nothing;
  const { scenarios } = countRun(run);
  const bad = scenarios.unexpected + scenarios.broken;
  const button = (show: string, text: string, isPressed = false) =>
    html`<button type="button" data-show="${show}" aria-pressed="${isPressed ? 'true' : 'false'}">${text}</button>`;
  return html`<div class="tools" hidden role="group" aria-label="Filter scenarios">${button('all', `All ${scenarios.all}`, true)}${
    bad > 0 && button('unexpected broken', `Failed or not judged ${bad}`)
  }${scenarios.flaky > 0 && button('flaky', `Flaky ${scenarios.flaky}`)}${scenarios.expected > 0 && button('expected', `Passed ${scenarios.expected}`)}${
    scenarios.skipped > 0 && button('skipped', `Skipped ${scenarios.skipped}`)
  }<input type="search" placeholder="Find in scenarios" aria-label="Find in scenarios"><button type="button" data-fold="open">Unfold all</button><button type="button" data-fold="closed">Fold all</button><span role="status" class="quiet"></span></div>`;
}

function scenarioList(run: Run): Html {
  const sorted = worstFirst(run.scenarios);
  const isBad = (scenario: ScenarioRow) => ['unexpected', 'broken', 'flaky'].includes(scenario.outcome);
  const hasBad = sorted.some(isBad);
  const isOpen = (scenario: ScenarioRow, place: number) => (hasBad ? isBad(scenario) : place < OPEN_PASSES);
  if (sorted.length === 0) return html`<p class="quiet">No scenario started.</p>`;
  return html`${tools(run)}${sorted.map((scenario, place) => renderScenario(scenario, isOpen(scenario, place)))}`;
}

/** What held and what stays open: two lists for a scenario or none, a table of all, the worst first, for more. */
function overview(run: Run, verdict: Verdict): Html {
  const notShown = sentences('Not shown', verdict.notProved, 'The host named no gap.');
  if (run.scenarios.length < 2)
    return html`<div class="columns">${sentences('Shown', verdict.proved, 'No scenario held as a whole.')}${notShown}</div>`;
  return html`<section class="block"><h2>Overview</h2>${index(worstFirst(run.scenarios))}</section><div class="block">${notShown}</div>`;
}

function hostFacts(run: Run): Html {
  const facts = Object.entries(run.hostFacts?.facts ?? {});
  if (run.hostFacts === undefined || facts.length === 0) return nothing;
  return html`<section class="block panel"><h2>What the host said, and where</h2><dl class="facts">${fact('URI', html`<code>${run.hostFacts.uri}</code>`)}${facts.map(([name, value]) => fact(name, value))}</dl></section>`;
}

/** The whole report as one page that needs nothing else: no network, no other file but the artifacts that it links to. */
export function renderHtml(run: Run): string {
  const verdict = verdictOf(run);
  const scenarios = run.scenarios.length === 1 ? (run.scenarios[0]?.id ?? '') : count(run.scenarios.length, 'scenario');
  const title = `${signOf(verdict.tone)} ${verdict.word}: ${scenarios} on ${run.host}`;
  const unfinished =
    run.unfinished === true &&
    html`<p class="worth"><strong>This report was written before the run ended.</strong> Below is what had happened until then.</p>`;
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trusted(policy())}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="sev-harness ${run.harnessVersion}">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<link rel="icon" href="${icon(verdict)}">
<style>${trusted(STYLE)}</style>
</head>
<body>
<a class="skip" href="#scenarios">To the scenarios</a>
<header><div class="top"><div class="wrap"><span class="brand">sev-harness</span><span class="quiet">run <code>${run.runId}</code></span></div></div>
<div class="verdict ${verdict.tone}"><div class="wrap"><p class="verdict-word"><span aria-hidden="true">${signOf(verdict.tone)}</span> ${verdict.word}</p><h1>${verdict.sentence}</h1><p class="worth">${verdict.worth}</p>${unfinished}${provenance(run)}</div></div></header>
<main class="wrap">
${troubles(run)}
${overview(run, verdict)}
<section class="block" id="scenarios"><h2>Scenarios</h2>${scenarioList(run)}</section>
${hostFacts(run)}
</main>
<footer><div class="wrap">Same run in other forms: <a href="run.json">run.json</a>, <a href="run.jsonl">run.jsonl</a>, <a href="junit.xml">junit.xml</a>. Schema version ${run.schemaVersion}, exit code ${run.exitCode}.</div></footer>
<script>${trusted(SCRIPT)}</script>
</body>
</html>
`;
  return page.markup;
}
