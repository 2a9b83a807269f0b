import { MIGRATION_BLOCKER } from '../qemu/texts.ts';
import { refusal, systemRefusal } from '../refusal.ts';
import { DELAY_MS } from './delays.ts';
import type { Domain, LiveDomain } from './domain.ts';
import { canCreateFile } from './host-paths.ts';
import { announce, requireActive, startDomain, stopped } from './lifecycle.ts';
import type { Machine } from './machine.ts';
import { logEnd } from './qemu-log.ts';
import { STATE, STATES } from './states.ts';

/** Faults under which one of the ways that need a migration is not blocked. */
type UnblockingFault = 'save-allowed' | 'migration-allowed' | 'p2p-migration-allowed' | 'memory-snapshot-allowed';

/** QEMU's migration blocker for encrypted guests, as libvirt words it; save, managedsave, dump, snapshot and migrate meet it. */
export function assertMigratable(machine: Machine, { qemu }: LiveDomain, fault?: UnblockingFault): void {
  if (qemu.definition.launchSecurity?.type !== 'sev') return;
  if (fault !== undefined && machine.has(fault)) return;
  if (machine.has('refusal-kills-guest')) qemu.exit('killed');
  const reason = machine.has('refusal-text-changed') ? '' : `: ${MIGRATION_BLOCKER}`;
  const code = machine.has('refusal-code-changed') ? 'INTERNAL_ERROR' : 'OPERATION_INVALID';
  throw refusal(code, 'QEMU', `cannot migrate domain${reason}`);
}

/** What copies memory stops a running guest first, before it is asked whether that may be, and lets it go on afterwards. */
export function whileStopped(machine: Machine, domain: Domain, live: LiveDomain, work: () => void): void {
  if (domain.state[0] !== STATE.running) {
    work();
    return;
  }
  halt(machine, domain, live);
  try {
    work();
  } finally {
    goOn(machine, domain, live);
  }
}

function halt(machine: Machine, domain: Domain, { qemu }: LiveDomain): void {
  qemu.runState = 'paused';
  domain.state = STATES.pausedUser;
  announce(machine, domain, 'suspendedPaused');
}

/** Unless it is gone by now. */
function goOn(machine: Machine, domain: Domain, live: LiveDomain): void {
  if (domain.live !== live) return;
  live.qemu.runState = 'running';
  domain.state = STATES.runningUnpaused;
  announce(machine, domain, 'resumedUnpaused');
}

/** `virDomainSave`: memory into a file of the emulated host, then QEMU ends. */
export async function saveDomain(machine: Machine, domain: Domain, path: string): Promise<void> {
  const live = requireActive(domain);
  assertMigratable(machine, live, 'save-allowed');
  const wasRunning = domain.state[0] === STATE.running;
  if (wasRunning) halt(machine, domain, live);
  if (!canCreateFile(path)) {
    if (wasRunning) goOn(machine, domain, live);
    throw systemRefusal(2, 'QEMU', `Failed to create file '${path}'`);
  }
  await machine.clock.sleep(DELAY_MS.save);
  if (domain.live !== live) throw refusal('OPERATION_FAILED', 'QEMU', 'domain is not running');
  machine.savedImages.set(path, { definition: live.definition, wasRunning });
  logEnd(machine, domain, 'saved');
  stopped(machine, domain, STATES.shutoffSaved);
  announce(machine, domain, 'stoppedSaved');
}

export function managedSavePath(domain: Domain): string {
  return `/var/lib/libvirt/qemu/save/${domain.name}.save`;
}

export async function managedSaveDomain(machine: Machine, domain: Domain): Promise<void> {
  requireActive(domain);
  if (domain.persistent === undefined) {
    throw refusal('OPERATION_INVALID', 'QEMU', 'cannot do managed save for transient domain');
  }
  const path = managedSavePath(domain);
  await saveDomain(machine, domain, path);
  domain.managedSave = machine.savedImages.get(path);
}

/** `virDomainRestore`: the domain of a saved file runs again; without a definition of its own it is transient. */
export async function restoreDomain(machine: Machine, path: string): Promise<void> {
  const image = machine.savedImages.get(path);
  if (image === undefined) throw systemRefusal(2, 'QEMU', `Failed to open file '${path}'`);
  const { definition } = image;
  const domain = machine.domains.claim(definition.name, definition.uuid, true);
  await domain.withJob(() =>
    startDomain(machine, domain, definition, { isPaused: !image.wasRunning, isRestore: true }),
  );
}
