import type { AttemptRow, CheckRow, ReportedError, Run, ScenarioRow } from '../model/run.ts';
import { checksOf, checksOfScenario, evidenceOf, lastAttempt, notesOf, scenarioDurationMs } from '../model/select.ts';
import { formatCommand, formatValue } from '../model/text.ts';
import { scenarioReason, verdictOf } from '../model/verdict.ts';
import { element, formatXml, type XmlElement } from './xml.ts';

/** Name of the test case that stands for a scenario as a whole; it is there even when no check was reached. */
const WHOLE = 'scenario';

interface Suite {
  readonly name: string;
  readonly timestamp: string;
  readonly hostname: string;
  readonly timeMs: number;
  readonly properties: readonly (readonly [string, string])[];
  readonly cases: readonly XmlElement[];
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(3);
}

function errorText(error: ReportedError): string {
  return [
    error.message,
    ...(error.code === undefined ? [] : [`code: ${error.code}`]),
    `kind: ${error.kind}`,
    ...(error.hint === undefined ? [] : [`hint: ${error.hint}`]),
    ...(error.details === undefined ? [] : [`details: ${JSON.stringify(error.details)}`]),
    ...(error.stack === undefined ? [] : ['', error.stack]),
  ].join('\n');
}

function checkMessage(check: CheckRow): string {
  const parts = [
    check.title,
    ...(check.expected === undefined ? [] : [`expected ${formatValue(check.expected)}`]),
    ...(check.actual === undefined ? [] : [`actual ${formatValue(check.actual)}`]),
    ...(check.because === undefined ? [] : [check.because]),
  ];
  return parts.join('; ');
}

function checkCase(scenario: ScenarioRow, check: CheckRow): XmlElement {
  const source = check.source === undefined ? '' : `\nsource: ${check.source}`;
  const verdict = (): XmlElement[] => {
    switch (check.outcome) {
      case 'passed':
        return [];
      case 'failed':
        return [
          element('failure', { message: checkMessage(check), type: check.id }, `${checkMessage(check)}${source}`),
        ];
      case 'skipped':
        return [element('skipped', { message: check.because ?? 'skipped' })];
    }
  };
  return element('testcase', { name: check.id, classname: scenario.id, time: '0.000' }, [
    ...verdict(),
    element('system-out', {}, `${check.title}${source}`),
  ]);
}

function attemptMessage(scenario: ScenarioRow, attempt: AttemptRow): string {
  const failed = checksOf(attempt.root).filter((check) => check.outcome === 'failed');
  if (failed.length > 0) return `failed checks: ${failed.map((check) => check.id).join(', ')}`;
  return attempt.error?.message ?? scenario.reason ?? attempt.status;
}

function attemptText(attempt: AttemptRow): string {
  const failed = checksOf(attempt.root).filter((check) => check.outcome === 'failed');
  const error = attempt.error === undefined ? [] : [errorText(attempt.error)];
  return [...failed.map((check) => `${check.id}: ${checkMessage(check)}`), ...error].join('\n\n') || attempt.status;
}

/** Evidence and notes; `[[ATTACHMENT|path]]` is how GitLab and Jenkins find files. */
function output(scenario: ScenarioRow): XmlElement[] {
  const attempt = lastAttempt(scenario);
  if (attempt === undefined) return [];
  const lines = [
    ...notesOf(attempt.root),
    ...evidenceOf(attempt.root).flatMap((item) => [`${item.name}:`, `[[ATTACHMENT|artifacts/${item.path}]]`]),
  ];
  return lines.length === 0 ? [] : [element('system-out', {}, lines.join('\n'))];
}

function wholeVerdict(scenario: ScenarioRow): XmlElement[] {
  const attempt = lastAttempt(scenario);
  const type = attempt?.error?.code ?? scenario.status;
  const text = attempt === undefined ? scenarioReason(scenario) : attemptText(attempt);
  switch (scenario.outcome) {
    case 'expected':
      return [];
    case 'flaky':
      return scenario.attempts
        .slice(0, -1)
        .map((each) =>
          element(
            'flakyFailure',
            { message: attemptMessage(scenario, each), type: each.error?.code ?? each.status },
            attemptText(each),
          ),
        );
    case 'skipped':
      return [element('skipped', { message: scenarioReason(scenario) })];
    case 'unexpected':
      return [element('failure', { message: scenarioReason(scenario), type }, text)];
    case 'broken':
      return [element('error', { message: scenarioReason(scenario), type }, text)];
  }
}

function startOf(run: Run, startMs: number): string {
  const at = new Date(Date.parse(run.startedAt) + startMs);
  return Number.isNaN(at.getTime()) ? run.startedAt : at.toISOString();
}

