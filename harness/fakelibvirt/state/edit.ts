import { refusal } from '../refusal.ts';
import type { Domain } from './domain.ts';
import { type DomainDefinition, readDefinition } from './domain-xml/definition.ts';
import { liveTree } from './domain-xml/live.ts';
import type { Machine } from './machine.ts';
import { child, cloneElement, type XmlElement } from './xml/tree.ts';

/** Which of the two definitions of a domain a call is about: the one that runs, the one for the next start, or both. */
export interface Target {
  readonly live: boolean;
  readonly config: boolean;
}

export type Edit = (root: XmlElement) => void;

/** Changes what the next start has. */
export function editPersistent(machine: Machine, domain: Domain, change: Edit): void {
  domain.persistent = edited(machine, requirePersistent(domain), change);
}

/** Changes what the running guest has; nothing when none runs. */
export function editLive(machine: Machine, { live }: Domain, change: Edit): void {
  if (live === undefined) return;
  live.definition = edited(machine, live.definition, change);
  live.tree = liveTree(live.definition, live.id, machine);
}

/** A change of devices, as a change of the whole. */
export function editDevices(change: Edit): Edit {
  return (root) => {
    const devices = child(root, 'devices');
    if (devices) change(devices);
  };
}

export function requirePersistent({ persistent }: Domain): DomainDefinition {
  if (persistent !== undefined) return persistent;
  throw refusal('OPERATION_INVALID', 'DOMAIN', 'transient domains do not have any persistent config');
}

/** Read anew, so that defaults and addresses are complete. */
function edited(machine: Machine, definition: DomainDefinition, change: Edit): DomainDefinition {
  const tree = cloneElement(definition.tree);
  change(tree);
  return readDefinition(tree, machine.profile, () => definition.uuid);
}
