import type { RunEvent } from '../model/events.ts';
import type { ReportedError } from '../model/run.ts';
import { genoa, header, naples, promiseBroken, slotChurn, slotEsSplit, slotLimit } from './facts.ts';
import { guests, playChurn, playSlotLimit } from './play.ts';
import { writeScript } from './script.ts';

const noEs = 'needs sev-es: the host offers no SEV-ES (MinASID 1 leaves none)';

/** Two scenarios hold, one is skipped. */
export function greenRun(): RunEvent[] {
  const script = writeScript(header, naples);
  const limit = script.scenario(slotLimit);
  playSlotLimit(script, limit, 15, false);
  limit.end('passed');
  const churn = script.scenario(slotChurn);
  playChurn(script, churn, 15, 33);
  churn.end('passed');
  script.scenario(slotEsSplit).end('skipped', { reason: noEs });
  return script.finish(0);
}

/** One scenario that holds, alone: what a first-time user sees. */
export function oneGreenRun(): RunEvent[] {
  const script = writeScript(header, naples);
  const limit = script.scenario(slotLimit);
  playSlotLimit(script, limit, 15, false);
  limit.end('passed');
  return script.finish(0);
}

/** A host that leaks the slot of a stopped guest. */
export function redRun(): RunEvent[] {
  const script = writeScript(
    { ...header, command: [...header.command, '--fault', 'slot-leaks-on-destroy'], faults: ['slot-leaks-on-destroy'] },
    naples,
  );
  const churn = script.scenario(slotChurn);
  playChurn(script, churn, 15, 33);
  churn.end('passed');
  const limit = script.scenario(slotLimit);
  playSlotLimit(script, limit, 15, true);
  limit.end('failed', { error: promiseBroken });
  return script.finish(1);
}

export const connectionDropped: ReportedError = {
  kind: 'environment',
  code: 'LIBVIRT_CONNECTION_LOST',
  message: "libvirt at qemu+ssh://lab7/system closed the connection while 'domain-create-xml' waited for its answer",
  hint: 'See whether libvirtd restarted: journalctl -u libvirtd on the host.',
  details: { uri: 'qemu+ssh://lab7/system', procedure: 'domain-create-xml' },
};

/** The connection dropped in mid-fill; one guest could not be cleaned up. */
export function brokenRun(): RunEvent[] {
  const script = writeScript({ ...header, host: 'qemu+ssh://lab7/system' }, genoa);
  const scene = script.scenario(slotLimit);
  scene.step('open host qemu+ssh://lab7/system', 310);
  scene.step(
    'fill all 1006 free slots',
    0,
    (inner) => inner.step('start guest 1', 900, undefined, connectionDropped),
    connectionDropped,
  );
  for (const id of ['fills-to-limit', 'refused-beyond-limit', 'stop-frees-one-slot', 'nothing-lost']) {
    scene.check({
      id,
      outcome: 'skipped',
      title: `promise ${id}`,
      because: `not reached: ${connectionDropped.message}`,
    });
  }
  scene.end('failed', { error: connectionDropped });
  script.leftBehind(
    "could not destroy guest sevh-a1b2c3-sev-01: no connection. Remove it with: npm run reap -- --host 'qemu+ssh://lab7/system'",
  );
  return script.finish(2);
}

/** A guest whose firmware finds nothing to boot: its console is the evidence. */
export function bootFailedRun(): RunEvent[] {
  const script = writeScript(header, naples);
  const scene = script.scenario(slotLimit);
  const console = [
    '\u001b[2J\u001b[01;01H\u001b[=3hBdsDxe: failed to load Boot0001 "UEFI Non-Block Boot Device" from VenMedia(1428F772): Not Found',
    '\u001b[1mBdsDxe: No bootable option or device was found.\u001b[0m',
    'BdsDxe: Press any key to enter the Boot Manager Menu.',
    '',
  ].join('\r\n');
  const error: ReportedError = {
    kind: 'product',
    code: 'GUEST_BOOT_FAILED',
    message:
      'guest sevh-a1b2c3-sev-01 did not boot. The guest firmware found nothing to boot. Its console says: BdsDxe: No bootable option or device was found',
    hint: 'Give the guest a kernel and initrd (<kernel>, <initrd>), or a bootable disk.',
    details: { guest: 'sevh-a1b2c3-sev-01', console },
  };
  scene.step('start guest 1', 900, undefined, error);
  scene.end('failed', { error });
  return script.finish(1);
}

/** The host goes away in the first of three scenarios and does not come back. */
export function goneRun(): RunEvent[] {
  const script = writeScript({ ...header, host: 'qemu+ssh://lab7/system' }, genoa);
  const refused: ReportedError = {
    kind: 'environment',
    code: 'LIBVIRT_CONNECT',
    message: "cannot connect to 'qemu+ssh://lab7/system': Connection refused",
    hint: 'Check that the host is up and reachable.',
  };
  for (const [place, scenario] of [slotLimit, slotChurn, slotEsSplit].entries()) {
    const error = place === 0 ? connectionDropped : refused;
    const scene = script.scenario(scenario);
    scene.step('open host qemu+ssh://lab7/system', 20, undefined, error);
    scene.end('failed', { error });
  }
  return script.finish(2);
}

