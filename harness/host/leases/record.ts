import { type Owner, ownerState } from '../../guest/ownership.ts';

/** What a run writes down when it takes a host for itself. */
export interface Lease {
  readonly owner: Owner;
  readonly user: string;
  /** Epoch milliseconds, by the clock of the machine that runs the harness. */
  readonly sinceMs: number;
  /** The host as the user named it. */
  readonly host: string;
}

/** A lease file as it was found. */
export interface FoundLease {
  /** Seconds since the file was written or renewed, by the host's own clock. */
  readonly ageS: number;
  readonly sha256Hex: string;
  readonly text: string;
}

/** An owner renews its lease far more often than this; one that nobody renewed for so long is nobody's. */
export const LEASE_EXPIRES_S = 120;

export function formatLease({ owner, user, sinceMs, host }: Lease): string {
  return JSON.stringify({ format: 'sev-harness lease 1', ...owner, user, sinceMs, host });
}

/** The lease that a file holds; undefined for any other text. */
export function parseLease(text: string): Lease | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { user, sinceMs, host } = json as Record<string, unknown>;
  const owner = parseOwner(json);
  const isWhole =
    [user, host].every((value) => typeof value === 'string') &&
    Number.isSafeInteger(sinceMs) &&
    Math.abs(Number(sinceMs)) <= LAST_DATE_MS;
  if (owner === undefined || !isWhole) return undefined;
  return {
    owner,
    user: String(user),
    sinceMs: Number(sinceMs),
    host: String(host),
  };
}

/** The owner that a parsed file names among other things; undefined when it names none. */
export function parseOwner(json: object): Owner | undefined {
  const { runId, machine, place, pid, startTicks } = json as Record<string, unknown>;
  const isWhole =
    [runId, machine, place, startTicks].every((value) => typeof value === 'string') && Number.isSafeInteger(pid);
  return isWhole ? ({ runId, machine, place, pid, startTicks } as Owner) : undefined;
}

const LAST_DATE_MS = 8.64e15;
const SHOWN_CHARACTERS = 60;

/** Whether a lease still counts, and who holds it or why it does not. */
export function judgeLease({ text, ageS }: FoundLease): { readonly isHeld: boolean; readonly words: string } {
  const lease = parseLease(text);
  const isExpired = ageS > LEASE_EXPIRES_S;
  const unrenewed = `nobody has renewed it for ${ageS} s`;
  if (lease === undefined) {
    const start = plain(text.slice(0, SHOWN_CHARACTERS));
    return { isHeld: !isExpired, words: isExpired ? unrenewed : `a file that is no lease ('${start}')` };
  }
  switch (ownerState(lease.owner)) {
    case 'alive':
      return { isHeld: true, words: holder(lease) };
    case 'dead':
      return { isHeld: false, words: `process ${lease.owner.pid} of run ${plain(lease.owner.runId)} is dead` };
    case 'elsewhere':
      return { isHeld: !isExpired, words: isExpired ? `${holder(lease)}: ${unrenewed}` : holder(lease) };
  }
}

function holder({ owner, user, sinceMs }: Lease): string {
  const since = new Date(sinceMs).toISOString().replace(/\.\d+Z$/, 'Z');
  return plain(`run ${owner.runId} of ${user} (process ${owner.pid} on ${owner.machine}) since ${since}`);
}

/** The file can be written by anybody who may use the host. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd');
}
