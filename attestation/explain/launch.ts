import { createHash } from 'node:crypto';
import type { JsonValue } from '../../core/errors.ts';
import type { Secret } from '../../core/secret.ts';
import type { LaunchDigest, Tek, Tik } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { resolveVcpuPages, type Vcpus } from '../measurement/digest.ts';
import type { KernelFiles } from '../measurement/kernel-hashes.ts';
import { checkLaunchContext, type LaunchContext, tikProblem } from '../measurement/measurement.ts';
import { integerInRange } from '../measurement/range.ts';
import { ADVICE, type Change, type Dimension } from './changes.ts';
import { guestChanges } from './guest-changes.ts';
import { DIGEST_AS_MEASUREMENT, hmacChanges } from './hmac-changes.ts';
import { type GuestGuess, type Hypothesis, type Image, Laboratory, type VcpuGuess } from './hypothesis.ts';
import { readMeasurement } from './readings.ts';

/** What the guest owner believes was launched. */
export interface ExplainGuest {
  readonly guestFirmware: Uint8Array;
  /** Other images that may have been used: a VARS file, the combined image, the build of last month. */
  readonly alternates?: readonly Image[];
  /** With `kernel-hashes=on`. */
  readonly kernel?: KernelFiles;
  /** SEV-ES only. */
  readonly vcpus?: Vcpus;
}

export interface ExplainInputs {
  /** As it was given to `verifyLaunch`, however malformed. */
  readonly measurement: string | Uint8Array;
  /** A nonce that was stated beside the measurement. */
  readonly mnonce?: Uint8Array;
  readonly context: LaunchContext;
  readonly tik: Secret<Tik>;
  /** To find out whether the keys were swapped. */
  readonly tek?: Secret<Tek>;
  readonly guest: ExplainGuest | { readonly digest: LaunchDigest };
}

export interface ExplainProgress {
  readonly tried: number;
  /** Upper bound of what will be tried. */
  readonly total: number;
  readonly phase: 'single changes' | 'pairs of changes';
}

export interface ExplainOptions {
  /** Candidates to try at most. */
  readonly maxCandidates?: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: ExplainProgress) => void;
}

export interface ExplainedChange {
  readonly dimension: Dimension;
  /** Completes the sentence "the measurement matches if …". */
  readonly words: string;
  readonly advice: string;
  readonly given: JsonValue;
  readonly fits: JsonValue;
}

export type Explanation =
  | { readonly outcome: 'matches'; readonly tried: number; readonly summary: string }
  | {
      readonly outcome: 'explained';
      /** One or two. */
      readonly changes: readonly ExplainedChange[];
      readonly tried: number;
      readonly summary: string;
    }
  | {
      readonly outcome: 'unexplained';
      /** False when the limit stopped the search. */
      readonly complete: boolean;
      readonly tried: number;
      /** Number of changes considered in each dimension. */
      readonly considered: Readonly<Partial<Record<Dimension, number>>>;
      readonly summary: string;
    };

export const DEFAULT_MAX_CANDIDATES = 500_000;
const CANDIDATES_PER_TURN = 256;

/**
 * Why does this launch measurement not match? Tries each single change of the inputs, then pairs, and names the one that
 * makes it match.
 *
 * Holds at most one turn of 256 candidates before it yields to the event loop. A match is proof that this was measured,
 * not that it is acceptable. Rejects with the signal's reason when aborted. Errors: those of `computeLaunchDigest` for the
 * vCPUs, `LAUNCH_INPUT_INVALID`, `TIK_INVALID`.
 */
