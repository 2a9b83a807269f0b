import type { Check } from '../../../attestation/result.ts';
import type { JsonValue } from '../../../core/errors.ts';
import { createPaint, type Paint } from '../../../reports/terminal/paint.ts';

const SECTIONS: Readonly<Record<string, string>> = {
  chain: 'certificate chain',
  domain: 'domain',
  launch: 'launch measurement',
  session: 'launch session',
};

/** A verdict as a tree: a branch per subject, a leaf per check, and under what did not pass why and what to do. */
export function renderTree(checks: readonly Check[], isColoured: boolean): string {
  const paint = createPaint(isColoured);
  const subjects = [...new Set(checks.map(subjectOf))];
  const lines = subjects.flatMap((subject) => {
    const rows = checks.filter((check) => subjectOf(check) === subject);
    const heading = `${SECTIONS[subject] ?? subject}`;
    return [
      `${mark(worst(rows), paint)} ${paint.bold(heading)}`,
      ...rows.flatMap((row, index) => renderRow(row, index === rows.length - 1, paint)),
    ];
  });
  return lines.map((line) => `${line}\n`).join('');
}

type Outcome = Check['outcome'];

function renderRow(check: Check, isLast: boolean, paint: Paint): string[] {
  const { id, outcome, title, because, hint } = check;
  const [branch, stem] = isLast ? ['└─', '  '] : ['├─', '│ '];
  const name = outcome === 'passed' ? '' : ` ${paint.dim(`[${id}]`)}`;
  const under = (text: string) => `${stem}     ${printable(text)}`;
  return [
    `${branch} ${mark(outcome, paint)} ${word(outcome, paint)}${title}${name}`,
    ...(because === undefined ? [] : [under(because)]),
    ...(outcome === 'failed' ? comparison(check).map(under) : []),
    ...(hint === undefined || outcome === 'passed' ? [] : [under(`${paint.cyan('fix:')} ${hint}`)]),
  ];
}

function comparison({ expected, actual }: Check): string[] {
  return [
    ...(expected === undefined ? [] : [`expected ${show(expected)}`]),
    ...(actual === undefined ? [] : [`actual   ${show(actual)}`]),
  ];
}

function show(value: JsonValue): string {
  if (Array.isArray(value)) return value.map(show).join(', ');
  if (typeof value !== 'object' || value === null) return String(value);
  return Object.entries(value)
    .map(([key, part]) => `${key} ${show(part ?? null)}`)
    .join(', ');
}

function mark(outcome: Outcome, paint: Paint): string {
  switch (outcome) {
    case 'passed':
      return paint.green('✓');
    case 'failed':
      return paint.red('✗');
    case 'incomplete':
      return paint.yellow('-');
    case 'skipped':
      return paint.dim('-');
  }
}

/** In words too: a mark alone is lost where there is no colour, or no such character. */
function word(outcome: Outcome, paint: Paint): string {
  switch (outcome) {
    case 'passed':
      return '';
    case 'failed':
      return paint.red('failed: ');
    case 'incomplete':
      return paint.yellow('incomplete: ');
    case 'skipped':
      return paint.dim('skipped: ');
  }
}

const ORDER: readonly Outcome[] = ['failed', 'incomplete', 'passed', 'skipped'];

function worst(rows: readonly Check[]): Outcome {
  return ORDER.find((outcome) => rows.some((row) => row.outcome === outcome)) ?? 'skipped';
}

function subjectOf(check: Check): string {
  return check.id.slice(0, check.id.indexOf('.'));
}

/** Names of domains and files come from others: nothing of them may move the cursor. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u001a\u001c-\u001f\u007f-\u009f]/g, '?');
}
