import { QemuProcess } from '../qemu/process.ts';
import type { Domain } from '../state/domain.ts';
import type { DomainDefinition } from '../state/domain-xml/definition.ts';
import { liveTree } from '../state/domain-xml/live.ts';
import type { Machine } from '../state/machine.ts';
import { type DomainState, STATES } from '../state/states.ts';

/** Fault running-guest-dies-at-limit: a guest without a slot costs the oldest SEV guest its life. */
export function strikeOldestSevGuest(machine: Machine): void {
  if (!machine.has('running-guest-dies-at-limit')) return;
  const victim = machine.domains.active().find((domain) => domain.live?.qemu.sev !== undefined);
  victim?.live?.qemu.exit('killed');
}

/**
 * Faults refused-guest-stays-defined, refused-guest-runs and refusal-with-success. True when the start is to be
 * answered with success.
 *
 * The domain that stays is transient but listed as shut off, or persistent and paused for ever with no QEMU behind it;
 * the one that runs does so without an ASID.
 */
export function leaveHalfStarted(machine: Machine, domain: Domain, definition: DomainDefinition, id: number): boolean {
  if (machine.has('refused-guest-stays-defined')) {
    if (domain.persistent === undefined) domain.persistent = definition;
    else leave(machine, domain, definition, id, STATES.pausedStartingUp);
  }
  if (machine.has('refused-guest-runs')) leave(machine, domain, definition, id, STATES.runningBooted);
  return machine.has('refusal-with-success');
}

/** Fault failed-start-stays-paused: what a start that failed for another reason than a missing slot leaves behind. */
export function leaveFailedStart(machine: Machine, domain: Domain, definition: DomainDefinition, id: number): void {
  if (machine.has('failed-start-stays-paused')) leave(machine, domain, definition, id, STATES.pausedStartingUp);
}

function leave(machine: Machine, domain: Domain, definition: DomainDefinition, id: number, state: DomainState): void {
  domain.live = {
    id,
    definition,
    tree: liveTree(definition, id, machine),
    qemu: new QemuProcess(machine.newPid(), definition, machine.emptyGuest(definition), () => {}),
    startedAtMs: machine.clock.nowMs(),
    balloonKiB: definition.currentMemoryKiB,
    pendingPowerButton: 'none',
  };
  domain.state = state;
  machine.domains.indexId(domain, id);
}
