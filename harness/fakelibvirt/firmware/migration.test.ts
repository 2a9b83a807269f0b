import { beforeEach, describe, expect, test, vi } from 'vitest';
import { concatBytes } from '../../../core/bytes.ts';
import type { SendTarget } from './migration-commands.ts';
import { SEV_STATUS } from './status.ts';
import { createMachine, type LaunchedGuest, launch, type Machine, must, pdhOf } from './test-kit.ts';

vi.setConfig({ testTimeout: 60_000 });

const NOSEND = 0x8;
const DOMAIN = 0x10;
const SEV = 0x20;
const content = Buffer.alloc(4096, 'what moves');

let source: Machine;
let target: Machine;
beforeEach(() => {
  source = createMachine({ seed: 'source' });
  target = createMachine({ seed: 'target' });
});

/** Everything that a target can show, with the CEK that its key server has. */
function targetOf(machine: Machine): SendTarget {
  const { pdh, chain } = must(machine.driver.exportChain());
  const { cek, ask, ark } = machine.processor.endorsements();
  return { pdh, platformChain: concatBytes(chain.subarray(0, 2 * 2084), cek), amdChain: concatBytes(ask, ark) };
}

function running(policy: number): LaunchedGuest {
  const guest = launch(source, policy, content);
  must(source.processor.launch.measure(guest.handle));
  must(source.processor.launch.finish(guest.handle));
  return guest;
}

const plainTarget = (): SendTarget => ({
  pdh: pdhOf(target),
  platformChain: new Uint8Array(),
  amdChain: new Uint8Array(),
});

test('a guest moves: what one machine sends, the other receives under a key of its own', () => {
  const guest = running(1);
  const send = source.processor.migration;
  const receive = target.processor.migration;
  const { session, policy } = must(send.sendStart(guest.handle, plainTarget()));
  const packet = must(send.sendUpdateData(guest.handle, guest.address, 4096));
  expect(Buffer.from(packet.data).includes('what moves')).toBe(false);
  const { handle } = must(receive.receiveStart({ policy, session, dhCert: pdhOf(source) }));
  must(target.processor.guests.activate(handle, 9));
  const address = target.memory.dram.allocate(4096);
  must(receive.receiveUpdateData(handle, packet, address));
  must(receive.receiveFinish(handle));
  must(send.sendFinish(guest.handle));
  expect(Buffer.from(target.memory.readEncrypted(9, address, 4096))).toEqual(content);
  expect(must(target.processor.guests.status(handle))).toMatchObject({ state: 'RUNNING', policy: 1 });
  expect(must(source.processor.guests.status(guest.handle)).state).toBe('SENT');
  must(source.processor.guests.deactivate(guest.handle));
  source.driver.dfFlush();
  expect(source.processor.guests.activate(guest.handle, 9).status).toBe(SEV_STATUS.INVALID_GUEST_STATE);
});

test('SEND_CANCEL lets the guest run on', () => {
  const guest = running(1);
  must(source.processor.migration.sendStart(guest.handle, plainTarget()));
  must(source.processor.migration.sendCancel(guest.handle));
  expect(must(source.processor.guests.status(guest.handle)).state).toBe('RUNNING');
});

test('a packet that was changed, or is for another session, is BAD_MEASUREMENT', () => {
  const guest = running(1);
  const { session, policy } = must(source.processor.migration.sendStart(guest.handle, plainTarget()));
  const packet = must(source.processor.migration.sendUpdateData(guest.handle, guest.address, 32));
  const { migration, guests } = target.processor;
  const { handle } = must(migration.receiveStart({ policy, session, dhCert: pdhOf(source) }));
  expect(migration.receiveUpdateData(handle, packet, 0x1000).status).toBe(SEV_STATUS.INACTIVE);
  must(guests.activate(handle, 9));
  const data = Uint8Array.from(packet.data);
  data[0] = (data[0] as number) ^ 1;
  expect(migration.receiveUpdateData(handle, { ...packet, data }, 0x1000).status).toBe(SEV_STATUS.BAD_MEASUREMENT);
  expect(migration.receiveUpdateVmsa(handle, packet, 0x1000).status).toBe(SEV_STATUS.UNSUPPORTED);
  expect(migration.receiveUpdateData(handle, packet, 0x1008).status).toBe(SEV_STATUS.INVALID_ADDRESS);
});

test('a guest cannot arrive without a session, or with one for another policy', () => {
  const guest = running(1);
  const { session } = must(source.processor.migration.sendStart(guest.handle, plainTarget()));
  pdhOf(target);
  const { migration } = target.processor;
  expect(migration.receiveStart({ policy: 1 }).status).toBe(SEV_STATUS.INVALID_LENGTH);
  expect(migration.receiveStart({ policy: 0, session, dhCert: pdhOf(source) }).status).toBe(SEV_STATUS.BAD_MEASUREMENT);
});

describe('SEND_START by policy', () => {
  const send = (policy: number, to: SendTarget) =>
    source.processor.migration.sendStart(running(policy).handle, to).status;

  test('NOSEND refuses every target', () => {
    expect(send(NOSEND, targetOf(target))).toBe(SEV_STATUS.POLICY_FAILURE);
  });

  test('SEV demands a chain to the root of this generation', () => {
    const good = targetOf(target);
    expect(send(SEV, good)).toBe(SEV_STATUS.SUCCESS);
  });

  test.each([
    [
      'an unsigned CEK',
      SEV_STATUS.BAD_SIGNATURE,
      (good: SendTarget) => ({
        ...good,
        platformChain: must(target.driver.exportChain()).chain,
      }),
    ],
    [
      'another root',
      SEV_STATUS.INVALID_CERTIFICATE,
      (good: SendTarget) => ({
        ...good,
        amdChain: good.amdChain.map((byte) => byte ^ 1),
      }),
    ],
    [
      'the PDH of a third machine',
      SEV_STATUS.BAD_SIGNATURE,
      (good: SendTarget) => ({
        ...good,
        pdh: pdhOf(createMachine({ seed: 'third' })),
      }),
    ],
    [
      'a chain cut short',
      SEV_STATUS.INVALID_LENGTH,
      (good: SendTarget) => ({
        ...good,
        platformChain: good.platformChain.subarray(1),
      }),
    ],
  ])('SEV refuses %s', (_, status, change) => {
    expect(send(SEV, change(targetOf(target)))).toBe(status);
  });

  test('SEV refuses a platform whose API is below the floor of the policy', () => {
    target = createMachine({ seed: 'target', version: { apiMajor: 1, apiMinor: 10, build: 1 } });
    expect(send(SEV | 0x2001_0000, targetOf(target))).toBe(SEV_STATUS.POLICY_FAILURE);
  });

  test('DOMAIN demands a platform of the same owner', () => {
    expect(send(DOMAIN, targetOf(target))).toBe(SEV_STATUS.POLICY_FAILURE);
  });

  test('DOMAIN takes a platform with the same OCA', () => {
    expect(send(DOMAIN, targetOf(createMachine({ seed: 'source' })))).toBe(SEV_STATUS.SUCCESS);
  });
});
