import { limitedMemory, strikeForMemory } from '../faults/memory-limits.ts';
import { uncheckedLaunch } from '../faults/misread.ts';
import { leaveFailedStart, leaveHalfStarted, strikeOldestSevGuest } from '../faults/refused-start.ts';
import type { PowerOffCause } from '../qemu/guest-kernel.ts';
import { launch } from '../qemu/launch.ts';
import { type ProcessExit, QemuProcess } from '../qemu/process.ts';
import { monitorClosedText } from '../qemu/texts.ts';
import { refusal, systemRefusal } from '../refusal.ts';
import { DELAY_MS } from './delays.ts';
import type { Domain, LiveDomain } from './domain.ts';
import type { DomainDefinition } from './domain-xml/definition.ts';
import { deviceElements } from './domain-xml/devices.ts';
import { liveTree } from './domain-xml/live.ts';
import { LIFECYCLE, type LifecycleName } from './events.ts';
import { freeMemoryKiB } from './host-memory.ts';
import { isOnHost } from './host-paths.ts';
import { assertPassthrough } from './hotplug.ts';
import type { Machine } from './machine.ts';
import { logEnd, logStart } from './qemu-log.ts';
import { type DomainState, STATE, STATES } from './states.ts';
import { attribute, child } from './xml/tree.ts';

export interface StartOptions {
  readonly isPaused: boolean;
  readonly autodestroyOwner?: object | undefined;
  /** Continue from saved memory instead of booting. */
  readonly isRestore?: boolean;
}

/** What QEMU itself says at the same moment, for those who listen to its monitor. */
const MONITOR_EVENTS: Partial<Record<LifecycleName, readonly [event: string, details: string | null]>> = {
  suspendedPaused: ['STOP', null],
  resumedUnpaused: ['RESUME', null],
  resumedFromSnapshot: ['RESUME', null],
  shutdownGuest: ['SHUTDOWN', '{"guest":true,"reason":"guest-shutdown"}'],
  shutdownHost: ['SHUTDOWN', '{"guest":false,"reason":"host-signal"}'],
};

/** A change that QEMU reports and libvirt turns into a lifecycle event; `id` where it is not the present one. */
export function announce(machine: Machine, domain: Domain, name: LifecycleName, id = domain.ref.id): void {
  const fromMonitor = MONITOR_EVENTS[name];
  if (fromMonitor) {
    const [event, details] = fromMonitor;
    machine.events.emit({
      kind: 'monitor',
      domain: { ...domain.ref, id },
      event,
      details,
      atMs: machine.clock.nowMs(),
    });
  }
  emitLifecycle(machine, domain, name, id);
}

function emitLifecycle(machine: Machine, domain: Domain, name: LifecycleName, id = domain.ref.id): void {
  if (machine.has('stop-event-lost') && name.startsWith('stopped')) return;
  const [event, detail] = LIFECYCLE[name];
  machine.events.emit({ kind: 'lifecycle', domain: { ...domain.ref, id }, event, detail });
}

export function requireActive(domain: Domain, errorDomain: 'DOMAIN' | 'QEMU' = 'DOMAIN') {
  const { live } = domain;
  if (live === undefined) throw refusal('OPERATION_INVALID', errorDomain, 'domain is not running');
  return live;
}