/** Passed only on the second attempt. */
export function flakyRun(): RunEvent[] {
  const script = writeScript({ ...header, command: [...header.command, '--retry', '1'] }, naples);
  const first = script.scenario(slotLimit, 1);
  playSlotLimit(script, first, 15, true);
  first.end('failed', { error: promiseBroken });
  const second = script.scenario(slotLimit, 2);
  playSlotLimit(script, second, 15, false);
  second.end('passed');
  return script.finish(0);
}

/** Ctrl-C in the second scenario. */
export function interruptedRun(): RunEvent[] {
  const script = writeScript(header, naples);
  const limit = script.scenario(slotLimit);
  playSlotLimit(script, limit, 15, false);
  limit.end('passed');
  const churn = script.scenario(slotChurn);
  const stopped = { kind: 'environment', code: 'SCENARIO_INTERRUPTED' } as const;
  churn.step(
    'start and stop 33 guests',
    15,
    (inner) => {
      inner.note('limit 15 (from domcapabilities)');
      script.pass(40);
      script.interrupt();
    },
    { ...stopped, message: 'interrupted' },
  );
  churn.end('interrupted', { error: { ...stopped, message: 'scenario slot-churn was interrupted' } });
  return script.finish(2);
}

/** SIGKILL while guests were started: the stream just stops. */
export function killedRun(): RunEvent[] {
  const { events } = (() => {
    const script = writeScript(header, naples);
    const scene = script.scenario(slotLimit);
    const fill = scene.openStep('fill all 15 free slots');
    fill.step('start guest 1', 20);
    fill.openStep('start guest 2');
    return script;
  })();
  return events;
}

/** Needs that no scenario found. */
export function skippedRun(): RunEvent[] {
  const script = writeScript(
    { ...header, host: 'fake:no-sev' },
    { ...naples, name: 'fake:no-sev', capabilities: [], generation: 'no SEV' },
  );
  script.scenario(slotLimit).end('skipped', { reason: 'needs sev: domcapabilities say <sev supported="no"/>' });
  script.scenario(slotEsSplit).end('skipped', { reason: 'needs sev: domcapabilities say <sev supported="no"/>' });
  return script.finish(2);
}

/** The host could not be reached at all. */
export function unreachableRun(): RunEvent[] {
  const script = writeScript({ ...header, host: 'qemu+ssh://lab9/system' });
  script.pass(5000);
  script.error({
    kind: 'environment',
    code: 'LIBVIRT_UNREACHABLE',
    message: 'could not reach qemu+ssh://lab9/system: ssh: connect to host lab9 port 22: No route to host',
    hint: 'Try: ssh lab9 true',
  });
  return script.finish(2);
}

/** A host with 1006 slots, filled. */
export function bigRun(): RunEvent[] {
  const script = writeScript(
    { ...header, host: genoa.name, command: ['sev-harness', 'scenario', '--host', genoa.name] },
    genoa,
  );
  const scene = script.scenario(slotLimit);
  playSlotLimit(script, scene, 1006, false);
  scene.end('passed');
  return script.finish(0);
}

/** Two pools; the SEV pool takes one guest more than its limit. */
export function twoPoolRun(): RunEvent[] {
  const script = writeScript(
    { ...header, host: 'fake:naples-es', faults: ['limit-off-by-one-up'] },
    { ...naples, name: 'fake:naples-es', profile: 'naples-es', capabilities: ['sev', 'sev-es'] },
  );
  const scene = script.scenario(slotEsSplit);
  const sev = guests(script, 'sev');
  const es = guests(script, 'sev-es');
  scene.step('fill the SEV range', 1, () => {
    for (let number = 1; number <= 12; number += 1) sev.start(number, 40);
    sev.refuse(13);
  });
  scene.step('fill the SEV-ES range', 1, (inner) => {
    for (let number = 1; number <= 4; number += 1) es.start(number, 90);
    es.refuse(5);
    inner.check({
      id: 'sev-limit',
      outcome: 'failed',
      title: 'the SEV range takes as many guests as promised',
      expected: 11,
      actual: 12,
    });
  });
  sev.end(3, 'killed');
  script.pass(30);
  sev.start(20, 200);
  es.endAll();
  const [a, b] = [sev.timeline(11), es.timeline(4)];
  scene.timeline({
    pools: [...a.pools, ...b.pools],
    guests: [...a.guests, ...b.guests],
    refusals: [...a.refusals, ...b.refusals],
  });
  scene.end('failed', { error: { ...promiseBroken, message: '1 of 1 promises broken: sev-limit' } });
  return script.finish(1);
}