export async function explainLaunch(inputs: ExplainInputs, options: ExplainOptions = {}): Promise<Explanation> {
  const limit = integerInRange('limit of candidates', options.maxCandidates ?? DEFAULT_MAX_CANDIDATES, 1, 1e9);
  const readings = readMeasurement(inputs.measurement, inputs.mnonce);
  const base = baseHypothesis(inputs, readings);
  const alternates = 'digest' in inputs.guest ? [] : (inputs.guest.alternates ?? []);
  const changes = [
    DIGEST_AS_MEASUREMENT,
    ...guestChanges(base, alternates),
    ...hmacChanges(base, readings, inputs.tek),
  ];
  const search = new Search(new Laboratory(), limit, options);

  if (readings.length > 0) {
    if (search.test(base))
      return { outcome: 'matches', tried: search.tried, summary: 'the measurement matches as given' };
    search.total = changes.length + countPairs(changes);
    const found = (await search.singles(base, changes)) ?? (await search.pairs(base, changes));
    if (found !== undefined) return explained(found, search.tried);
  }
  return unexplained(changes, readings.length > 0, search);
}

class Search {
  tried = 0;
  total = 1;
  readonly #laboratory: Laboratory;
  readonly #limit: number;
  readonly #options: ExplainOptions;
  #sinceTurn = 0;

  constructor(laboratory: Laboratory, limit: number, options: ExplainOptions) {
    this.#laboratory = laboratory;
    this.#limit = limit;
    this.#options = options;
  }

  get exhausted(): boolean {
    return this.tried >= this.#limit;
  }

  test(hypothesis: Hypothesis | undefined): boolean {
    const fits = hypothesis && this.#laboratory.fits(hypothesis);
    if (fits === undefined) return false;
    this.tried += 1;
    return fits;
  }

  async singles(base: Hypothesis, changes: readonly Change[]): Promise<Change[] | undefined> {
    for (const change of changes) {
      if (this.exhausted) return undefined;
      if (this.test(change.apply(base))) return [change];
      await this.#turn('single changes');
    }
    await this.#turn('single changes', true);
    return undefined;
  }

  async pairs(base: Hypothesis, changes: readonly Change[]): Promise<Change[] | undefined> {
    let previous: { readonly change: Change; readonly hypothesis: Hypothesis | undefined } | undefined;
    for (const [first, second] of pairs(changes)) {
      if (this.exhausted) return undefined;
      // The same object again, so that its digest is computed once for all its partners.
      if (previous?.change !== first) previous = { change: first, hypothesis: first.apply(base) };
      if (this.test(previous.hypothesis && second.apply(previous.hypothesis))) return [first, second];
      await this.#turn('pairs of changes');
    }
    await this.#turn('pairs of changes', true);
    return undefined;
  }

  async #turn(phase: ExplainProgress['phase'], force = false): Promise<void> {
    this.#sinceTurn += 1;
    if (!force && this.#sinceTurn < CANDIDATES_PER_TURN) return;
    this.#sinceTurn = 0;
    await new Promise((resolve) => setImmediate(resolve));
    this.#options.signal?.throwIfAborted();
    this.#options.onProgress?.({ tried: this.tried, total: Math.min(this.total, this.#limit), phase });
  }
}

/** Likely pairs first; those of two far-fetched changes never. */
function* pairs(changes: readonly Change[]): Generator<readonly [Change, Change]> {
  const common = changes.filter((change) => change.breadth === 'common');
  const wide = changes.filter((change) => change.breadth === 'wide');
  for (const [index, first] of common.entries()) {
    for (const second of common.slice(index + 1)) {
      if (first.dimension !== second.dimension) yield [first, second];
    }
  }
  for (const first of common) {
    for (const second of wide) if (first.dimension !== second.dimension) yield [first, second];
  }
}

function countPairs(changes: readonly Change[]): number {
  const count = (...wanted: readonly ((change: Change) => boolean)[]) =>
    changes.filter((change) => wanted.every((is) => is(change))).length;
  const common = (change: Change) => change.breadth === 'common';
  const wide = (change: Change) => change.breadth === 'wide';
  let pairsWithinDimension = 0;
  for (const dimension of new Set(changes.map((change) => change.dimension))) {
    const here = (change: Change) => change.dimension === dimension;
    const commonHere = count(common, here);
    pairsWithinDimension += (commonHere * (commonHere - 1)) / 2 + commonHere * count(wide, here);
  }
  return (count(common) * (count(common) - 1)) / 2 + count(common) * count(wide) - pairsWithinDimension;
}

