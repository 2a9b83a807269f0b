/** Colours for people; each function returns its text unchanged where colour is not wanted. */
export interface Paint {
  readonly green: (text: string) => string;
  readonly red: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly bold: (text: string) => string;
}

export function createPaint(isColoured: boolean): Paint {
  const style = (on: number, off: number) => (text: string) =>
    isColoured && text !== '' ? `\u001b[${on}m${text}\u001b[${off}m` : text;
  return {
    green: style(32, 39),
    red: style(31, 39),
    yellow: style(33, 39),
    cyan: style(36, 39),
    dim: style(2, 22),
    bold: style(1, 22),
  };
}

/** Whether a stream gets colour: `NO_COLOR` forbids it, `FORCE_COLOR` asks for it, else a terminal that is not dumb has it. */
export function wantsColour(isTty: boolean, env: Readonly<Record<string, string | undefined>>): boolean {
  if ((env.NO_COLOR ?? '') !== '') return false;
  const forced = env.FORCE_COLOR ?? '';
  if (forced !== '') return forced !== '0';
  return isTty && env.TERM !== 'dumb';
}

export type StatusWord =
  | 'PASS'
  | 'FAIL'
  | 'SKIP'
  | 'FLAKY'
  | 'SLOW'
  | 'BROKEN'
  | 'STOP'
  | 'RETRY'
  | 'START'
  | 'HOST'
  | 'NOTE'
  | 'HINT'
  | 'ERROR'
  | 'LEFT';

/** The status as a column of fixed width, so that the eye finds it. */
export function statusColumn(word: StatusWord, paint: Paint): string {
  const text = word.padStart(8);
  switch (word) {
    case 'PASS':
      return paint.bold(paint.green(text));
    case 'FAIL':
    case 'ERROR':
    case 'LEFT':
      return paint.bold(paint.red(text));
    case 'BROKEN':
    case 'FLAKY':
    case 'SLOW':
    case 'STOP':
    case 'RETRY':
      return paint.bold(paint.yellow(text));
    case 'SKIP':
      return paint.cyan(text);
    case 'START':
    case 'HOST':
    case 'NOTE':
    case 'HINT':
      return paint.dim(text);
  }
}

/** `[   0.012s]`, or `[> 10.000s]` for what still runs: as wide as the one above it. */
export function durationColumn(ms: number, isRunning = false): string {
  return `[${isRunning ? '>' : ' '}${(ms / 1000).toFixed(3).padStart(8)}s]`;
}
