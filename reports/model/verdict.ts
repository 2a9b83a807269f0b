import type { CheckRow, Run, ScenarioRow } from './run.ts';
import { checksOfScenario, countRun, lastAttempt } from './select.ts';
import { count, countMade, list } from './text.ts';

export type Tone = 'passed' | 'flaky' | 'failed' | 'broken' | 'interrupted';

/** A run in words: what every report says first. */
export interface Verdict {
  readonly tone: Tone;
  /** `Passed`, `Flaky`, `Failed`, `Not judged`, `Interrupted`, `Unfinished`. */
  readonly word: string;
  /** One sentence with what happened and where. */
  readonly sentence: string;
  /** One sentence on what the result is worth: real or emulated host, injected faults. */
  readonly worth: string;
  /** What held, one sentence each: whole promises, and checks of those that were checked in part. */
  readonly proved: readonly string[];
  readonly notProved: readonly string[];
}

/** So many failed scenarios are named in one sentence. */
const MOST_NAMES = 6;

/** `fake:naples`, with the generation where it is known. */
export function hostLabel(run: Pick<Run, 'host' | 'hostFacts'>): string {
  const generation = run.hostFacts?.generation;
  return generation === undefined ? run.host : `${run.host}, ${generation}`;
}

function failedChecks(scenario: ScenarioRow): CheckRow[] {
  return checksOfScenario(scenario).filter((check) => check.outcome === 'failed');
}

/** Why a scenario is not a plain pass, in a few words; empty when it is. */
export function scenarioReason(scenario: ScenarioRow): string {
  switch (scenario.outcome) {
    case 'expected':
      return '';
    case 'flaky':
      return `passed only on attempt ${scenario.attempts.length}`;
    case 'skipped':
      return scenario.reason ?? 'skipped without a reason';
    case 'unexpected':
    case 'broken': {
      const failed = failedChecks(scenario);
      if (failed.length > 0) {
        const all = checksOfScenario(scenario).length;
        return `${failed.length} of ${count(all, 'check')} failed: ${list(failed.map((check) => `“${check.title}”`))}`;
      }
      const attempt = lastAttempt(scenario);
      return attempt?.error?.message ?? scenario.reason ?? statusWords(scenario.status);
    }
  }
}

function statusWords(status: ScenarioRow['status']): string {
  if (status === 'timedOut') return 'timed out';
  return status === 'interrupted' ? 'interrupted before it ended' : 'failed without saying why';
}

/** Reasons come with a full stop and without. */
function ended(text: string): string {
  return `${text.replace(/\.$/, '')}.`;
}

function failureSentence(run: Run): string {
  const failed = run.scenarios.filter((scenario) => scenario.outcome === 'unexpected');
  const [first] = failed;
  if (first === undefined) {
    const error = run.errors.find((each) => each.kind === 'product');
    return `${hostLabel(run)} failed outside any scenario: ${error?.message ?? 'no error was recorded'}`;
  }
  if (failed.length === 1) return `On ${hostLabel(run)}, ${first.id} did not hold: ${ended(scenarioReason(first))}`;
  const names = failed.map(({ id }) => id);
  return `On ${hostLabel(run)}, ${failed.length} of ${run.scenarios.length} scenarios did not hold: ${list(names, MOST_NAMES)}.`;
}

function brokenSentence(run: Run): string {
  const counts = countRun(run).scenarios;
  const [error] = run.errors;
  if (error !== undefined) {
    // The words stand beside it in every report, and may be long.
    const what = counts.all === 0 ? 'No scenario started' : 'The run could not do all of its work';
    return `${what} (${error.code ?? `an error of the ${error.kind}`}).`;
  }
  const broken = run.scenarios.filter((scenario) => scenario.outcome === 'broken');
  const [first] = broken;
  if (first !== undefined && broken.length === 1) return `${first.id} could not be judged: ${scenarioReason(first)}`;
  if (first !== undefined)
    return `${broken.length} of ${counts.all} scenarios could not be judged, first ${first.id}: ${scenarioReason(first)}`;
  if (counts.all === 0) return 'No scenario ran, so nothing was shown.';
  if (counts.skipped === counts.all) {
    const reasons = [...new Set(run.scenarios.map((scenario) => scenario.reason ?? 'no reason given'))];
    return `${counts.all === 1 ? 'The scenario was' : `All ${counts.all} scenarios were`} skipped, so nothing was shown: ${ended(list(reasons, 2))}`;
  }
  if (run.leftBehind.length > 0)
    return `Cleanup left ${count(run.leftBehind.length, 'thing')} behind on ${hostLabel(run)}.`;
  return `The harness ended with exit code ${run.exitCode} and recorded no reason.`;
}

function interruptedSentence(run: Run): string {
  const ended = run.scenarios.filter((scenario) => scenario.status !== 'interrupted').length;
  const how = run.unfinished === true ? 'The run was killed or is still going' : 'The run was interrupted';
  const failed = run.scenarios.filter((scenario) => scenario.outcome === 'unexpected');
  const tail = failed.length === 0 ? '' : ` ${failureSentence(run)}`;
  return `${how}: ${ended} of ${count(run.scenarios.length, 'started scenario')} came to an end.${tail}`;
}

function passedSentence(run: Run): string {
  const counts = countRun(run);
  const ran = counts.scenarios.all - counts.scenarios.skipped;
  const skipped = counts.scenarios.skipped === 0 ? '' : ` ${count(counts.scenarios.skipped, 'scenario')} skipped.`;
  if (counts.checks.all === 0)
    return `${count(ran, 'scenario')} ran on ${hostLabel(run)} without a single check.${skipped}`;
  const unchecked = counts.checks.skipped === 0 ? '' : ` ${count(counts.checks.skipped, 'check')} could not be made.`;
  const held = `${count(counts.checks.passed, 'check')} in ${count(ran, 'scenario')} held on ${hostLabel(run)}.`;
  return `${held}${unchecked}${skipped}`;
}

