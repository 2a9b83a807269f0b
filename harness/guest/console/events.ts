import { guestError } from '../errors.ts';

/** What the agent's lines begin with; firmware, boot loaders and kernels print nothing like it. */
const PREFIX = 'SEVH ';

/** Guest-physical memory without a gap. */
export interface MemoryRun {
  readonly at: number;
  readonly bytes: number;
}

/** Reads one JSON value, or returns `undefined` when it has another form. */
type Reader<T> = (value: unknown) => T | undefined;

const text: Reader<string> = (value) => (typeof value === 'string' ? value : undefined);
const flag: Reader<boolean> = (value) => (typeof value === 'boolean' ? value : undefined);
const amount: Reader<number> = (value) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : undefined;
const count: Reader<number> = (value) => (Number.isSafeInteger(value) ? amount(value) : undefined);

const matching =
  (form: RegExp): Reader<string> =>
  (value) =>
    typeof value === 'string' && form.test(value) ? value : undefined;

const oneOf =
  <const T extends string>(...words: T[]): Reader<T> =>
  (value) =>
    words.find((word) => word === value);

const orNull =
  <T>(reader: Reader<T>): Reader<T | null> =>
  (value) =>
    value === null ? null : reader(value);

const list =
  <T>(reader: Reader<T>): Reader<readonly T[]> =>
  (value) => {
    if (!Array.isArray(value)) return undefined;
    const read = value.map(reader);
    return read.every((one) => one !== undefined) ? read : undefined;
  };

/** `0x<address>+0x<bytes>`: JSON has no hexadecimal numbers. */
const memoryRun: Reader<MemoryRun> = (value) => {
  const [, at, bytes] = /^0x([0-9a-f]{1,13})\+0x([0-9a-f]{1,13})$/.exec(String(value)) ?? [];
  if (at === undefined || bytes === undefined) return undefined;
  return { at: Number.parseInt(at, 16), bytes: Number.parseInt(bytes, 16) };
};

const registerHex = matching(/^0x[0-9a-f]{8}$/);
const because = orNull(text);

/** Every event and its fields, all of them required. `because` says why something else is null or zero. */
export const EVENTS = {
  /** The agent runs. */
  ready: { kernel: text, memoryKiB: count, efi: flag, uptimeMs: count, modules: list(text) },
  /** EAX, EBX, ECX, EDX of CPUID 0x8000001F, and MSR 0xC0010131. */
  cpu: {
    vendor: text,
    encryptionLeaf: orNull(list(registerHex)),
    sevStatus: orNull(matching(/^0x[0-9a-f]+$/)),
    because,
  },
  /** The kernel's own line about memory encryption. */
  encryption: { line: orNull(text) },
  /** One entry of the table of secrets, by its digest. */
  secret: { guid: matching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), sha256: matching(/^[0-9a-f]{64}$/) },
  /** All secrets have been named; by the kernel's efi_secret driver, or read in guest memory. */
  secrets: { count, from: orNull(oneOf('efi-secret', 'memory')), because },
  /** Some of the memory that holds the canary, whole pages of it; `shared` is where a bounce buffer may have kept it. */
  'canary-pages': { access: oneOf('private', 'shared'), runs: list(memoryRun) },
  /** The canary stands in all places that were named before. */
  canary: { privateBytes: count, sharedBytes: count, because },
  /** The guest has this many pages, of which no two differ between guests that were asked for the same seed. */
  'equal-pages': { pages: count, seed: text },
  /** Samples in the order in which they were taken. */
  workload: { name: text, unit: oneOf('MiB/s', 'ns'), samples: list(amount) },
  'workload-failed': { name: text, because: text },
  /** Something did not work that the guest can go on without. */
  problem: { what: text },
  /** All that the command line asked for is done. */
  idle: {},
  'power-off': { because: oneOf('command line', 'console', 'power button') },
} satisfies Record<string, Record<string, Reader<unknown>>>;

export type GuestEventName = keyof typeof EVENTS;

type Fields<N extends GuestEventName> = {
  readonly [F in keyof (typeof EVENTS)[N]]: (typeof EVENTS)[N][F] extends Reader<infer T> ? T : never;
};

/** What the agent in a guest tells, one line of the console each. */
export type GuestEvent = { [N in GuestEventName]: { readonly event: N } & Fields<N> }[GuestEventName];

export type GuestEventOf<N extends GuestEventName> = Extract<GuestEvent, { readonly event: N }>;

/**
 * Reads one line of a console; `undefined` when it is none of the agent's, whatever stands in it. What firmware or kernel
 * left on the same line before is cut off.
 *
 * Throws `CONSOLE_LINE_MALFORMED` for a line of the agent with an unknown event, or with a field missing, additional or
 * of another form.
 */
export function parseConsoleLine(line: string): GuestEvent | undefined {
  const start = line.lastIndexOf(`${PREFIX}{`);
  if (start < 0) return undefined;
  const json = line.slice(start + PREFIX.length).trimEnd();
  const fields = parseObject(json);
  if (fields === undefined) throw malformed(json, 'it is no JSON object');
  const { event, ...given } = fields;
  if (typeof event !== 'string' || !Object.hasOwn(EVENTS, event))
    throw malformed(json, `no event '${String(event)}' is known`);
  const readers: Readonly<Record<string, Reader<unknown>>> = EVENTS[event as GuestEventName];
  const additional = Object.keys(given).find((name) => !Object.hasOwn(readers, name));
  if (additional !== undefined) throw malformed(json, `'${event}' has no field '${additional}'`);
  const read: [string, unknown][] = Object.entries(readers).map(([name, reader]) => {
    const value = Object.hasOwn(given, name) ? reader(given[name]) : undefined;
    if (value === undefined) throw malformed(json, `field '${name}' of '${event}' is missing or of another form`);
    return [name, value];
  });
  return { event, ...Object.fromEntries(read) } as GuestEvent;
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function malformed(json: string, why: string) {
  const shown = json.length > 200 ? `${json.slice(0, 200)}…` : json;
  return guestError('CONSOLE_LINE_MALFORMED', `a line of the agent cannot be read, ${why}: ${shown}`, {
    hint: 'The agent of another version, or a line in which the kernel printed too: compare the console in the report.',
  });
}
