import { parseArgs } from 'node:util';
import { errorText } from '../../../core/errors.ts';
import { harnessError } from '../../errors.ts';

/** One flag of a verb. */
export interface Flag {
  /** Without its dashes. */
  readonly name: string;
  readonly short?: string;
  /** What the help calls its value; a flag without one is a switch. */
  readonly value?: string;
  readonly help: string;
  /** May be given more than once. */
  readonly many?: true;
}

export interface FlagGroup {
  readonly title: string;
  readonly flags: readonly Flag[];
}

/** What a verb was called with. */
export interface Arguments {
  /** Words that are no flags. */
  readonly words: readonly string[];
  has(name: string): boolean;
  text(name: string): string | undefined;
  all(name: string): readonly string[];
  /** A whole number, in decimal or with `0x`. Throws `CLI_USAGE`. */
  integer(name: string, min: number, max: number): number | undefined;
  /** Like `text`, but `CLI_USAGE` when absent. */
  required(name: string): string;
}

export function usageError(text: string, hint?: string) {
  return harnessError('CLI_USAGE', text, hint === undefined ? {} : { hint });
}

/** Parses the words of one verb. Throws `CLI_USAGE` for unknown flags, missing values, and flags given twice. */
export function parseFlags(words: readonly string[], groups: readonly FlagGroup[], maxWords: number): Arguments {
  const flags = groups.flatMap((group) => group.flags);
  const { values, positionals } = parseStrictly(words, flags);
  if (positionals.length > maxWords) throw usageError(`unexpected word '${clip(positionals[maxWords] ?? '')}'`);
  for (const { name, many, value } of flags) {
    const given = values.get(name) ?? [];
    if (given.length > 1 && many === undefined) throw usageError(`--${name} was given ${given.length} times`);
    if (value !== undefined && name !== 'cmdline' && given.includes('')) throw usageError(`--${name} is empty`);
  }
  return argumentsOf(values, positionals);
}

function argumentsOf(values: ReadonlyMap<string, readonly string[]>, words: readonly string[]): Arguments {
  const text = (name: string) => values.get(name)?.[0];
  return {
    words,
    has: (name) => values.has(name),
    text,
    all: (name) => values.get(name) ?? [],
    integer: (name, min, max) => {
      const given = text(name);
      return given === undefined ? undefined : parseInteger(`--${name}`, given, min, max);
    },
    required: (name) => {
      const given = text(name);
      if (given === undefined) throw usageError(`--${name} is required`);
      return given;
    },
  };
}

function parseStrictly(words: readonly string[], flags: readonly Flag[]) {
  const options = Object.fromEntries(
    flags.map(({ name, short, value }) => [
      name,
      {
        type: value === undefined ? ('boolean' as const) : ('string' as const),
        multiple: true,
        ...(short === undefined ? {} : { short }),
      },
    ]),
  );
  try {
    const { tokens, positionals } = parseArgs({
      args: [...words],
      options,
      strict: true,
      allowPositionals: true,
      tokens: true,
    });
    const values = new Map<string, string[]>();
    for (const token of tokens) {
      if (token.kind === 'option') values.set(token.name, [...(values.get(token.name) ?? []), token.value ?? '']);
    }
    return { values, positionals };
  } catch (error) {
    throw usageError(inOurWords(errorText(error)), 'The flags are listed by --help.');
  }
}

/** Node's texts are several sentences, and advise what does not apply here. */
function inOurWords(text: string): string {
  const [first = text] = text.split('\n');
  const unknown = /Unknown option '([^']*)'/.exec(first);
  if (unknown) return `unknown option '${clip(unknown[1] ?? '')}'`;
  const ambiguous = /Option '([^']*)' argument is ambiguous/.exec(first);
  if (ambiguous) {
    const name = (ambiguous[1] ?? '').replace(/^-., /, '');
    return `${name} needs a value; one that begins with a dash is written ${name}=VALUE`;
  }
  const missing = /Option '(?:-., )?(--[\w-]+) <value>' argument missing/.exec(first);
  if (missing) return `${missing[1]} needs a value`;
  const surplus = /Option '(?:-., )?(--[\w-]+)' does not take an argument/.exec(first);
  if (surplus) return `${surplus[1]} takes no value`;
  return clip(first);
}

const DECIMAL = /^(0|[1-9][0-9]{0,15})$/;
const HEX = /^0[xX][0-9a-fA-F]{1,13}$/;

export function parseInteger(what: string, text: string, min: number, max: number): number {
  const value = DECIMAL.test(text) || HEX.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw usageError(`${what}: expected a whole number from ${min} to ${max}, got '${clip(text)}'`);
}

/** What someone typed, short enough for one line. */
export function clip(text: string): string {
  const flat = text.replace(/[^\x20-\x7e]/g, '?');
  return flat.length <= 60 ? flat : `${flat.slice(0, 57)}...`;
}

/** The flags of a verb, one line each. */
export function describeFlags(groups: readonly FlagGroup[]): string {
  const left = ({ name, short, value }: Flag) =>
    `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
  const width = Math.max(...groups.flatMap((group) => group.flags).map((flag) => left(flag).length));
  return groups
    .map(({ title, flags }) =>
      [`${title}:`, ...flags.map((flag) => `  ${left(flag).padEnd(width)}  ${flag.help}`)].join('\n'),
    )
    .join('\n\n');
}
