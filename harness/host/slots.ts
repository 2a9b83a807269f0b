import { XMLParser } from 'fast-xml-parser';
import { harnessError } from '../errors.ts';
import { type Domain, isNoDomain } from '../libvirt/index.ts';
import type { SevFacts } from './facts.ts';
import type { Host } from './host.ts';

/** SEV guests and SEV-ES guests draw from different ranges of ASIDs; SEV-SNP guests share the range of SEV-ES. */
export type SlotPool = 'sev' | 'sev-es';

export interface SlotLimit {
  readonly pool: SlotPool;
  readonly limit: number;
  /** Where the number was read. */
  readonly source: 'domcapabilities' | 'nodesevinfo' | '--max-guests';
}

/**
 * How many guests of this pool the host promises: domain capabilities, else `nodesevinfo`, else what was configured.
 *
 * Throws `SLOT_LIMIT_UNKNOWN` when nobody says.
 */
export function slotLimit(facts: SevFacts, pool: SlotPool, configured: number | undefined): SlotLimit {
  const advertised = advertisedLimits(facts, pool);
  if (advertised.domcapabilities !== undefined)
    return { pool, limit: advertised.domcapabilities, source: 'domcapabilities' };
  if (advertised.nodesevinfo !== undefined) return { pool, limit: advertised.nodesevinfo, source: 'nodesevinfo' };
  if (configured !== undefined) return { pool, limit: configured, source: '--max-guests' };
  throw harnessError('SLOT_LIMIT_UNKNOWN', `host ${facts.hostname} does not say how many ${pool} guests it supports`, {
    hint: 'libvirt says it since 8.0.0. On an older host give the number with --max-guests.',
  });
}

/** What a run may fill of a pool. */
export interface SlotRoom {
  /** Slots that nobody has. */
  readonly free: number;
  /** How many of them this run fills. */
  readonly guests: number;
  /** The same in words: `all 15 free`, `3 of 15 free`. */
  readonly howMany: string;
  /** Why it does not come to the limit, when `--max-guests` holds it back: it can break what the limit promises, and not show it. */
  readonly heldBack: string | undefined;
}

export function slotRoom({ limit }: SlotLimit, inUse: number, maxGuests: number | undefined): SlotRoom {
  const free = limit - inUse;
  if (maxGuests === undefined || maxGuests >= free)
    return { free, guests: free, howMany: `all ${free} free`, heldBack: undefined };
  const heldBack = `--max-guests ${maxGuests} holds this run below the host's limit of ${limit}, of which ${free} are free`;
  return { free, guests: maxGuests, howMany: `${maxGuests} of ${free} free`, heldBack };
}

/** What libvirt promises, by source. */
export function advertisedLimits(facts: SevFacts, pool: SlotPool): { domcapabilities?: number; nodesevinfo?: number } {
  const domcapabilities = pool === 'sev' ? facts.domainCapabilities?.maxGuests : facts.domainCapabilities?.maxEsGuests;
  const nodesevinfo = pool === 'sev' ? facts.nodeSevInfo?.maxGuests : facts.nodeSevInfo?.maxEsGuests;
  return {
    ...(domcapabilities === undefined ? {} : { domcapabilities }),
    ...(nodesevinfo === undefined ? {} : { nodesevinfo }),
  };
}

/** What the machine itself says, by source; empty when none of it can be read. */
export function hardwareLimits(facts: SevFacts, pool: SlotPool): { cpuid?: number; 'misc.capacity'?: number } {
  const { misc } = facts;
  // ECX and EDX are reserved on a processor without SEV.
  const cpuid = facts.cpuid?.sev ? facts.cpuid : undefined;
  const fromCpuid =
    cpuid === undefined ? undefined : pool === 'sev' ? cpuid.maxAsid - cpuid.minSevAsid + 1 : cpuid.minSevAsid - 1;
  const fromMisc = pool === 'sev' ? misc?.sev : misc?.sevEs;
  return {
    ...(fromCpuid === undefined ? {} : { cpuid: fromCpuid }),
    ...(fromMisc === undefined ? {} : { 'misc.capacity': fromMisc }),
  };
}

const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: '@', parseTagValue: false });
const POLICY_ES = 0x4;

/** Pool that a domain draws its slot from, read from its XML; `undefined` for a plain guest. */
export function poolOfDomainXml(xml: string): SlotPool | undefined {
  const security = (parser.parse(xml) as { domain?: { launchSecurity?: { '@type'?: string; policy?: string } } }).domain
    ?.launchSecurity;
  if (security?.['@type'] === 'sev-snp') return 'sev-es';
  if (security?.['@type'] !== 'sev') return undefined;
  return (Number.parseInt(security.policy ?? '0', 16) & POLICY_ES) !== 0 ? 'sev-es' : 'sev';
}

/** Running guests that hold a slot, by pool. A guest that stops while we look is not counted. */
export async function slotsInUse(host: Host): Promise<Record<SlotPool, number>> {
  const inUse: Record<SlotPool, number> = { sev: 0, 'sev-es': 0 };
  const active = await host.connection.listDomains({ active: true });
  for (const pool of await Promise.all(active.map(poolOf))) if (pool !== undefined) inUse[pool]++;
  return inUse;
}

async function poolOf(domain: Domain): Promise<SlotPool | undefined> {
  try {
    return poolOfDomainXml(await domain.xml());
  } catch (error) {
    if (isNoDomain(error)) return undefined;
    throw error;
  }
}
