import { createHash } from 'node:crypto';
import { beforeEach, describe, expect, test } from 'vitest';
import { launchMeasurement } from './channel.ts';
import { seededRandom } from './random.ts';
import { SEV_STATUS } from './status.ts';
import { createMachine, createOwner, godh, launch, type Machine, must, pdhOf, VERSION } from './test-kit.ts';

let machine: Machine;
beforeEach(() => {
  machine = createMachine();
});

const NODBG_NOKS = 0x3;
const ES = 0x4;

function startWith(policy: number, change: { dhCert?: Uint8Array; session?: Uint8Array } = {}) {
  const owner = createOwner(pdhOf(machine));
  return machine.processor.launch.start({ policy, dhCert: owner.dhCert, session: owner.session(policy), ...change });
}

describe('LAUNCH_START', () => {
  test('opens a session that was made for this PDH', () => {
    expect(startWith(NODBG_NOKS)).toEqual({ status: SEV_STATUS.SUCCESS, handle: 1 });
    expect(machine.processor.guests.status(1)).toMatchObject({ policy: NODBG_NOKS, state: 'LUPDATE', asid: 0 });
  });

  test.each([
    ['a session for another policy', () => ({ session: createOwner(pdhOf(machine)).session(1) })],
    ['a session of another owner', () => ({ session: createOwner(pdhOf(machine), seededRandom('b')).session(3) })],
    ['the godh of another owner', () => ({ dhCert: createOwner(pdhOf(machine), seededRandom('b')).dhCert })],
    [
      'a session for the PDH of another machine',
      () => {
        const owner = createOwner(pdhOf(createMachine({ seed: 'other' })));
        return { dhCert: owner.dhCert, session: owner.session(3) };
      },
    ],
  ])('refuses %s: BAD_MEASUREMENT', (_, change) => {
    expect(startWith(NODBG_NOKS, change()).status).toBe(SEV_STATUS.BAD_MEASUREMENT);
  });

  test.each([0x00, 0x10, 0x30, 0x40, 0x60, 0x7f])('refuses a session with one bit flipped at byte %d', (at) => {
    const session = Uint8Array.from(createOwner(pdhOf(machine)).session(NODBG_NOKS));
    session[at] = (session[at] as number) ^ 0x80;
    expect(startWith(NODBG_NOKS, { session }).status).toBe(SEV_STATUS.BAD_MEASUREMENT);
  });

  test('refuses a session that was good before PDH_GEN', () => {
    const owner = createOwner(pdhOf(machine));
    const start = () => machine.processor.launch.start({ policy: 3, dhCert: owner.dhCert, session: owner.session(3) });
    expect(start().status).toBe(SEV_STATUS.SUCCESS);
    must(machine.processor.platform.pdhGen());
    expect(start().status).toBe(SEV_STATUS.BAD_MEASUREMENT);
  });

  test.each([
    ['a point off the curve', { x: 5n, y: 7n }],
    ['a point of order two on another curve', { x: 5n, y: 0n }],
    ['the point (0, 0)', { x: 0n, y: 0n }],
    ['coordinates of 72 bytes', { x: 1n << 575n, y: 1n }],
  ])('refuses a godh with %s: INVALID_CERTIFICATE', (_, point) => {
    expect(startWith(NODBG_NOKS, { dhCert: godh(point) }).status).toBe(SEV_STATUS.INVALID_CERTIFICATE);
  });

  test.each([
    ['version', 0x00],
    ['usage', 0x08],
    ['algorithm', 0x0c],
    ['curve', 0x10],
  ])('refuses a godh with a wrong %s: INVALID_CERTIFICATE', (_, at) => {
    const dhCert = Uint8Array.from(createOwner(pdhOf(machine)).dhCert);
    dhCert[at] = (dhCert[at] as number) ^ 1;
    expect(startWith(NODBG_NOKS, { dhCert }).status).toBe(SEV_STATUS.INVALID_CERTIFICATE);
  });

  test('does not look at the signatures of a godh', () => {
    const dhCert = Uint8Array.from(createOwner(pdhOf(machine)).dhCert);
    dhCert.fill(0xaa, 0x414);
    expect(startWith(NODBG_NOKS, { dhCert }).status).toBe(SEV_STATUS.SUCCESS);
  });

  test.each([127, 129, 0])('refuses a session of %d bytes: INVALID_LENGTH', (length) => {
    expect(startWith(NODBG_NOKS, { session: new Uint8Array(length) }).status).toBe(SEV_STATUS.INVALID_LENGTH);
  });

  test('looks at the lengths before the certificate, and at the certificate before the session', () => {
    const [short, bad] = [new Uint8Array(2083), godh({ x: 1n, y: 1n })];
    expect(startWith(3, { dhCert: short, session: new Uint8Array(1) }).status).toBe(SEV_STATUS.INVALID_LENGTH);
    expect(startWith(3, { dhCert: short }).status).toBe(SEV_STATUS.INVALID_LENGTH);
    expect(startWith(3, { dhCert: bad, session: new Uint8Array(128) }).status).toBe(SEV_STATUS.INVALID_CERTIFICATE);
  });

  test.each([
    ['its own API', 0x3301_0001, SEV_STATUS.SUCCESS],
    ['an older major with a newer minor', 0xff00_0001, SEV_STATUS.SUCCESS],
    ['a newer minor', 0x3401_0001, SEV_STATUS.POLICY_FAILURE],
    ['a newer major', 0x0002_0001, SEV_STATUS.POLICY_FAILURE],
    ['reserved bit 6', 0x41, SEV_STATUS.POLICY_FAILURE],
    ['reserved bit 15', 0x8001, SEV_STATUS.POLICY_FAILURE],
  ])('with a session, a policy with %s', (_, policy, status) => {
    expect(startWith(policy).status).toBe(status);
  });

  test('without a session takes the policy as it comes and has TIK = TEK = 0', () => {
    expect(pdhOf(machine).length).toBe(2084);
    const { handle } = must(machine.processor.launch.start({ policy: 0xff00_8003 }));
    const blob = must(machine.processor.launch.measure(handle)).blob;
    const measured = launchMeasurement(new Uint8Array(16), {
      ...VERSION,
      policy: 0xff00_8003,
      launchDigest: createHash('sha256').digest(),
      nonce: blob.subarray(32),
    });
    expect(blob.subarray(0, 32)).toEqual(measured);
  });

  test('takes a SEV-ES policy only where SEV-ES is on, and not where newer firmware refuses it beside SNP', () => {
    expect(startWith(ES).status).toBe(SEV_STATUS.SUCCESS);
    machine = createMachine({ isEsCapable: false });
    expect(startWith(ES).status).toBe(SEV_STATUS.UNSUPPORTED);
    machine = createMachine({ isEsRefusedBySnp: true });
    expect(startWith(ES).status).toBe(SEV_STATUS.UNSUPPORTED);
    expect(startWith(1).status).toBe(SEV_STATUS.SUCCESS);
  });

  test('shares a memory key only between equal policies that allow it', () => {
    const first = must(startWith(1)).handle;
    const second = must(startWith(NODBG_NOKS)).handle;
    const start = (policy: number, sharedHandle: number) =>
      machine.processor.launch.start({ policy, sharedHandle }).status;
    expect(start(1, first)).toBe(SEV_STATUS.SUCCESS);
    expect(start(5, first)).toBe(SEV_STATUS.POLICY_FAILURE);
    expect(start(NODBG_NOKS, second)).toBe(SEV_STATUS.POLICY_FAILURE);
    expect(start(1, 99)).toBe(SEV_STATUS.INVALID_GUEST);
  });

  test('gives out the first free handle and no more than there are', () => {
    machine = createMachine({ maxGuests: 2 });
    expect([must(startWith(1)).handle, must(startWith(1)).handle]).toEqual([1, 2]);
    expect(startWith(1).status).toBe(SEV_STATUS.RESOURCE_LIMIT);
    must(machine.processor.guests.decommission(1));
    expect(must(startWith(1)).handle).toBe(1);
  });
});