function flakySentence(run: Run): string {
  const flaky = run.scenarios.filter((scenario) => scenario.outcome === 'flaky');
  const names = flaky.map((scenario) => `${scenario.id} (attempt ${scenario.attempts.length})`);
  return `Everything passed in the end, but not at first: ${list(names)} passed only on a retry. Treat it as unproved.`;
}

function worth(run: Run): string {
  const faults =
    run.faults.length === 0 ? '' : `Injected on purpose: ${list(run.faults)}. This run tests the tests, not a host. `;
  switch (run.hostFacts?.kind) {
    case 'emulated':
      return `${faults}The host is emulated: this says nothing about a real CPU, firmware or kernel.`;
    case 'real':
      return `${faults}The host is real: what was shown holds for this machine and these versions.`;
    case undefined:
      return `${faults}The host never described itself.`;
  }
}

/** What passed checks left open, and checks that were not made: one sentence each, or one for many with the same reason. */
export function uncheckedOf(scenario: ScenarioRow): string[] {
  return gapsOf(scenario, (rows) => `${rows.length} checks`);
}

function gapsOf(scenario: ScenarioRow, wordsForMany: (rows: readonly CheckRow[]) => string): string[] {
  const byReason = new Map<string, CheckRow[]>();
  const checks = checksOfScenario(scenario);
  for (const check of checks) {
    if (check.outcome !== 'skipped') continue;
    const because = check.because ?? 'the check was skipped';
    byReason.set(because, [...(byReason.get(because) ?? []), check]);
  }
  const skipped = [...byReason].flatMap(([because, rows]) =>
    rows.length > 3
      ? [`${wordsForMany(rows)} — ${scenario.id}: ${because}`]
      : rows.map((check) => `${check.title} — ${scenario.id}: ${because}`),
  );
  const open = checks.flatMap(({ leavesOpen }) => (leavesOpen === undefined ? [] : [`${leavesOpen} — ${scenario.id}`]));
  return [...open, ...skipped];
}

/** Scenarios with no verdict: one sentence each, or one for many with the same reason. */
function without(scenarios: readonly ScenarioRow[], outcome: 'skipped' | 'broken', word: string): string[] {
  const rows = scenarios.filter((scenario) => scenario.outcome === outcome);
  const reasons = [...new Set(rows.map(scenarioReason))];
  return reasons.flatMap((reason) => {
    const alike = rows.filter((scenario) => scenarioReason(scenario) === reason);
    return alike.length > 3
      ? [`${alike.length} scenarios — ${alike.map(({ id }) => id).join(', ')} ${word}: ${reason}`]
      : alike.map(({ id, title }) => `${title} — ${id} ${word}: ${reason}`);
  });
}

/** What a scenario with a verdict leaves open. */
function open(scenario: ScenarioRow): string[] {
  switch (scenario.outcome) {
    case 'skipped':
      return [];
    case 'broken':
      // What its error kept from being checked is said with the error.
      return uncheckedOf(scenario).filter((words) => !words.includes(scenarioReason(scenario)));
    case 'flaky':
      return [`${scenario.title} — ${scenario.id} ${scenarioReason(scenario)}`, ...uncheckedOf(scenario)];
    case 'expected':
      return isWhole(scenario)
        ? uncheckedOf(scenario)
        : [
            `${scenario.title} — ${scenario.id}, as only ${countMade(checksOfScenario(scenario))} could be made`,
            ...gapsOf(scenario, (rows) =>
              list(
                rows.map((check) => `“${check.title}”`),
                rows.length,
              ),
            ),
          ];
    case 'unexpected':
      return uncheckedOf(scenario);
  }
}

/** Whether every check of a scenario was made. */
function isWhole(scenario: ScenarioRow): boolean {
  return checksOfScenario(scenario).every((check) => check.outcome !== 'skipped');
}

/** What a scenario that passed shows: its promise, or where a part of it was not checked those of the checks that held. */
function shown(scenario: ScenarioRow): string[] {
  const checks = checksOfScenario(scenario);
  if (scenario.outcome !== 'expected' || checks.length === 0) return [];
  if (isWhole(scenario)) return [`${scenario.title} — ${scenario.id}, ${countMade(checks)}`];
  return checks.filter((check) => check.outcome === 'passed').map((check) => `${check.title} — ${scenario.id}`);
}

/** Says a run in words. */
export function verdictOf(run: Run): Verdict {
  const rest = {
    worth: worth(run),
    proved: run.scenarios.flatMap(shown),
    notProved: [
      ...(run.hostFacts?.notVerified ?? []),
      ...run.scenarios.flatMap(open),
      ...without(run.scenarios, 'broken', 'not judged'),
      ...without(run.scenarios, 'skipped', 'skipped'),
    ],
  };
  switch (run.status) {
    case 'passed':
      return run.scenarios.some((scenario) => scenario.outcome === 'flaky')
        ? { tone: 'flaky', word: 'Flaky', sentence: flakySentence(run), ...rest }
        : { tone: 'passed', word: 'Passed', sentence: passedSentence(run), ...rest };
    case 'failed':
      return { tone: 'failed', word: 'Failed', sentence: failureSentence(run), ...rest };
    case 'broken':
      return { tone: 'broken', word: 'Not judged', sentence: brokenSentence(run), ...rest };
    case 'interrupted':
      return {
        tone: 'interrupted',
        word: run.unfinished === true ? 'Unfinished' : 'Interrupted',
        sentence: interruptedSentence(run),
        ...rest,
      };
  }
}
