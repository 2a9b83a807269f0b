import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { SEV_STATUS } from './status.ts';
import { createMachine, createOwner, launch, type Machine, must, pdhOf } from './test-kit.ts';

const STATUSES: ReadonlySet<number> = new Set(Object.values(SEV_STATUS));

const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 64 }),
  fc
    .constantFrom(52, 128, 2083, 2084, 2085, 6252, 832, 1600)
    .chain((length) => fc.uint8Array({ minLength: length, maxLength: length })),
);
const anyNumber = fc.oneof(
  fc.integer({ min: -2, max: 20 }),
  fc.constantFrom(16, 4096, 0x1000, 2 ** 31, 2 ** 32 - 16, 2 ** 48 - 16, 2 ** 48, 2 ** 53, Number.NaN, 0.5),
  fc.constantFrom(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
  fc.integer(),
);
/** Lengths that are not memory-hungry: a firmware that is told to load 4 GiB really does. */
const anyLength = fc.oneof(fc.integer({ min: -32, max: 70_000 }), fc.constantFrom(Number.NaN, 2 ** 32, 2 ** 60, 0.5));

function machineInEveryGuestState(): Machine {
  const machine = createMachine();
  const states = [5, 6, 7].map((asid) => launch(machine, 0, undefined, asid).handle);
  for (const handle of states.slice(1)) must(machine.processor.launch.measure(handle));
  must(machine.processor.launch.finish(states[2] as number));
  return machine;
}

test('any arguments give a status of the table and never an exception', () => {
  const machine = machineInEveryGuestState();
  const { platform, guests, launch: commands, debug, migration } = machine.processor;
  const calls: ((bytes: readonly Uint8Array[], at: readonly number[], length: number) => { status: number })[] = [
    ([a, b], [n]) => commands.start({ policy: n as number, dhCert: a as Uint8Array, session: b as Uint8Array }),
    ([a], [n, m]) => commands.start({ policy: n as number, session: a as Uint8Array, sharedHandle: m as number }),
    (_, [h, n], length) => commands.updateData(h as number, n as number, length),
    (_, [h, n], length) => commands.updateVmsa(h as number, n as number, length),
    ([a, b], [h, n], length) =>
      commands.secret(h as number, {
        header: a as Uint8Array,
        data: b as Uint8Array,
        address: n as number,
        guestLength: length,
      }),
    ([a], [h]) => commands.attestation(h as number, a as Uint8Array),
    (_, [h, n]) => guests.activate(h as number, n as number),
    (_, [h]) => guests.status(h as number),
    ([a, b]) => platform.pekCertImport(a as Uint8Array, b as Uint8Array),
    (_, [h, n, m], length) => debug.decrypt(h as number, n as number, m as number, length),
    (_, [h, n, m], length) => debug.encrypt(h as number, n as number, m as number, length),
    ([a, b, c], [h]) =>
      migration.sendStart(h as number, {
        pdh: a as Uint8Array,
        platformChain: b as Uint8Array,
        amdChain: c as Uint8Array,
      }),
    (_, [h, n], length) => migration.sendUpdateData(h as number, n as number, length),
    ([a, b], [n]) => migration.receiveStart({ policy: n as number, dhCert: a as Uint8Array, session: b as Uint8Array }),
    ([a, b], [h, n]) =>
      migration.receiveUpdateData(h as number, { header: a as Uint8Array, data: b as Uint8Array }, n as number),
  ];
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: calls.length - 1 }),
      fc.tuple(anyBytes, anyBytes, anyBytes),
      fc.tuple(fc.oneof(fc.integer({ min: 1, max: 3 }), anyNumber), anyNumber, anyNumber),
      anyLength,
      (which, bytes, at, length) => {
        const call = calls[which];
        expect(STATUSES.has(call?.(bytes, at, length).status ?? -1)).toBe(true);
      },
    ),
    { numRuns: 1500 },
  );
});

test('a godh and a session with any bytes changed open nothing, and give one of two answers', () => {
  const machine = createMachine();
  const owner = createOwner(pdhOf(machine));
  const good = { dhCert: owner.dhCert, session: owner.session(3) };
  const body = 0x10 + 4 + 2 * 72;
  fc.assert(
    fc.property(fc.boolean(), fc.nat(body - 1), fc.integer({ min: 1, max: 255 }), (isGodh, at, mask) => {
      const dhCert = Uint8Array.from(good.dhCert);
      const session = Uint8Array.from(good.session);
      const [target, index] = isGodh ? [dhCert, at] : [session, at % 128];
      // The API version and the reserved bytes behind it are nobody's business.
      fc.pre(!isGodh || index < 4 || index >= 8);
      target[index] = (target[index] as number) ^ mask;
      const { status } = machine.processor.launch.start({ policy: 3, dhCert, session });
      expect([SEV_STATUS.INVALID_CERTIFICATE, SEV_STATUS.BAD_MEASUREMENT]).toContain(status);
    }),
    { numRuns: 300 },
  );
});

test('a certificate to import with any byte of its signed part changed is refused', () => {
  const machine = createMachine();

  vi.setConfig({ testTimeout: 60_000 });
  must(machine.processor.platform.init());
  const { pdh, chain } = must(machine.processor.platform.pdhCertExport());
  const [pek, oca] = [chain.subarray(0, 2084), chain.subarray(2084, 4168)];
  fc.assert(
    fc.property(fc.constantFrom(pek, oca), fc.nat(0x413), fc.integer({ min: 1, max: 255 }), (original, at, mask) => {
      const changed = Uint8Array.from(original);
      changed[at] = (changed[at] as number) ^ mask;
      const { platform } = machine.processor;
      const { status } = original === pek ? platform.pekCertImport(changed, oca) : platform.pekCertImport(pek, changed);
      expect([SEV_STATUS.INVALID_CERTIFICATE, SEV_STATUS.BAD_SIGNATURE]).toContain(status);
    }),
    { numRuns: 150 },
  );
  expect(must(machine.processor.platform.pdhCertExport()).pdh).toEqual(pdh);
});
