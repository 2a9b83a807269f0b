import { refusal } from '../refusal.ts';
import { DELAY_MS } from './delays.ts';
import type { Domain, LiveDomain } from './domain.ts';
import { requiresEs } from './domain-xml/launch-security.ts';
import { announce, guestPowersOff, powerOff, requireActive, runVcpus } from './lifecycle.ts';
import type { Machine } from './machine.ts';
import { STATE, STATES } from './states.ts';

export function suspendDomain(machine: Machine, domain: Domain): void {
  const live = requireActive(domain);
  if (domain.state[0] === STATE.paused || machine.has('suspend-ignored')) return;
  live.qemu.runState = 'paused';
  domain.state = STATES.pausedUser;
  announce(machine, domain, 'suspendedPaused');
}

export function resumeDomain(machine: Machine, domain: Domain): void {
  const live = requireActive(domain);
  if (domain.state[0] === STATE.running) throw refusal('OPERATION_INVALID', 'QEMU', 'domain is already running');
  if (live.qemu.guest.hasRun && machine.has('resume-ignored')) return;
  runVcpus(machine, domain);
  domain.state = STATES.runningUnpaused;
  announce(machine, domain, 'resumedUnpaused');
  if (live.pendingPowerButton !== 'none') pressPowerButton(machine, domain, live);
}

/** ACPI power button: a guest with ACPI powers off by itself some time later. */
export function shutdownDomain(machine: Machine, domain: Domain): void {
  const { live } = domain;
  if (live === undefined || domain.state[0] !== STATE.running) {
    throw refusal('OPERATION_INVALID', 'QEMU', 'domain is not running');
  }
  live.pendingPowerButton = 'shutdown';
  pressPowerButton(machine, domain, live);
}

/** libvirt reboots by the power button too, and resets QEMU instead of ending it; not with on_reboot 'destroy'. */
export function rebootDomain(machine: Machine, domain: Domain): void {
  const live = requireActive(domain);
  live.pendingPowerButton = live.definition.onReboot === 'destroy' ? 'shutdown' : 'reboot';
  if (domain.state[0] === STATE.running) pressPowerButton(machine, domain, live);
}

function pressPowerButton(machine: Machine, domain: Domain, live: LiveDomain): void {
  if (!live.definition.hasAcpi) return;
  void machine.clock.sleep(DELAY_MS.guestShutdown).then(() => {
    if (domain.live !== live || domain.state[0] !== STATE.running) return;
    const wantsReboot = live.pendingPowerButton === 'reboot' || live.definition.onPoweroff === 'restart';
    live.pendingPowerButton = 'none';
    if (wantsReboot && canReset(machine, live)) {
      machine.events.emit({ kind: 'reboot', domain: domain.ref });
      domain.state = STATES.runningBooted;
      announce(machine, domain, 'resumedUnpaused');
      live.qemu.guest.reset();
    } else guestPowersOff(machine, domain, live, 'power button');
  });
}

/** `virDomainReset`. A guest whose register state is encrypted cannot be reset: QEMU ends instead. */
export function resetDomain(machine: Machine, domain: Domain): void {
  const live = requireActive(domain);
  if (!canReset(machine, live) || live.definition.onReboot === 'destroy') {
    if (!canReset(machine, live)) machine.appendQemuLog(domain.name, 'cpus are not resettable, terminating');
    void powerOffOnceAnswered(machine, domain, live);
    return;
  }
  machine.events.emit({ kind: 'reboot', domain: domain.ref });
  // QEMU reports the reset of running CPUs once more by itself.
  if (domain.state[0] === STATE.running) machine.events.emit({ kind: 'reboot', domain: domain.ref });
  live.qemu.guest.reset();
}

/** softmmu/runstate.c, qemu_system_reset_request only notes what QEMU's main loop shall do after the answer. */
async function powerOffOnceAnswered(machine: Machine, domain: Domain, live: LiveDomain): Promise<void> {
  await machine.clock.sleep(DELAY_MS.resetToEnd);
  await new Promise(setImmediate);
  if (domain.live === live) powerOff(machine, domain, live, 'shutdownHost');
}

function canReset(machine: Machine, { definition }: LiveDomain): boolean {
  if (machine.has('reset-kills-guest')) return false;
  if (machine.has('es-reset-allowed')) return true;
  return definition.launchSecurity?.type !== 'sev' || !requiresEs(definition.launchSecurity);
}
