import { createHmac } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { SEV_STATUS } from './status.ts';
import { createMachine, type LaunchedGuest, launch, type Machine, must, sealSecret } from './test-kit.ts';

const NODBG_NOKS = 0x3;
let machine: Machine;
beforeEach(() => {
  machine = createMachine();
});

describe('LAUNCH_SECRET', () => {
  const plain = Buffer.from('a pass phrase, padded to 48 bytes'.padEnd(48));
  let guest: LaunchedGuest;
  let measurement: Uint8Array;
  beforeEach(() => {
    guest = launch(machine, NODBG_NOKS);
    measurement = must(machine.processor.launch.measure(guest.handle)).blob.subarray(0, 32);
  });

  function inject(packet = sealSecret(guest.owner.keys, plain, measurement), address = guest.address + 4096) {
    return machine.processor.launch.secret(guest.handle, { ...packet, address });
  }

  test('arrives in the guest byte for byte and not at the host, as often as the owner likes', () => {
    const address = guest.address + 4096;
    expect(inject()).toEqual({ status: SEV_STATUS.SUCCESS, address, length: 48 });
    expect(Buffer.from(machine.memory.readEncrypted(guest.asid, address, 48))).toEqual(plain);
    expect(Buffer.from(machine.memory.read(address, 48))).not.toEqual(plain);
    expect(inject().status).toBe(SEV_STATUS.SUCCESS);
  });

  test('is refused while the guest is loaded and when it runs', () => {
    const other = launch(machine, NODBG_NOKS, undefined, 6);
    const early = machine.processor.launch.secret(other.handle, {
      ...sealSecret(other.owner.keys, plain),
      address: other.address,
    });
    expect(early.status).toBe(SEV_STATUS.INVALID_GUEST_STATE);
    must(machine.processor.launch.finish(guest.handle));
    expect(inject().status).toBe(SEV_STATUS.INVALID_GUEST_STATE);
  });

  test.each([
    ['sealed for another measurement', () => sealSecret(guest.owner.keys, plain, new Uint8Array(32))],
    ['bound to no measurement', () => sealSecret(guest.owner.keys, plain)],
    ['sealed with another TIK', () => sealSecret({ ...guest.owner.keys, tik: Buffer.alloc(16) }, plain, measurement)],
    ['with a changed IV', () => flip(sealSecret(guest.owner.keys, plain, measurement), 'header', 4)],
    ['with a changed MAC', () => flip(sealSecret(guest.owner.keys, plain, measurement), 'header', 51)],
    ['with a changed payload', () => flip(sealSecret(guest.owner.keys, plain, measurement), 'data', 47)],
  ])('%s is refused: BAD_MEASUREMENT, and nothing is written', (_, packet) => {
    const before = machine.memory.read(guest.address, 3 * 4096);
    expect(inject(packet()).status).toBe(SEV_STATUS.BAD_MEASUREMENT);
    expect(machine.memory.read(guest.address, 3 * 4096)).toEqual(before);
  });

  test('a compressed packet is UNSUPPORTED, and only once its MAC is right', () => {
    const { header, data } = sealSecret(guest.owner.keys, plain, measurement);
    const compressed = Buffer.concat([Buffer.of(1), header.subarray(1)]);
    expect(inject({ header: compressed, data }).status).toBe(SEV_STATUS.BAD_MEASUREMENT);
    const length = Buffer.of(data.length, 0, 0, 0);
    const mac = createHmac('sha256', guest.owner.keys.tik)
      .update(Buffer.concat([Buffer.of(1), compressed.subarray(0, 20), length, length, data, measurement]))
      .digest();
    const sealed = Buffer.concat([compressed.subarray(0, 20), mac]);
    expect(inject({ header: sealed, data }).status).toBe(SEV_STATUS.UNSUPPORTED);
  });

  test.each([
    ['nothing', 0],
    ['8 bytes', 8],
    ['17 bytes', 17],
    ['more than 16 KiB', 16 * 1024 + 16],
  ])('%s is refused: INVALID_LENGTH', (_, length) => {
    expect(inject(sealSecret(guest.owner.keys, Buffer.alloc(length), measurement)).status).toBe(
      SEV_STATUS.INVALID_LENGTH,
    );
  });

  test('is refused for a guest without an ASID', () => {
    must(machine.processor.guests.deactivate(guest.handle));
    expect(inject().status).toBe(SEV_STATUS.INACTIVE);
  });

  test('checks the address before the lengths, and both before the state', () => {
    const empty = { header: new Uint8Array(), data: new Uint8Array() };
    must(machine.processor.launch.finish(guest.handle));
    expect(inject(empty, guest.address + 8).status).toBe(SEV_STATUS.INVALID_ADDRESS);
    expect(inject(empty).status).toBe(SEV_STATUS.INVALID_LENGTH);
  });

  test('firmware up to API 0.16 does not bind the secret to the measurement', () => {
    for (const [apiMinor, status] of [
      [16, SEV_STATUS.SUCCESS],
      [17, SEV_STATUS.BAD_MEASUREMENT],
    ] as const) {
      machine = createMachine({ version: { apiMajor: 0, apiMinor, build: 1 } });
      guest = launch(machine, 1);
      must(machine.processor.launch.measure(guest.handle));
      expect(inject(sealSecret(guest.owner.keys, plain)).status).toBe(status);
    }
  });
});

describe('debugging', () => {
  test.each([0, 1])('with NODBG = %d', (noDebug) => {
    const guest = launch(machine, noDebug, Buffer.alloc(4096, 'readable?'));
    const target = machine.memory.dram.allocate(4096);
    const { debug } = machine.processor;
    const reply = debug.decrypt(guest.handle, guest.address, target, 4096);
    expect(reply.status).toBe(noDebug ? SEV_STATUS.POLICY_FAILURE : SEV_STATUS.SUCCESS);
    expect(Buffer.from(machine.memory.read(target, 9)).toString() === 'readable?').toBe(noDebug === 0);
    machine.memory.write(target, Buffer.alloc(16, 'W'));
    expect(debug.encrypt(guest.handle, target, guest.address, 16).status).toBe(reply.status);
    const seen = machine.memory.readEncrypted(guest.asid, guest.address, 16);
    expect(Buffer.from(seen).equals(Buffer.alloc(16, 'W'))).toBe(noDebug === 0);
  });

  test('checks addresses, length, handle, policy and activity in this order', () => {
    const guest = launch(machine, 0);
    const call = (...at: [number, number, number, number]) => machine.processor.debug.decrypt(...at).status;
    expect(call(99, 8, 16, 8)).toBe(SEV_STATUS.INVALID_ADDRESS);
    expect(call(99, 16, 16, 8)).toBe(SEV_STATUS.INVALID_LENGTH);
    expect(call(99, 16, 16, 16)).toBe(SEV_STATUS.INVALID_GUEST);
    must(machine.processor.guests.deactivate(guest.handle));
    expect(call(guest.handle, 16, 16, 16)).toBe(SEV_STATUS.INACTIVE);
  });
});

function flip<K extends 'header' | 'data'>(packet: Record<'header' | 'data', Uint8Array>, part: K, at: number) {
  const changed = Uint8Array.from(packet[part]);
  changed[at] = (changed[at] as number) ^ 1;
  return { ...packet, [part]: changed };
}
