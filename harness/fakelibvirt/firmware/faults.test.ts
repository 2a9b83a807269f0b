import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { toHex } from '../../../core/bytes.ts';
import { checkSignedBy, pointOf, USAGE } from './certificate.ts';
import { launchMeasurement, type MeasurementInputs, wrapSession } from './channel.ts';
import { FIRMWARE_FAULTS, type FirmwareFaultId } from './faults.ts';
import { POLICY } from './policy.ts';
import { SEV_STATUS } from './status.ts';
import {
  createMachine,
  createOwner,
  godh,
  type LaunchedGuest,
  launch,
  type Machine,
  must,
  pdhOf,
  sealSecret,
  VERSION,
} from './test-kit.ts';

const content = Buffer.concat([1, 2, 3].map((fill) => Buffer.alloc(4096, fill)));
const sha256 = (bytes: Uint8Array) => new Uint8Array(createHash('sha256').update(bytes).digest());

/** The measurement of a guest with `content`, and what it should be with some input changed. */
function measured(machine: Machine, guest: LaunchedGuest, policy: number) {
  const { blob } = must(machine.processor.launch.measure(guest.handle));
  const nonce = blob.subarray(32);
  const expected = (change: Partial<MeasurementInputs> = {}, tik = guest.owner.keys.tik) =>
    toHex(launchMeasurement(tik, { ...VERSION, policy, launchDigest: sha256(content), nonce, ...change }));
  return { actual: toHex(blob.subarray(0, 32)), nonce: toHex(nonce), expected };
}

/** Shows one broken behaviour: true while the fault is on. */
type Symptom = (machine: Machine) => boolean;

const measuresAs =
  (change: Partial<MeasurementInputs>, tik?: Uint8Array): Symptom =>
  (machine) => {
    const { actual, expected } = measured(machine, launch(machine, 3, content), 3);
    return actual === expected(change, tik ?? undefined) && actual !== expected();
  };

const starts =
  (policy: number, change: (machine: Machine) => { dhCert?: Uint8Array; session?: Uint8Array } = () => ({})): Symptom =>
  (machine) => {
    const owner = createOwner(pdhOf(machine));
    const request = { policy, dhCert: owner.dhCert, session: owner.session(policy), ...change(machine) };
    return machine.processor.launch.start(request).status === SEV_STATUS.SUCCESS;
  };

function injects(machine: Machine, change: { mac?: boolean; unbound?: boolean; late?: boolean }): boolean {
  const guest = launch(machine, 3, content);
  const measurement = must(machine.processor.launch.measure(guest.handle)).blob.subarray(0, 32);
  const plain = Buffer.alloc(16, 'secret');
  const { header, data } = sealSecret(guest.owner.keys, plain, change.unbound ? undefined : measurement);
  if (change.mac) header[51] = (header[51] as number) ^ 1;
  if (change.late) must(machine.processor.launch.finish(guest.handle));
  const reply = machine.processor.launch.secret(guest.handle, { header, data, address: guest.address });
  return (
    reply.status === SEV_STATUS.SUCCESS &&
    Buffer.from(machine.memory.readEncrypted(guest.asid, guest.address, 16)).equals(plain)
  );
}

