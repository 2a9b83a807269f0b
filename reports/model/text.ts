import type { JsonValue } from '../../core/errors.ts';

/** Characters that change how a line is shown rather than what it says: controls, bidirectional overrides, half surrogates. */
const UNSHOWABLE = /[\p{Cc}\p{Surrogate}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]/gu;

/** Text from outside with everything that is not plainly readable spelled out; tab and newline stay, CR LF becomes newline. */
export function showable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(UNSHOWABLE, (character) => {
    if (character === '\n' || character === '\t') return character;
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** A value with every string in it mapped, keys included. */
export function mapStrings<T>(value: T, map: (text: string) => string): T {
  const visit = (item: unknown): unknown => {
    if (typeof item === 'string') return map(item);
    if (Array.isArray(item)) return item.map(visit);
    if (typeof item !== 'object' || item === null) return item;
    return Object.fromEntries(Object.entries(item).map(([key, inner]) => [map(key), visit(inner)]));
  };
  return visit(value) as T;
}

/** What a text says without when: QEMU begins its lines with the time of day. */
export function wordingOf(text: string): string {
  return text.replace(/\d{4}-\d\d-\d\d[T ][\d:.]+Z?/g, '');
}

/** The same on one line. */
export function showableLine(text: string): string {
  return showable(text.replaceAll('\r\n', '\n'))
    .replace(/\s*\n\s*/g, ' ⏎ ')
    .replaceAll('\t', ' ');
}

/** A string that reads like another JSON value keeps its quotes, so that expected 15 and actual "15" look different. */
function needsQuotes(text: string): boolean {
  return text.trim() !== text || text === '' || /^(?:-?\d[\d.eE+-]*|true|false|null|[[{"].*)$/s.test(text);
}

/** JSON that wraps where lines end: blanks after `,` and `:`, plain keys without quotes. */
function formatNested(value: JsonValue): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(formatNested).join(', ')}]`;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined) as [string, JsonValue][];
  const keyOf = (key: string) => (/^[A-Za-z_][\w.-]*$/.test(key) ? key : JSON.stringify(key));
  return entries.length === 0
    ? '{}'
    : `{ ${entries.map(([key, item]) => `${keyOf(key)}: ${formatNested(item)}`).join(', ')} }`;
}

/** An expected or actual value as people read it. */
export function formatValue(value: JsonValue): string {
  return typeof value === 'string' && !needsQuotes(value) ? value : formatNested(value);
}

export function formatDuration(ms: number): string {
  if (ms < 1) return ms === 0 ? '0 ms' : '<1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h === 0 ? `${m} min ${pad(s)} s` : `${h} h ${pad(m)} min`;
}

function pad(number: number): string {
  return String(number).padStart(2, '0');
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  if (bytes < 1024 * 1024) return `${(bytes / 1024).toFixed(1)} KiB`;
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

/** `1 check`, `2 checks`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** `a, b and c`, shortened to `a, b and 7 more` beyond `limit`. */
export function list(items: readonly string[], limit = 3): string {
  const shown = items.length > limit ? [...items.slice(0, limit - 1), `${items.length - limit + 1} more`] : items;
  const last = shown.at(-1) ?? '';
  return shown.length < 2 ? last : `${shown.slice(0, -1).join(', ')} and ${last}`;
}

/** `9 checks`, or `5 of 9 checks` where some could not be made. */
export function countMade(checks: readonly { readonly outcome: string }[]): string {
  const made = checks.filter((check) => check.outcome !== 'skipped').length;
  return made === checks.length ? count(made, 'check') : `${made} of ${count(checks.length, 'check')}`;
}

/** A command as it can be pasted into a shell. */
export function formatCommand(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(' ');
}

const VERSION_NAMES: ReadonlyMap<string, string> = new Map([
  ['qemu', 'QEMU'],
  ['ovmf', 'OVMF'],
  ['sevFirmware', 'SEV firmware'],
  ['guestFirmware', 'guest firmware'],
]);

/** What has a version, as people write it. */
export function versionName(key: string): string {
  return VERSION_NAMES.get(key) ?? key;
}
