import { ownerState } from '../guest/ownership.ts';
import type { Host } from '../host/host.ts';
import { leaseFileOf } from '../host/leases/hold.ts';
import { type FoundLease, judgeLease, parseLease } from '../host/leases/record.ts';
import { type Leftover, listLeftovers, reapLeftovers } from './leftovers.ts';
import { type ReapOptions, type ReapRow, reap, reapLease } from './reap.ts';

/** Removes all that dead runs left on a host: domains, then storage pools and files, then the lease. */
export async function reapAll(host: Host, options: ReapOptions): Promise<ReapRow[]> {
  const domains = await reap(host, options);
  const file = await leaseFileOf(host);
  if (file === undefined) return domains;
  // Listed before the lease is looked at: whatever was made until then, its run had the lease, and has it still if it lives.
  const leftovers = await listLeftovers(host, options.images);
  const holder = holderOf(await file.look());
  const kept = new Set(domains.filter((row) => row.action === 'kept').map((row) => row.runId));
  const whyKept = ({ runId, owner, isOfWholeHost }: Leftover): string | undefined => {
    const isHolder = holder?.runId === runId;
    const isAlive = owner !== undefined && ownerState(owner) === 'alive';
    if (isAlive || kept.has(runId) || (isHolder && holder.state === 'alive')) return 'its run is alive, or may be';
    if (isOfWholeHost && holder !== undefined && !isHolder)
      return `run ${holder.runId ?? 'of somebody'} has the host, and may rely on it as it is`;
    if (options.runId !== undefined) return runId === options.runId ? undefined : `it belongs to run ${runId}`;
    if (isHolder) return 'its run has the host';
    if (holder?.state === 'unknown') return `somebody has the host, and ${file.path} does not say who`;
    // Over TCP and TLS the lease lies on this machine, and tells nothing of the runs of others.
    return host.shell.where === 'none'
      ? `its run cannot be seen from here: add --run ${runId} if it is dead`
      : undefined;
  };
  const { dryRun } = options;
  return [...domains, ...(await reapLeftovers(leftovers, { dryRun, whyKept })), ...(await reapLease(file, options))];
}

function holderOf(found: FoundLease | undefined) {
  if (found === undefined || !judgeLease(found).isHeld) return undefined;
  const owner = parseLease(found.text)?.owner;
  return { runId: owner?.runId, state: owner === undefined ? ('unknown' as const) : ownerState(owner) };
}