/** Starts QEMU for a domain: the guest runs, or stands still when `isPaused`. */
export async function startDomain(
  machine: Machine,
  domain: Domain,
  definition: DomainDefinition,
  options: StartOptions,
): Promise<void> {
  const id = machine.newDomainId();
  await machine.clock.sleep(options.isRestore ? DELAY_MS.restore : DELAY_MS.start);
  try {
    if (domain.state === STATES.shutoffDestroyed && machine.has('restart-refused'))
      throw refusal('INTERNAL_ERROR', 'QEMU', `domain '${domain.name}' ran before`);
    if (definition.disks.some(({ bus }) => bus === 'scsi') && machine.has('scsi-boot-refused'))
      throw refusal('INTERNAL_ERROR', 'QEMU', "unable to execute QEMU command 'device_add': no such bus");
    for (const hostdev of deviceElements(definition.tree, 'hostdev')) assertPassthrough(machine, hostdev);
    checkHostFiles(definition);
  } catch (error) {
    domain.state = STATES.shutoffFailed;
    throw error;
  }
  const pid = machine.newPid();
  const request = {
    memory: limitedMemory(machine, definition),
    totalKiB: machine.profile.memoryKiB,
    freeKiB: freeMemoryKiB(machine),
    pid,
  };
  logStart(machine, domain, definition);
  const launched = launch(uncheckedLaunch(machine, definition), machine, request);
  if (!launched.ok) {
    if (launched.outOfMemory) machine.kernelLog.push(launched.outOfMemory);
    if (launched.outOfMemory !== undefined) strikeForMemory(machine);
    if (launched.stderr !== '') machine.appendQemuLog(domain.name, launched.stderr);
    logEnd(machine, domain, 'failed');
    domain.state = STATES.shutoffFailed;
    if (launched.outOfSlots) strikeOldestSevGuest(machine);
    if (launched.outOfSlots && leaveHalfStarted(machine, domain, definition, id)) return;
    if (!launched.outOfSlots) leaveFailedStart(machine, domain, definition, id);
    const said = machine.has('refusal-text-lost') ? '' : launched.stderr;
    throw refusal('INTERNAL_ERROR', 'QEMU', monitorClosedText(machine.profile.libvirt, domain.name, said));
  }
  const qemu = new QemuProcess(pid, definition, machine.newGuest(definition, launched), (exit) =>
    onQemuExit(machine, domain, qemu, exit),
  );
  machine.processes.set(pid, qemu);
  domain.live = {
    id,
    definition,
    tree: liveTree(definition, id, machine),
    qemu,
    startedAtMs: machine.clock.nowMs(),
    balloonKiB: definition.currentMemoryKiB,
    pendingPowerButton: 'none',
  };
  domain.autodestroyOwner = options.autodestroyOwner;
  domain.hasNvramFile ||= definition.nvramPath !== undefined;
  machine.domains.indexId(domain, id);
  if (hasAgentChannel(definition))
    machine.events.emit({ kind: 'agent-lifecycle', domain: domain.ref, state: 2, reason: 1 });
  announceStart(machine, domain, options);
}

const AGENT_CHANNEL = 'org.qemu.guest_agent.0';

/** Only then does libvirt speak of the agent; no emulated guest runs one. */
function hasAgentChannel({ tree }: DomainDefinition): boolean {
  return deviceElements(tree, 'channel').some((one) => attribute(child(one, 'target'), 'name') === AGENT_CHANNEL);
}

/** The orders in which libvirt 9.0 sends them, as recorded. */
function announceStart(machine: Machine, domain: Domain, { isPaused, isRestore }: StartOptions): void {
  if (isPaused) {
    domain.state = STATES.pausedUser;
    emitLifecycle(machine, domain, isRestore ? 'startedRestored' : 'startedBooted');
    emitLifecycle(machine, domain, 'suspendedPaused');
    return;
  }
  runVcpus(machine, domain);
  if (isRestore) {
    domain.state = STATES.runningRestored;
    announce(machine, domain, 'startedRestored');
    announce(machine, domain, 'resumedFromSnapshot');
  } else {
    domain.state = STATES.runningBooted;
    announce(machine, domain, 'resumedUnpaused');
    announce(machine, domain, 'startedBooted');
  }
}

/** The first run of the vCPUs finishes the launch of an encrypted guest (QEMU, `sev_vm_state_change`). */
export function runVcpus(machine: Machine, domain: Domain): void {
  const { live } = domain;
  if (live === undefined) return;
  const { qemu } = live;
  qemu.runState = 'running';
  qemu.guest.run();
  qemu.sevState = 'running';
  if (qemu.guest.powersOffWhenDone) void powerOffSoon(machine, domain, live);
}