function scenarioSuite(run: Run, scenario: ScenarioRow): Suite {
  const timeMs = scenarioDurationMs(scenario);
  const whole = element('testcase', { name: WHOLE, classname: scenario.id, time: seconds(timeMs) }, [
    ...wholeVerdict(scenario),
    ...output(scenario),
  ]);
  return {
    name: scenario.id,
    timestamp: startOf(run, scenario.attempts[0]?.startMs ?? 0),
    hostname: run.hostFacts?.hostname ?? run.host,
    timeMs,
    properties: [
      ['title', scenario.title],
      ['outcome', scenario.outcome],
      ['attempts', String(scenario.attempts.length)],
      ['file', scenario.file],
      ['maturity', scenario.maturity],
      ...scenario.needs.map((need) => ['need', need] as const),
      ...scenario.source.map((source) => ['source', source] as const),
    ],
    cases: [whole, ...checksOfScenario(scenario).map((check) => checkCase(scenario, check))],
  };
}

/** What belongs to no scenario is a suite of its own, or a run that did nothing would look like a good one. */
function runSuite(run: Run): Suite {
  const isExplained = run.scenarios.some((row) => ['unexpected', 'broken'].includes(row.outcome));
  const errors = run.errors.map((error) =>
    element(
      error.kind === 'product' ? 'failure' : 'error',
      { message: error.message, type: error.code ?? error.kind },
      errorText(error),
    ),
  );
  const left = run.leftBehind.map((what) => element('error', { message: `left behind: ${what}`, type: 'left-behind' }));
  const verdict = verdictOf(run);
  const isSilent =
    run.exitCode !== 0 && errors.length + left.length === 0 && (!isExplained || run.status === 'interrupted');
  const silent = isSilent ? [element('error', { message: verdict.sentence, type: run.status })] : [];
  // One verdict a test case is all that readers of this format take in; the rest stands in its text.
  const [first] = [...errors, ...left, ...silent];
  const others = [...errors, ...left].slice(1).map((each) => String(each.attributes.message));
  const facts = run.hostFacts;
  return {
    name: 'run',
    timestamp: startOf(run, 0),
    hostname: facts?.hostname ?? run.host,
    timeMs: 0,
    properties: [
      ['runId', run.runId],
      ['status', run.status],
      ['exitCode', String(run.exitCode)],
      ['host', run.host],
      ['hostKind', facts?.kind ?? 'unknown'],
      ...(facts?.profile === undefined ? [] : [['profile', facts.profile] as const]),
      ...(facts?.generation === undefined ? [] : [['generation', facts.generation] as const]),
      ...Object.entries(facts?.versions ?? {}).map(([what, version]) => [`version.${what}`, version] as const),
      ...Object.entries(facts?.facts ?? {}).map(([what, fact]) => [`fact.${what}`, fact] as const),
      ['command', formatCommand(run.command)],
      ['harnessVersion', run.harnessVersion],
      ['nodeVersion', run.nodeVersion],
      ['platform', run.platform],
      ...run.faults.map((fault) => ['fault', fault] as const),
      ...run.required.map((need) => ['required', need] as const),
    ],
    cases: [
      element('testcase', { name: 'run', classname: 'sev-harness', time: '0.000' }, [
        ...(first === undefined ? [] : [first]),
        element(
          'system-out',
          {},
          [verdict.sentence, verdict.worth, ...others, ...verdict.notProved.map((each) => `not shown: ${each}`)].join(
            '\n',
          ),
        ),
      ]),
    ],
  };
}

function tally(cases: readonly XmlElement[]): { tests: number; failures: number; errors: number; skipped: number } {
  const having = (name: string) =>
    cases.filter((each) => typeof each.content !== 'string' && each.content.some((child) => child.name === name))
      .length;
  return { tests: cases.length, failures: having('failure'), errors: having('error'), skipped: having('skipped') };
}

function suiteElement(suite: Suite): XmlElement {
  const { name, timestamp, hostname } = suite;
  const properties = suite.properties.map(([key, value]) => element('property', { name: key, value }));
  return element('testsuite', { name, ...tally(suite.cases), time: seconds(suite.timeMs), timestamp, hostname }, [
    element('properties', {}, properties),
    ...suite.cases,
  ]);
}

/**
 * JUnit XML: a suite per scenario, a test case per check and one for the scenario as a whole, and a suite `run` for the rest.
 *
 * A product failure is a `failure`, everything that could not be judged an `error`; its shape is `junit.xsd`.
 */
export function renderJunit(run: Run): string {
  const suites = [runSuite(run), ...run.scenarios.map((scenario) => scenarioSuite(run, scenario))];
  const all = tally(suites.flatMap((suite) => suite.cases));
  const root = element(
    'testsuites',
    { name: 'sev-harness', ...all, time: seconds(run.durationMs) },
    suites.map(suiteElement),
  );
  return `<?xml version="1.0" encoding="UTF-8"?>\n${formatXml(root)}\n`;
}