describe('what is loaded', () => {
  test('is measured and then no longer readable by the host', () => {
    const content = Buffer.alloc(3 * 4096, 'measured');
    const guest = launch(machine, 1, content);
    expect(Buffer.from(machine.memory.read(guest.address, content.length)).includes('measured')).toBe(false);
    expect(Buffer.from(machine.memory.readEncrypted(guest.asid, guest.address, content.length))).toEqual(content);
    expect(machine.processor.guests.status(guest.handle)).toMatchObject({ asid: 5, stateNumber: 1 });
  });

  test('enters the digest in load order, with one VMSA per vCPU after the data', () => {
    const content = Buffer.alloc(4096 * 600, 'firmware');
    const guest = launch(machine, 1 | ES, content, 2);
    const vmsas = [1, 2].map((fill) => Buffer.alloc(4096, fill));
    for (const page of vmsas) {
      const address = machine.memory.dram.allocate(4096);
      machine.memory.write(address, page);
      must(machine.processor.launch.updateVmsa(guest.handle, address));
    }
    const { blob } = must(machine.processor.launch.measure(guest.handle));
    const launchDigest = createHash('sha256').update(content).update(Buffer.concat(vmsas)).digest();
    const measured = launchMeasurement(guest.owner.keys.tik, {
      ...VERSION,
      policy: 1 | ES,
      launchDigest,
      nonce: blob.subarray(32),
    });
    expect(blob.length).toBe(48);
    expect(blob.subarray(0, 32)).toEqual(measured);
  });

  test('has the same measurement wherever it is loaded: the digest does not cover addresses', () => {
    const digestOf = (address: number) => {
      const other = createMachine();
      const content = Buffer.alloc(4096, 'x');
      const owner = createOwner(pdhOf(other));
      const { handle } = must(other.driver.launchStart(1, { dhCert: owner.dhCert, session: owner.session(1) }));
      other.driver.activate(handle, 5);
      other.memory.write(address, content);
      must(other.processor.launch.updateData(handle, address, 4096));
      return Buffer.from(must(other.processor.launch.measure(handle)).blob).toString('hex');
    };
    expect(digestOf(2 ** 31)).toBe(digestOf(2 ** 32));
  });

  test.each([
    [0x1008, 16, 'INVALID_ADDRESS'],
    [0x1000, 24, 'INVALID_LENGTH'],
    [0x1000, 0, 'INVALID_LENGTH'],
    [2 ** 48, 16, 'INVALID_ADDRESS'],
    [2 ** 48 - 16, 32, 'INVALID_LENGTH'],
  ] as const)('is refused at %d with %d bytes: %s', (address, length, name) => {
    const { handle } = launch(machine, 1);
    expect(machine.processor.launch.updateData(handle, address, length).status).toBe(SEV_STATUS[name]);
  });

  test('is refused before ACTIVATE, and registers of a guest that is not SEV-ES are', () => {
    const { handle } = must(startWith(1));
    expect(machine.processor.launch.updateData(handle, 0x1000, 16).status).toBe(SEV_STATUS.INACTIVE);
    expect(machine.processor.launch.updateVmsa(handle, 0x1000).status).toBe(SEV_STATUS.UNSUPPORTED);
    expect(machine.processor.launch.updateVmsa(99, 0x1000, 4095).status).toBe(SEV_STATUS.INVALID_LENGTH);
  });
});

describe('LAUNCH_MEASURE', () => {
  test('has a new nonce per launch, needs 48 bytes and works once', () => {
    const [a, b] = [launch(machine, 1), launch(machine, 1, undefined, 6)];
    const { measure } = machine.processor.launch;
    const call = measure.bind(machine.processor.launch);
    expect(call(a.handle, 47)).toEqual({ status: SEV_STATUS.INVALID_LENGTH, requiredBytes: 48 });
    expect(must(call(a.handle)).blob.subarray(32)).not.toEqual(must(call(b.handle)).blob.subarray(32));
    expect(call(a.handle).status).toBe(SEV_STATUS.INVALID_GUEST_STATE);
  });
});