async function powerOffSoon(machine: Machine, domain: Domain, live: LiveDomain): Promise<void> {
  await machine.clock.sleep(DELAY_MS.guestShutdown);
  // Whoever started it is told so first.
  await new Promise(setImmediate);
  if (domain.live === live && domain.state[0] === STATE.running) guestPowersOff(machine, domain, live, 'command line');
}

function checkHostFiles(definition: DomainDefinition): void {
  const missing = definition.disks.find(
    (disk) => disk.type === 'file' && disk.source !== undefined && !isOnHost(disk.source),
  );
  if (missing) throw systemRefusal(2, 'STORAGE', `Cannot access storage file '${missing.source}'`);
  const { loader, usesHugepages } = definition;
  if (usesHugepages) {
    throw refusal('INTERNAL_ERROR', 'QEMU', 'hugetlbfs filesystem is not mounted or disabled by administrator config');
  }
  if (loader?.type === 'pflash' && definition.nvramPath !== undefined && !isOnHost(loader.path)) {
    throw refusal('OPERATION_FAILED', 'QEMU', `unable to find any master var store for loader: ${loader.path}`);
  }
}

/** Takes QEMU away from a domain: the state it ends in, and what a transient domain leaves. */
export function stopped(machine: Machine, domain: Domain, state: DomainState): void {
  const { live } = domain;
  if (live === undefined) return;
  machine.releaseDomain(live.id, live.qemu.pid);
  live.qemu.release();
  domain.live = undefined;
  domain.autodestroyOwner = undefined;
  domain.state = state;
  if (domain.persistent === undefined) machine.domains.remove(domain);
}

/** `virDomainDestroy`: QEMU gets SIGTERM, says SHUTDOWN, and is gone. */
export async function destroyDomain(machine: Machine, domain: Domain): Promise<void> {
  const live = requireActive(domain);
  await machine.clock.sleep(DELAY_MS.destroy);
  if (domain.live !== live) throw refusal('OPERATION_INVALID', 'DOMAIN', 'domain is not running');
  if (domain.state[0] !== STATE.shutdown) announce(machine, domain, 'shutdownHost');
  machine.releaseSev(live.qemu.sev, 'stopped');
  logEnd(machine, domain, 'destroyed');
  stopped(machine, domain, STATES.shutoffDestroyed);
  announce(machine, domain, 'stoppedDestroyed');
}

/** QEMU went without libvirt asking: after SHUTDOWN that is a shutdown, else the guest counts as crashed. */
function onQemuExit(machine: Machine, domain: Domain, qemu: QemuProcess, exit: ProcessExit): void {
  const { live } = domain;
  if (live?.qemu !== qemu) return;
  machine.releaseSev(qemu.sev, exit === 'killed' ? 'killed' : 'stopped');
  if (exit === 'terminated') announceShutdown(machine, domain, 'shutdownHost');
  const wasShutdown = domain.state[0] === STATE.shutdown;
  logEnd(machine, domain, wasShutdown ? 'shutdown' : 'crashed');
  stopped(machine, domain, wasShutdown ? STATES.shutoffShutdown : STATES.shutoffCrashed);
  announce(machine, domain, wasShutdown ? 'stoppedShutdown' : 'stoppedFailed', live.id);
}

/** QEMU's SHUTDOWN event: the domain is in shutdown until its process is gone. */
export function announceShutdown(machine: Machine, domain: Domain, name: 'shutdownGuest' | 'shutdownHost'): void {
  if (domain.state[0] === STATE.shutdown) return;
  domain.state = STATES.shutdownUnknown;
  announce(machine, domain, name);
}

/** The guest's own doing: its agent says so on the console. */
export function guestPowersOff(machine: Machine, domain: Domain, live: LiveDomain, because: PowerOffCause): void {
  live.qemu.guest.sayPowerOff(because);
  powerOff(machine, domain, live, 'shutdownGuest');
}

/** QEMU says SHUTDOWN and ends. */
export function powerOff(
  machine: Machine,
  domain: Domain,
  { qemu }: LiveDomain,
  name: 'shutdownGuest' | 'shutdownHost',
): void {
  announceShutdown(machine, domain, name);
  qemu.exit('terminated');
}
