import { createHash } from 'node:crypto';
import type { Host } from '../../host/host.ts';
import type { GuestConsole } from '../console/follow.ts';
import type { RunningGuest } from '../running.ts';
import { guestMemoryError } from './errors.ts';
import { inPieces, type MemoryRange } from './extents.ts';
import { PAGE_BYTES } from './kernel.ts';
import { type Route, routes } from './routes.ts';
import { partOf, type ReadableMemory, type ScanOptions, scanMemory } from './scan.ts';
import type { ScanResult } from './scanner.ts';
import { memoryTarget } from './target.ts';

/** A way of reading, and what it shows of the places that the guest named. */
export interface RouteFindings {
  readonly route: Route;
  readonly privateHits: number;
  readonly sharedHits: number;
  /** SHA-256 of the private places. */
  readonly privateSha256: string;
}

/** What a host sees of the places that one guest named. */
export interface MemorySurvey {
  readonly reached: readonly RouteFindings[];
  readonly outOfReach: readonly OutOfReach[];
  /** The private places, by the first way that was reached. */
  readonly privateBytes: Uint8Array;
  /** SHA-256 of each page of them. */
  readonly privatePages: readonly string[];
}

/** What a host sees of one guest's whole memory. */
export interface MemoryScan extends ScanResult {
  readonly route: Route;
}

interface OutOfReach {
  readonly route: Route;
  readonly because: string;
}

/** Where a guest says that it placed the canary. */
export interface CanaryPlaces {
  readonly private: readonly MemoryRange[];
  readonly shared: readonly MemoryRange[];
}

/** Waits for the agent's word that the canary is in its places. Throws what `waitFor` throws. */
export async function canaryPlaces(
  console: GuestConsole,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<CanaryPlaces & { readonly because: string | null }> {
  const { because } = await console.waitFor('canary', options);
  const places = (access: 'private' | 'shared') =>
    console
      .all('canary-pages')
      .filter((event) => event.access === access)
      .flatMap(({ runs }) => runs.map(({ at, bytes }) => ({ guestAddress: at, bytes })));
  return { private: places('private'), shared: places('shared'), because };
}

/** Reads the named places by every way that the host allows. Throws `MEMORY_OUT_OF_REACH` when fewer than two are left, and as `scanMemory`. */
export async function surveyMemory(
  host: Host,
  { domain }: Pick<RunningGuest, 'domain'>,
  places: CanaryPlaces,
  options: ScanOptions & { readonly token: Uint8Array },
): Promise<MemorySurvey> {
  const target = await memoryTarget(host, domain);
  const reached: RouteFindings[] = [];
  const outOfReach: OutOfReach[] = [];
  let firstBytes: Uint8Array | undefined;
  for (const route of routes) {
    options.signal?.throwIfAborted();
    const opening = await route.open(target);
    if ('outOfReach' in opening) {
      outOfReach.push({ route, because: opening.outOfReach });
      continue;
    }
    await using memory = opening;
    const hitsIn = async (ranges: readonly MemoryRange[]) =>
      (await scanMemory(partOf(memory, ranges), options)).token?.hits ?? 0;
    const privateBytes = await readRanges(memory, places.private);
    firstBytes ??= privateBytes;
    reached.push({
      route,
      privateHits: await hitsIn(places.private),
      sharedHits: await hitsIn(places.shared),
      privateSha256: sha256Hex(privateBytes),
    });
  }
  if (firstBytes === undefined || reached.length < 2) throw tooFewWays(outOfReach);
  return { reached, outOfReach, privateBytes: firstBytes, privatePages: pagesOf(firstBytes) };
}

/** Looks through the whole memory by the first way that the host allows. Throws as `surveyMemory`. */
export async function scanGuest(
  host: Host,
  { domain }: Pick<RunningGuest, 'domain'>,
  options: ScanOptions,
): Promise<MemoryScan> {
  const target = await memoryTarget(host, domain);
  const outOfReach: OutOfReach[] = [];
  for (const route of routes) {
    const opening = await route.open(target);
    if (!('outOfReach' in opening)) {
      await using memory = opening;
      return { route, ...(await scanMemory(memory, options)) };
    }
    outOfReach.push({ route, because: opening.outOfReach });
  }
  throw tooFewWays(outOfReach);
}

/** Runs of pages with hits that do not lie within the ranges. */
export function hitsOutside({ token }: ScanResult, ranges: readonly MemoryRange[]): string[] {
  const isInside = (address: number) =>
    ranges.some(({ guestAddress, bytes }) => guestAddress <= address && address < guestAddress + bytes);
  return (token?.runs ?? []).flatMap(({ guestAddress, bytes }) => {
    const outside: string[] = [];
    for (let at = guestAddress; at < guestAddress + bytes; at += PAGE_BYTES) {
      if (!isInside(at)) outside.push(`0x${at.toString(16)}`);
    }
    return outside;
  });
}

async function readRanges(memory: ReadableMemory, ranges: readonly MemoryRange[]): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const { guestAddress, bytes } of inPieces(ranges, memory.windowBytes)) {
    parts.push(await memory.read(guestAddress, bytes));
  }
  return Buffer.concat(parts);
}

function pagesOf(bytes: Uint8Array): string[] {
  const pages: string[] = [];
  for (let at = 0; at < bytes.length; at += PAGE_BYTES) pages.push(sha256Hex(bytes.subarray(at, at + PAGE_BYTES)));
  return pages;
}

function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function tooFewWays(outOfReach: readonly OutOfReach[]) {
  const why = outOfReach.map(({ route, because }) => `${route.title}: ${because}`).join('; ');
  return guestMemoryError(
    'MEMORY_OUT_OF_REACH',
    `the host allows fewer than two ways of reading guest memory: ${why}`,
    {
      hint: 'Run on the host as root, or as the user of its session daemon, or reach it with qemu+ssh.',
    },
  );
}
