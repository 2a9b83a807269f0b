import { XMLParser } from 'fast-xml-parser';
import { systemClock } from '../../core/clock.ts';
import { errorText } from '../../core/errors.ts';
import { isOurName, METADATA_NAMESPACE, type Owner, ownerState } from '../guest/ownership.ts';
import type { Host } from '../host/host.ts';
import type { LeaseFile } from '../host/leases/file.ts';
import { judgeLease, parseLease } from '../host/leases/record.ts';
import { type Domain, isNoDomain } from '../libvirt/index.ts';

/** What was done about one thing that a run left, or about the host's lease. */
export interface ReapRow {
  /** Name of the domain, path of the file, or what was changed. */
  readonly name: string;
  readonly runId: string | undefined;
  readonly action: 'removed' | 'would-remove' | 'kept' | 'failed';
  readonly because: string;
}

export interface ReapOptions {
  /** Only this run; its owner may then have run on another machine. */
  readonly runId?: string;
  readonly dryRun: boolean;
  /** Folder of guest images on this machine, where it is not the usual one. */
  readonly images?: string;
}

/** A domain that is being started is listed and cannot be destroyed yet; starting takes a second or two. */
const PASSES = 100;
const PASS_MS = 100;

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseAttributeValue: false,
});

/**
 * Removes the domains that crashed runs left on a host: only those that carry a run id, in their name *and* in our
 * metadata, and whose owner is dead.
 */
export async function reap(host: Host, options: ReapOptions): Promise<ReapRow[]> {
  const rows = new Map<string, ReapRow>();
  // A daemon may still be at work on what a run asked for before it died: what it starts meanwhile shows in a later pass.
  for (let pass = 1; ; pass++) {
    const ours = (await host.connection.listDomains()).filter((domain) => isOurName(domain.name));
    let hasRemoved = false;
    for (const domain of ours) {
      const before = rows.get(domain.name)?.action;
      if (before === 'failed') continue;
      const row = await reapOne(domain, options);
      const isBack = row.action === 'removed' && pass === PASSES;
      hasRemoved ||= row.action === 'removed';
      if (isBack) rows.set(row.name, { ...row, action: 'failed', because: 'it is there again and again' });
      else if (before !== 'removed') rows.set(row.name, row);
    }
    if (!hasRemoved || pass === PASSES) return [...rows.values()];
    await systemClock.sleep(PASS_MS);
  }
}

/** Removes the lease of a run that is dead, once its domains are gone. No row when there is none. */
export async function reapLease(file: LeaseFile, options: ReapOptions): Promise<ReapRow[]> {
  const found = await file.look();
  if (found === undefined) return [];
  const owner = parseLease(found.text)?.owner;
  const { isHeld, words } = judgeLease(found);
  const isNamed = owner !== undefined && owner.runId === options.runId && ownerState(owner) !== 'alive';
  const row = (action: ReapRow['action'], because: string): ReapRow[] => [
    { name: file.path, runId: owner?.runId, action, because },
  ];
  if (isHeld && !isNamed) return row('kept', `the host is in use by ${words}`);
  if (options.runId !== undefined && !isNamed) return row('kept', `it belongs to another run than ${options.runId}`);
  const because = isNamed ? `run ${owner.runId} was named` : words;
  if (options.dryRun) return row('would-remove', because);
  return (await file.swap(found, undefined)) === 'swapped'
    ? row('removed', because)
    : row('kept', 'another run has just taken it');
}

async function reapOne(domain: Domain, options: ReapOptions): Promise<ReapRow> {
  try {
    const owner = ownerOf(await domain.xml());
    const row = (action: ReapRow['action'], because: string): ReapRow => ({
      name: domain.name,
      runId: owner?.runId,
      action,
      because,
    });
    const verdict = judge(domain.name, owner, options);
    if (!verdict.remove) return row('kept', verdict.because);
    if (options.dryRun) return row('would-remove', verdict.because);
    await remove(domain);
    return row('removed', verdict.because);
  } catch (error) {
    if (isNoDomain(error))
      return { name: domain.name, runId: undefined, action: 'kept', because: 'it is gone already' };
    return { name: domain.name, runId: undefined, action: 'failed', because: errorText(error) };
  }
}

function judge(name: string, owner: Owner | undefined, options: ReapOptions): { remove: boolean; because: string } {
  if (owner === undefined) return { remove: false, because: 'it has our name but not our metadata' };
  if (!isOurName(name, owner.runId))
    return { remove: false, because: `its name does not belong to run ${owner.runId}` };
  if (options.runId !== undefined && owner.runId !== options.runId)
    return { remove: false, because: `it belongs to run ${owner.runId}` };
  const state = ownerState(owner);
  if (state === 'alive') return { remove: false, because: `its run is alive (process ${owner.pid})` };
  if (state === 'elsewhere' && options.runId === undefined)
    return {
      remove: false,
      because: `its run started on ${owner.machine}, where we cannot look: add --run ${owner.runId} if it is dead`,
    };
  return {
    remove: true,
    because: state === 'dead' ? `process ${owner.pid} of its run is dead` : `run ${owner.runId} was named`,
  };
}

type Attributes = Readonly<Record<string, string>>;

/** From the element of our namespace; what somebody else keeps under the same name is not ours. */
function ownerOf(xml: string): Owner | undefined {
  const { domain } = parser.parse(xml) as { domain?: { metadata?: Record<string, Attributes | Attributes[]> } };
  const elements = Object.entries(domain?.metadata ?? {}).flatMap(([name, value]) =>
    [value].flat().map((attributes) => ({ name, attributes })),
  );
  const run = elements.find(({ name, attributes }) => {
    const [local, prefix] = name.split(':').toReversed();
    return local === 'run' && attributes[prefix === undefined ? '@xmlns' : `@xmlns:${prefix}`] === METADATA_NAMESPACE;
  })?.attributes;
  if (run === undefined) return undefined;
  const [runId, machine, pid, startTicks] = [run['@id'], run['@machine'], Number(run['@pid']), run['@startTicks']];
  if (runId === undefined || machine === undefined || startTicks === undefined || !Number.isInteger(pid))
    return undefined;
  return { runId, machine, place: run['@place'] ?? '', pid, startTicks };
}

async function remove(domain: Domain): Promise<void> {
  const persistent = await domain.isPersistent();
  if (await domain.isActive()) await domain.destroy();
  if (persistent) await domain.undefine({ nvram: true, managedSave: true, snapshots: true });
}