function baseHypothesis(inputs: ExplainInputs, readings: ReturnType<typeof readMeasurement>): Hypothesis {
  checkLaunchContext(inputs.context);
  for (const [name, key] of [
    ['TIK', inputs.tik],
    ['TEK', inputs.tek],
  ] as const) {
    const problem = key && tikProblem(key.reveal());
    if (problem !== undefined) throw attestationError('TIK_INVALID', `${name} is not usable: ${problem}`);
  }
  if (inputs.mnonce !== undefined) integerInRange('bytes of the nonce', inputs.mnonce.length, 16, 16);
  return {
    ...inputs.context,
    reading: readings.find((reading) => reading.as === undefined),
    asDigest: false,
    guest: baseGuest(inputs.guest),
    key: inputs.tik,
  };
}

function baseGuest(guest: ExplainInputs['guest']): Hypothesis['guest'] {
  if ('digest' in guest) {
    integerInRange('bytes of the launch digest', guest.digest.length, 32, 32);
    return guest;
  }
  const { kernel } = guest;
  const vcpus = guest.vcpus && baseVcpus(guest.vcpus, guest.guestFirmware);
  const guess: GuestGuess = {
    image: { name: 'the given image', bytes: guest.guestFirmware },
    kernel: kernel && {
      cmdline: Buffer.from(`${kernel.cmdline ?? ''}\0`, 'utf8'),
      initrdSha256: sha256(kernel.initrd ?? new Uint8Array()),
      kernelSha256: sha256(kernel.kernel),
      padded: true,
    },
    vcpus,
  };
  return guess;
}

function baseVcpus(vcpus: Vcpus, guestFirmware: Uint8Array): VcpuGuess {
  const shared = { count: vcpus.count, patch: {}, order: 'bsp-first', resetFromImage: vcpus.kind === 'built' } as const;
  if (vcpus.kind === 'given') {
    resolveVcpuPages({ ...vcpus, count: vcpus.ap === undefined ? 1 : vcpus.count }, guestFirmware);
    return { ...shared, pages: { bsp: vcpus.bsp, ap: vcpus.ap } };
  }
  const { kind: _kind, count: _count, ...pages } = vcpus;
  resolveVcpuPages({ ...vcpus, count: 1 }, guestFirmware);
  return { ...shared, pages };
}

function explained(changes: readonly Change[], tried: number): Explanation {
  const words = changes.map((change) => change.words).join(', and ');
  return {
    outcome: 'explained',
    changes: changes.map(({ dimension, words, given, fits }) => ({
      dimension,
      words,
      advice: ADVICE[dimension],
      given,
      fits,
    })),
    tried,
    summary: `the measurement matches if ${words}`,
  };
}

function unexplained(changes: readonly Change[], readable: boolean, search: Search): Explanation {
  const considered: Partial<Record<Dimension, number>> = {};
  for (const { dimension } of changes) considered[dimension] = (considered[dimension] ?? 0) + 1;
  const list = Object.entries(considered).map(([dimension, count]) => `${dimension} ${count}`);
  const complete = readable && !search.exhausted;
  const tried = `tried ${search.tried} candidates`;
  const left =
    'What is left: another build of the guest firmware, kernel or initrd, the key of another session, or a guest that was tampered with.';
  const summary = !readable
    ? `${tried}: what was given can be read neither as a launch measurement (48 bytes) nor as a launch digest (32 bytes)`
    : complete
      ? `${tried}: no single change and no pair of changes fits (changes considered: ${list.join(', ')}). ${left}`
      : `${tried} of at most ${search.total} and stopped at the limit; none fits (changes considered: ${list.join(', ')})`;
  return { outcome: 'unexplained', complete, tried: search.tried, considered, summary };
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}
