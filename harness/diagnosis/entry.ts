/** Raised whenever an entry is added, removed or changed in meaning. */
export const TABLE_VERSION = 5;

/** `cause`: names what went wrong. `symptom`: says that something did. `benign`: looks like a fault and is none. */
export type FindingKind = 'cause' | 'symptom' | 'benign';

/** How sure the text alone makes us. */
export type Confidence = 'certain' | 'likely' | 'possible';

export type Component = 'kernel' | 'qemu' | 'libvirt';

export type VersionTriple = readonly [number, number, number];

/** Half-open: from the first version that says so, up to but not including `before`. */
export interface VersionRange {
  readonly from?: VersionTriple;
  readonly before?: VersionTriple;
}

/** What a refused launch means to a scenario. */
export type RefusalCategory =
  | 'no-free-slot'
  | 'no-such-pool'
  | 'sev-unsupported'
  | 'launch-refused-by-firmware'
  | 'guest-file';

/** One line of the table: a text of the field and what it means. */
export interface Entry {
  readonly id: string;
  readonly kind: FindingKind;
  /** Tried on each line; named groups fill the places in braces of `cause`. */
  readonly pattern: RegExp;
  readonly confidence: Confidence;
  /** What the pattern cannot express about its groups. */
  readonly applies?: (groups: Readonly<Record<string, string>>) => boolean;
  /** One sentence; `{group}`, `{errno}` (name of `ret`) and `{status}` (meaning of `fw`, or `fw2`) are filled in. */
  readonly cause: string;
  readonly fix: string;
  /** What of the text misleads. */
  readonly caution?: string;
  /** A message of the field, as printed. */
  readonly example: string;
  /** Where it was seen, or who defines it. */
  readonly source: string;
  /** libvirt's error code and domain (virterror.h), where the error came from libvirt and they are known. */
  readonly libvirt?: { readonly code: number; readonly domain: number };
  /** Only these versions mean this by it. */
  readonly versions?: Readonly<Partial<Record<Component, VersionRange>>>;
  /** Text that gives it the lie, anywhere in the same evidence. */
  readonly unless?: RegExp;
  /** Counts only when no entry without this mark explains the line. */
  readonly isFallback?: true;
  readonly refusal?: RefusalCategory;
}
