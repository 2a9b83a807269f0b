/** Whose fault an error is: the thing under test, us, the machine we run on, or the caller's words. */
export type ErrorKind = 'product' | 'harness' | 'environment' | 'usage';

export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

export type ErrorDetails = { readonly [key: string]: JsonValue | undefined };

/** One line of an error catalogue: what the code means and whose fault it is. */
export interface ErrorEntry {
  readonly kind: ErrorKind;
  readonly summary: string;
}

export type ErrorCatalogue = Readonly<Record<string, ErrorEntry>>;

export interface ErrorExtras {
  /** JSON-safe values; `Uint8Array` does not survive the way between workers, so give hex. */
  readonly details?: ErrorDetails;
  /** What the reader should do next, as one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/**
 * The one error that this project throws on purpose.
 *
 * `code` is stable and listed in `docs/errors.md`; `kind` says whose fault it is and decides the exit code.
 */
export class SevHarnessError extends Error {
  override readonly name = 'SevHarnessError';
  readonly code: string;
  readonly kind: ErrorKind;
  readonly details: ErrorDetails;
  readonly hint: string | undefined;

  constructor(code: string, kind: ErrorKind, message: string, extras: ErrorExtras = {}) {
    super(message, extras.cause === undefined ? undefined : { cause: extras.cause });
    this.code = code;
    this.kind = kind;
    this.details = extras.details ?? {};
    this.hint = extras.hint;
  }

  toJSON(): ErrorDetails {
    return {
      code: this.code,
      kind: this.kind,
      message: this.message,
      details: this.details,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    };
  }
}

/** Binds a room's catalogue, so that only codes that the catalogue lists can be thrown. */
export function errorFactory<const C extends ErrorCatalogue>(catalogue: C) {
  return (code: keyof C & string, message: string, extras?: ErrorExtras): SevHarnessError => {
    const entry = catalogue[code] as ErrorEntry;
    return new SevHarnessError(code, entry.kind, message, extras);
  };
}

export function isSevHarnessError(value: unknown, code?: string): value is SevHarnessError {
  return value instanceof SevHarnessError && (code === undefined || value.code === code);
}

/** An error of the operating system, by its name such as `ENOENT`. */
export function isSystemError(value: unknown, name: string): boolean {
  return value instanceof Error && (value as NodeJS.ErrnoException).code === name;
}

/** The text of anything that was thrown, without a stack. */
export function errorText(value: unknown): string {
  return value instanceof Error ? value.message : String(value);
}
