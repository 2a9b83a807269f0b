import { misreadDomain } from '../faults/misread.ts';
import { refusal } from '../refusal.ts';
import type { Domain } from './domain.ts';
import { type DomainDefinition, parseDefinition } from './domain-xml/definition.ts';
import { validateAgainstSchema } from './domain-xml/schema.ts';
import { announce, type StartOptions, startDomain } from './lifecycle.ts';
import type { Machine } from './machine.ts';

/** VIR_DOMAIN_UNDEFINE_* */
const UNDEFINE = { managedSave: 1, snapshotsMetadata: 2, nvram: 4, keepNvram: 8, checkpointsMetadata: 16 } as const;

export function parseFor(machine: Machine, xml: string, isValidated: boolean): DomainDefinition {
  if (isValidated) validateAgainstSchema(xml);
  return parseDefinition(misreadDomain(machine, xml), machine.profile, () => machine.newUuid());
}

/** `virDomainDefineXML`: a new persistent domain, or another definition for the next start of a known one. */
export function defineDomain(machine: Machine, xml: string, isValidated: boolean): Domain {
  const definition = parseFor(machine, xml, isValidated);
  const domain = machine.domains.claim(definition.name, definition.uuid, false);
  const known = domain.persistent !== undefined;
  domain.persistent = definition;
  announce(machine, domain, known ? 'definedUpdated' : 'definedAdded');
  return domain;
}

/** `virDomainCreateXML`: defines and starts in one go; a new domain is transient and goes with its QEMU. */
export async function createDomain(
  machine: Machine,
  xml: string,
  isValidated: boolean,
  options: StartOptions,
): Promise<Domain> {
  const definition = parseFor(machine, xml, isValidated);
  const domain = machine.domains.claim(definition.name, definition.uuid, true);
  try {
    await domain.withJob(() => startDomain(machine, domain, definition, options));
  } finally {
    if (domain.persistent === undefined && !domain.isActive) machine.domains.remove(domain);
  }
  return domain;
}

/** `virDomainUndefineFlags`: a running domain becomes transient, a stopped one is forgotten. */
export function undefineDomain(machine: Machine, domain: Domain, flags: number): void {
  if (domain.persistent === undefined) throw invalid('cannot undefine transient domain');
  if (!domain.isActive && domain.snapshots.size > 0 && (flags & UNDEFINE.snapshotsMetadata) === 0) {
    throw invalid(`cannot delete inactive domain with ${domain.snapshots.size} snapshots`);
  }
  if (domain.managedSave !== undefined && (flags & UNDEFINE.managedSave) === 0) {
    throw invalid('Refusing to undefine while domain managed save image exists');
  }
  if (domain.hasNvramFile && (flags & (UNDEFINE.nvram | UNDEFINE.keepNvram)) === 0) {
    throw invalid('cannot undefine domain with nvram');
  }
  domain.managedSave = undefined;
  if ((flags & UNDEFINE.keepNvram) === 0) domain.hasNvramFile = false;
  domain.persistent = undefined;
  domain.autostart = false;
  announce(machine, domain, 'undefinedRemoved');
  if (!domain.isActive) machine.domains.remove(domain);
}

function invalid(text: string) {
  return refusal('OPERATION_INVALID', 'QEMU', text);
}