function certificates(machine: Machine) {
  const { pdh, chain } = must(machine.driver.exportChain());
  const [pek, oca, cek] = [0, 1, 2].map((i) => chain.subarray(i * 2084, (i + 1) * 2084)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  return { pdh: Uint8Array.from(pdh), pek, oca, cek };
}

function isSigned(certificate: Uint8Array, usage: number, signer: Uint8Array): boolean {
  const point = pointOf(signer);
  return point !== undefined && checkSignedBy(certificate, usage, point) === SEV_STATUS.SUCCESS;
}

const SYMPTOMS: Readonly<Record<FirmwareFaultId, Symptom>> = {
  'measure-ignores-policy': measuresAs({ policy: 0 }),
  'measure-ignores-nonce': measuresAs({ nonce: new Uint8Array(16) }),
  'measure-ignores-build': measuresAs({ build: 0 }),
  'measure-ignores-api': measuresAs({ apiMajor: 0, apiMinor: 0 }),
  'measure-nonce-constant': (machine) => {
    const [a, b] = [5, 6].map((asid) => measured(machine, launch(machine, 1, content, asid), 1).nonce);
    return a === b;
  },
  'measure-out-of-order': (machine) => {
    const { handle } = launch(machine, 1);
    must(machine.processor.launch.measure(handle));
    return machine.processor.launch.measure(handle).status === SEV_STATUS.SUCCESS;
  },
  'digest-skips-page': measuresAs({
    launchDigest: sha256(Buffer.concat([content.subarray(0, 4096), content.subarray(8192)])),
  }),
  'digest-reversed': measuresAs({
    launchDigest: sha256(Buffer.concat([3, 2, 1].map((fill) => Buffer.alloc(4096, fill)))),
  }),
  'vmsa-not-measured': (machine) => {
    const guest = launch(machine, 4, content, 2);
    for (const fill of [1, 2]) {
      const address = machine.memory.dram.allocate(4096);
      machine.memory.write(address, Buffer.alloc(4096, fill));
      must(machine.processor.launch.updateVmsa(guest.handle, address));
    }
    const { actual, expected } = measured(machine, guest, 4);
    return actual === expected({ launchDigest: sha256(Buffer.concat([content, Buffer.alloc(4096, 2)])) });
  },
  'session-ignored': measuresAs({}, new Uint8Array(16)),
  'session-mac-unchecked': starts(1, (machine) => ({ session: createOwner(pdhOf(machine)).session(2) })),
  'godh-point-unchecked': (machine) => {
    // y = 0: a point of order two on its own curve. Z is its x or nothing, and the attacker may try both.
    const x = 0x1234n;
    const keys = { tek: new Uint8Array(16), tik: new Uint8Array(16) };
    const guesses = [x, 0n].map((z) => Buffer.from(z.toString(16).padStart(96, '0'), 'hex'));
    const sessions = guesses.map((z) => wrapSession(z, keys, 1, new Uint8Array(16), new Uint8Array(16)));
    return sessions.some((session) => starts(1, () => ({ dhCert: godh({ x, y: 0n }), session }))(machine));
  },
  'policy-api-floor-ignored': starts(0x0002_0001),
  'policy-reserved-ignored': starts(0x41),
  'policy-readback-stale': (machine) => {
    launch(machine, 1);
    const { handle } = launch(machine, 3, undefined, 6);
    return must(machine.processor.guests.status(handle)).policy === 1;
  },
  'es-without-support': starts(4),
  'debug-ignores-nodbg': (machine) => {
    const guest = launch(machine, 1, content);
    const target = machine.memory.dram.allocate(4096);
    const { status } = machine.processor.debug.decrypt(guest.handle, guest.address, target, 16);
    return status === SEV_STATUS.SUCCESS && machine.memory.read(target, 1)[0] === 1;
  },
  'secret-while-running': (machine) => injects(machine, { late: true }),
  'secret-mac-unchecked': (machine) => injects(machine, { mac: true }),
  'secret-not-bound': (machine) => injects(machine, { unbound: true }),
  'pek-signed-by-wrong-key': (machine) => {
    const { pek, oca, cek } = certificates(machine);
    return isSigned(pek, USAGE.OCA, oca) && !isSigned(pek, USAGE.CEK, cek);
  },
  'pdh-signed-by-wrong-key': (machine) => {
    const { pdh, pek, cek } = certificates(machine);
    return isSigned(pek, USAGE.CEK, cek) && !isSigned(pdh, USAGE.PEK, pek);
  },
  'pdh-not-rotated': (machine) => {
    const before = certificates(machine).pdh;
    must(machine.processor.platform.pdhGen());
    return toHex(certificates(machine).pdh) === toHex(before);
  },
  'pek-not-rotated': (machine) => {
    const before = certificates(machine).pek;
    must(machine.processor.platform.pekGen());
    return toHex(certificates(machine).pek) === toHex(before);
  },
  'status-api-wrong': (machine) => must(machine.processor.platform.status()).apiMinor === VERSION.apiMinor + 1,
  'nosend-refused': (machine) => !starts(POLICY.NOSEND)(machine),
  'debug-always-refused': (machine) => {
    const guest = launch(machine, 0);
    return (
      machine.processor.debug.decrypt(guest.handle, guest.address, guest.address, 16).status !== SEV_STATUS.SUCCESS
    );
  },
  'small-order-point-accepted': (machine) => {
    const { session } = createOwner(pdhOf(machine));
    const request = { policy: 1, dhCert: godh({ x: 1n, y: 0n }), session: session(1) };
    return machine.processor.launch.start(request).status !== SEV_STATUS.INVALID_CERTIFICATE;
  },
  'old-pdh-still-opens': (machine) => {
    const owner = createOwner(pdhOf(machine));
    must(machine.processor.platform.pdhGen());
    const request = { policy: 1, dhCert: owner.dhCert, session: owner.session(1) };
    return machine.processor.launch.start(request).status === SEV_STATUS.SUCCESS;
  },
  'rotated-pek-signed-by-wrong-key': (machine) => {
    must(machine.driver.exportChain());
    must(machine.processor.platform.pekGen());
    const { pek, oca, cek } = certificates(machine);
    return isSigned(pek, USAGE.OCA, oca) && !isSigned(pek, USAGE.CEK, cek);
  },
  'short-buffer-status-wrong': (machine) => machine.processor.platform.getId(16).status !== SEV_STATUS.INVALID_LENGTH,
  'pek-gen-while-working': (machine) => {
    launch(machine, 1);
    return machine.processor.platform.pekGen().status === SEV_STATUS.SUCCESS;
  },
  'measure-status-wrong': (machine) => {
    const { handle } = launch(machine, 1);
    must(machine.processor.launch.measure(handle));
    return machine.processor.launch.measure(handle).status === SEV_STATUS.INVALID_GUEST;
  },
  'flush-not-demanded': (machine) => {
    const { platform, guests, launch: commands } = machine.processor;
    must(platform.init());
    return guests.activate(must(commands.start({ policy: 0 })).handle, 5).status === SEV_STATUS.SUCCESS;
  },
};

const ids = Object.keys(FIRMWARE_FAULTS) as FirmwareFaultId[];

describe('each fault', () => {
  test.each(ids)('%s shows, and only while it is on', (fault) => {
    const isEsCapable = fault !== 'es-without-support';
    expect(SYMPTOMS[fault](createMachine({ fault, isEsCapable }))).toBe(true);
    expect(SYMPTOMS[fault](createMachine({ isEsCapable }))).toBe(false);
  });
});

test('only the faults of digest, measurement and session keep a healthy launch from verifying', () => {
  const breaksMeasurement: readonly FirmwareFaultId[] = [
    'measure-ignores-policy',
    'measure-ignores-nonce',
    'measure-ignores-build',
    'measure-ignores-api',
    'digest-skips-page',
    'digest-reversed',
    'session-ignored',
  ];
  for (const fault of ids) {
    const machine = createMachine({ fault });
    const { actual, expected } = measured(machine, launch(machine, 3, content), 3);
    expect({ fault, verifies: actual === expected() }).toEqual({ fault, verifies: !breaksMeasurement.includes(fault) });
  }
});
