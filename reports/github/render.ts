import type { ReportedError, Run, ScenarioRow } from '../model/run.ts';
import { checksOfScenario, lastAttempt, scenarioDurationMs, worstFirst } from '../model/select.ts';
import { formatCommand, formatDuration, formatValue, showable, showableLine } from '../model/text.ts';
import { scenarioReason, verdictOf } from '../model/verdict.ts';

/** GitHub refuses a summary above 1 MiB as a whole. */
const MAX_BYTES = 1_000_000;
const CUT = '\n\n_Cut here: the HTML report has the rest._\n';
/** GitHub shows ten annotations of a kind for one step. */
const MAX_ANNOTATIONS = 10;

/** Text from outside, on one line, that Markdown and HTML leave as it is. */
function plain(text: string): string {
  return showableLine(text).replace(/[&<>\\`*_[\]()#|~@$]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** A value as code; HTML instead of backticks, because the value may hold any number of those. */
function code(text: string): string {
  return `<code>${plain(text)}</code>`;
}

function block(text: string): string {
  const escaped = showable(text).replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<pre>${escaped.replaceAll('\n', '&#10;')}</pre>`;
}

const SIGNS = { expected: '✅', unexpected: '❌', flaky: '⚠️', broken: '❔', skipped: '⏭️' } as const;
const WORDS = {
  expected: 'passed',
  unexpected: 'failed',
  flaky: 'flaky',
  broken: 'not judged',
  skipped: 'skipped',
} as const;

function row(scenario: ScenarioRow): string {
  const checks = checksOfScenario(scenario);
  const failed = checks.filter((check) => check.outcome === 'failed').length;
  const made = checks.filter((check) => check.outcome !== 'skipped').length;
  const held = made === checks.length ? `${made}` : `${made} of ${checks.length}`;
  const cells = [
    `${SIGNS[scenario.outcome]} ${WORDS[scenario.outcome]}`,
    code(scenario.id),
    plain(scenarioReason(scenario) || scenario.title),
    failed > 0 ? `${failed} of ${checks.length} broken` : held,
    formatDuration(scenarioDurationMs(scenario)),
  ];
  return `| ${cells.join(' | ')} |`;
}

function errorLines(error: ReportedError): string[] {
  const hint = error.hint === undefined ? [] : ['', `What to do: ${plain(error.hint)}`];
  return [block(`${error.code ?? error.kind}: ${error.message}`), ...hint];
}

function failure(scenario: ScenarioRow): string {
  const checks = checksOfScenario(scenario).filter((check) => check.outcome === 'failed');
  const error = lastAttempt(scenario)?.error;
  const rows = checks.map((check) => {
    const value = (item: typeof check.expected) => (item === undefined ? '' : code(formatValue(item)));
    return `| ${code(check.id)} ${plain(check.title)} | ${value(check.expected)} | ${value(check.actual)} | ${plain(check.because ?? '')} |`;
  });
  const table =
    rows.length === 0 ? [] : ['| Check | Expected | Actual | Because |', '| --- | --- | --- | --- |', ...rows, ''];
  const told = error === undefined ? [] : [...errorLines(error), ''];
  return [`#### ${plain(scenario.id)}: ${plain(scenario.title)}`, '', ...table, ...told].join('\n');
}

function cut(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= MAX_BYTES) return text;
  const kept = bytes.toString('utf8', 0, MAX_BYTES - 1000);
  return `${kept.slice(0, kept.lastIndexOf('\n'))}${CUT}`;
}

/** Markdown for `$GITHUB_STEP_SUMMARY`. */
export function renderGithubSummary(run: Run): string {
  const verdict = verdictOf(run);
  const bad = worstFirst(run.scenarios).filter((scenario) => ['unexpected', 'broken'].includes(scenario.outcome));
  const lines = [
    `### ${plain(verdict.word)}: ${plain(verdict.sentence)}`,
    '',
    plain(verdict.worth),
    '',
    ...(run.scenarios.length === 0
      ? []
      : [
          '| Outcome | Scenario | What | Checks | Time |',
          '| --- | --- | --- | --- | --- |',
          ...worstFirst(run.scenarios).map(row),
          '',
        ]),
    ...run.errors.flatMap((error) => [...errorLines(error), '']),
    ...(run.leftBehind.length === 0
      ? []
      : ['Left behind:', '', ...run.leftBehind.map((what) => `- ${plain(what)}`), '']),
    ...bad.map(failure),
    ...(verdict.notProved.length === 0
      ? []
      : [
          '<details><summary>Not shown by this run</summary>',
          '',
          ...verdict.notProved.map((each) => `- ${plain(each)}`),
          '',
          '</details>',
          '',
        ]),
    `Run ${code(run.runId)}, ${plain(run.startedAt)}: ${code(formatCommand(run.command))}`,
  ];
  return cut(`${lines.join('\n')}\n`);
}

/** A value inside a workflow command. Properties must also hide the characters that end them. */
function commandText(text: string, isProperty: boolean): string {
  const escaped = text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
  return isProperty ? escaped.replaceAll(':', '%3A').replaceAll(',', '%2C') : escaped;
}

/** Workflow commands that mark what failed; at most ten errors and ten warnings, as GitHub shows no more. */
export function renderGithubAnnotations(run: Run): string {
  const line = (kind: 'error' | 'warning', title: string, message: string, file?: string) => {
    const place = file === undefined ? '' : `file=${commandText(file, true)},`;
    return `::${kind} ${place}title=${commandText(showableLine(title), true)}::${commandText(showable(message), false)}`;
  };
  const bad = worstFirst(run.scenarios).filter((scenario) => ['unexpected', 'broken'].includes(scenario.outcome));
  const errors = [
    ...bad.map((scenario) =>
      line('error', `${scenario.id} ${WORDS[scenario.outcome]}`, scenarioReason(scenario), scenario.file),
    ),
    ...run.errors.map((error) => line('error', error.code ?? error.kind, error.message)),
  ];
  const isSilent = run.exitCode !== 0 && errors.length === 0;
  const verdict = verdictOf(run);
  const warnings = [
    ...run.scenarios
      .filter((scenario) => scenario.outcome === 'flaky')
      .map((scenario) => line('warning', `${scenario.id} flaky`, scenarioReason(scenario), scenario.file)),
    ...run.leftBehind.map((what) => line('warning', 'left behind', what)),
  ];
  const lines = [
    ...(isSilent ? [line('error', verdict.word, verdict.sentence)] : []),
    ...errors.slice(0, MAX_ANNOTATIONS),
    ...warnings.slice(0, MAX_ANNOTATIONS),
  ];
  return lines.map((each) => `${each}\n`).join('');
}
