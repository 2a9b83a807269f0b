import { count, formatDuration, formatValue, showableLine } from '../model/text.ts';
import type { DiffItem, RunDiff } from './compare.ts';

function itemLine(item: DiffItem): string {
  const name = item.check === undefined ? item.scenario : `${item.scenario} › ${item.check}`;
  const why = item.because === undefined ? '' : ` (${showableLine(item.because)})`;
  return `  ${name}: ${showableLine(item.title)}: ${item.before} → ${item.after}${why}`;
}

function part(title: string, lines: readonly string[], items = lines.length): string[] {
  return lines.length === 0 ? [] : ['', `${title} (${items})`, ...lines];
}

function sentence(diff: RunDiff): string {
  if (diff.newFailures.length > 0) return `WORSE: ${count(diff.newFailures.length, 'new failure')}.`;
  const unjudged = diff.notJudged.length + diff.neverJudged.length;
  if (unjudged > 0)
    return `NOT JUDGED: no new failure, but the later run could not judge ${count(unjudged, 'result')}.`;
  if (diff.wasStopped) return 'NOT JUDGED: no new failure, but the later run did not come to its end.';
  if (diff.lost.length > 0)
    return `LESS SHOWN: no new failure, but the later run lacks ${count(diff.lost.length, 'result')} of the earlier one.`;
  if (diff.fixed.length > 0) return `BETTER: ${count(diff.fixed.length, 'failure')} fixed, none new.`;
  return diff.stillFailing.length > 0
    ? 'SAME: the failures are those of the earlier run.'
    : 'SAME: no failure in either run.';
}

/** The comparison for people. */
export function formatDiff(diff: RunDiff): string {
  const name = (run: RunDiff['before']) => `${run.runId}, ${run.startedAt}, ${run.host}, ${run.status}`;
  const lines = [
    `before  ${showableLine(name(diff.before))}`,
    `after   ${showableLine(name(diff.after))}`,
    ...part('New failures', diff.newFailures.map(itemLine)),
    ...part('Not judged any more', diff.notJudged.map(itemLine)),
    ...part('Not judged in either run', diff.neverJudged.map(itemLine)),
    ...part('No longer shown', diff.lost.map(itemLine)),
    ...part('Flaky now', diff.nowFlaky.map(itemLine)),
    ...part('Still failing', diff.stillFailing.map(itemLine)),
    ...part('Fixed', diff.fixed.map(itemLine)),
    ...part('New', diff.gained.map(itemLine)),
    ...part(
      'Held with another value',
      diff.values.flatMap(({ scenario, check, before, after }) => [
        `  ${scenario} › ${check}`,
        `    before ${showableLine(formatValue(before))}`,
        `    after  ${showableLine(formatValue(after))}`,
      ]),
      diff.values.length,
    ),
    ...part(
      'Facts that changed',
      diff.facts.map(
        ({ fact, before, after }) =>
          `  ${fact}: ${showableLine(before ?? 'not known')} → ${showableLine(after ?? 'not known')}`,
      ),
    ),
    ...part(
      'Notable times',
      diff.durations.map(
        ({ scenario, beforeMs, afterMs, ratio }) =>
          `  ${scenario}: ${formatDuration(beforeMs)} → ${formatDuration(afterMs)} (${ratio} times)`,
      ),
    ),
    '',
    `${sentence(diff)} ${count(diff.unchanged, 'result')} unchanged.`,
  ];
  return `${lines.join('\n')}\n`;
}
