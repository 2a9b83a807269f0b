import { describe, expect, test } from 'vitest';
import { toHex } from '../../../core/bytes.ts';
import {
  ALGORITHM,
  assemble,
  bodyOf,
  CERTIFICATE_BYTES,
  checkSignedBy,
  encodeBody,
  encodeEcdsaSlot,
  pointOf,
  slotOf,
  USAGE,
} from './certificate.ts';
import { generateKeyPair, type Point, signSha256 } from './p384.ts';
import { seededRandom } from './random.ts';
import { SEV_STATUS } from './status.ts';
import { createMachine, launch, type Machine, must, VERSION } from './test-kit.ts';

function up(overrides: Parameters<typeof createMachine>[0] = {}): Machine {
  const machine = createMachine(overrides);
  must(machine.processor.platform.init());
  return machine;
}

function exported(machine: Machine) {
  const { pdh, chain } = must(machine.processor.platform.pdhCertExport());
  const [pek, oca, cek] = [0, 1, 2].map((i) => chain.subarray(i * CERTIFICATE_BYTES, (i + 1) * CERTIFICATE_BYTES)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  return { pdh, pek, oca, cek };
}

function keyOf(certificate: Uint8Array): Point {
  const point = pointOf(certificate);
  if (!point) throw new Error('no key');
  return point;
}

/** An owner of a platform: a self-signed OCA, and its signature on a PEK. */
function platformOwner() {
  const random = seededRandom('platform owner');
  const keys = generateKeyPair(random);
  const body = encodeBody(VERSION, USAGE.OCA, ALGORITHM.ECDSA_SHA256, keys.point);
  const signed = (bytes: Uint8Array) => encodeEcdsaSlot(USAGE.OCA, signSha256(bytes, keys.secret, random));
  return { oca: assemble(body, signed(body)), sign: (csr: Uint8Array) => assemble(bodyOf(csr), signed(bodyOf(csr))) };
}

describe('the platform', () => {
  test('goes from UNINIT to INIT to WORKING and back with its guests', () => {
    const machine = createMachine();
    const { platform, launch: commands, guests } = machine.processor;
    const state = () => must(platform.status()).state;
    expect(state()).toBe('UNINIT');
    must(platform.init());
    expect(state()).toBe('INIT');
    const { handle } = must(commands.start({ policy: 0 }));
    expect([state(), must(platform.status()).guestCount]).toEqual(['WORKING', 1]);
    must(guests.decommission(handle));
    expect(state()).toBe('INIT');
    must(commands.start({ policy: 0 }));
    must(platform.shutdown());
    expect(must(platform.status())).toMatchObject({ state: 'UNINIT', guestCount: 0 });
  });

  test('INIT fails where the BIOS left encryption off, and with SEV-ES where it cannot be', () => {
    const init = (overrides: Parameters<typeof createMachine>[0], trustedRegion: 'allocated' | 'missing') =>
      createMachine(overrides).processor.platform.init({ es: { trustedRegion } }).status;
    expect(init({ isEncryptionEnabled: false }, 'allocated')).toBe(SEV_STATUS.HARDWARE_PLATFORM);
    expect(init({ isEsCapable: false }, 'allocated')).toBe(SEV_STATUS.INVALID_CONFIG);
    expect(init({}, 'missing')).toBe(SEV_STATUS.INVALID_CONFIG);
    expect(init({}, 'allocated')).toBe(SEV_STATUS.SUCCESS);
  });

  test('says its version in every state, and owner, SEV-ES and guests only when it is up', () => {
    const machine = createMachine();
    const { platform } = machine.processor;
    expect(must(platform.status())).toMatchObject({ ...VERSION, isEsEnabled: false });
    must(platform.init({ es: { trustedRegion: 'allocated' } }));
    expect(must(platform.status())).toMatchObject({ ...VERSION, isEsEnabled: true, stateNumber: 1 });
  });

  test('short buffers are refused with the length that is needed', () => {
    const { platform } = up({ sockets: 2 }).processor;
    expect(platform.pekCsr(2083)).toEqual({ status: SEV_STATUS.INVALID_LENGTH, requiredBytes: 2084 });
    expect(platform.pdhCertExport(2084, 6251)).toMatchObject({ status: SEV_STATUS.INVALID_LENGTH });
    expect(platform.pdhCertExport(2083, 6252)).toMatchObject({ status: SEV_STATUS.INVALID_LENGTH });
    expect(platform.getId(127)).toEqual({ status: SEV_STATUS.INVALID_LENGTH, requiredBytes: 128 });
    expect(must(platform.getId(128)).id.length).toBe(128);
  });

  test('impossible options are refused with a code', () => {
    const bad = expect.objectContaining({ code: 'FIRMWARE_OPTION_INVALID' });
    expect(() => createMachine({ version: { ...VERSION, build: 256 } })).toThrow(bad);
    expect(() => createMachine({ cores: 0 })).toThrow(bad);
  });
});

describe('keys', () => {
  test('form a chain that verifies, with an unsigned CEK', () => {
    const { pdh, pek, oca, cek } = exported(up());
    expect(checkSignedBy(oca, USAGE.OCA, keyOf(oca))).toBe(SEV_STATUS.SUCCESS);
    expect(checkSignedBy(pek, USAGE.OCA, keyOf(oca))).toBe(SEV_STATUS.SUCCESS);
    expect(checkSignedBy(pek, USAGE.CEK, keyOf(cek))).toBe(SEV_STATUS.SUCCESS);
    expect(checkSignedBy(pdh, USAGE.PEK, keyOf(pek))).toBe(SEV_STATUS.SUCCESS);
    expect(toHex(cek.subarray(0x414, 0x424))).toBe('00100000000000000000000000000000');
    expect(toHex(pek.subarray(0, 16))).toBe('01000000013300000210000002000000');
    expect(toHex(pdh.subarray(0, 16))).toBe('01000000013300000310000003000000');
  });

  test('are the same for the same seed, and different on every other machine', () => {
    expect(exported(up())).toEqual(exported(up()));
    expect(exported(up({ seed: 'other' })).cek).not.toEqual(exported(up()).cek);
    expect(must(up({ seed: 'other' }).processor.platform.getId())).not.toEqual(must(up().processor.platform.getId()));
  });

  test('PDH_GEN changes the PDH only; PEK_GEN changes OCA, PEK and PDH; the chip keeps CEK and id', () => {
    const machine = up();
    const { platform } = machine.processor;
    const before = { ...exported(machine), id: must(platform.getId()).id };
    must(platform.pdhGen());
    const rotated = exported(machine);
    expect(rotated.pdh).not.toEqual(before.pdh);
    expect([rotated.pek, rotated.oca, rotated.cek]).toEqual([before.pek, before.oca, before.cek]);
    must(platform.pekGen());
    const renewed = exported(machine);
    for (const name of ['pdh', 'pek', 'oca'] as const) expect(renewed[name]).not.toEqual(rotated[name]);
    expect(renewed.cek).toEqual(before.cek);
    expect(must(platform.getId()).id).toEqual(before.id);
    must(platform.shutdown());
    must(platform.init());
    expect(exported(machine)).toEqual(renewed);
    must(platform.shutdown());
    must(platform.factoryReset());
    must(platform.init());
    expect(exported(machine).pek).not.toEqual(renewed.pek);
    expect(exported(machine).cek).toEqual(before.cek);
  });

  test('an owner takes the platform with a signed PEK, keeps the CEK signature, and loses it with PEK_GEN', () => {
    const machine = up();
    const { platform } = machine.processor;
    const owner = platformOwner();
    const before = exported(machine);
    const pek = owner.sign(must(platform.pekCsr()).csr);
    must(platform.pekCertImport(pek, owner.oca));
    const after = exported(machine);
    expect(must(platform.status()).isExternallyOwned).toBe(true);
    expect(after.oca).toEqual(owner.oca);
    expect(checkSignedBy(after.pek, USAGE.OCA, keyOf(owner.oca))).toBe(SEV_STATUS.SUCCESS);
    expect(slotOf(after.pek, USAGE.CEK)).toEqual(slotOf(before.pek, USAGE.CEK));
    expect(after.pdh).not.toEqual(before.pdh);
    expect(checkSignedBy(after.pdh, USAGE.PEK, keyOf(after.pek))).toBe(SEV_STATUS.SUCCESS);
    expect(platform.pekCertImport(pek, owner.oca).status).toBe(SEV_STATUS.ALREADY_OWNED);
    must(platform.pekGen());
    expect(must(platform.status()).isExternallyOwned).toBe(false);
  });

  test('PEK_CERT_IMPORT refuses what does not fit', () => {
    const { platform } = up().processor;
    const owner = platformOwner();
    const csr = must(platform.pekCsr()).csr;
    const pek = owner.sign(csr);
    const badOca = Uint8Array.from(owner.oca);
    badOca[0x41c] = (badOca[0x41c] as number) ^ 1;
    const foreign = must(up({ seed: 'other' }).processor.platform.pekCsr()).csr;
    const status = (p: Uint8Array, o: Uint8Array) => platform.pekCertImport(p, o).status;
    expect(status(pek.subarray(1), owner.oca)).toBe(SEV_STATUS.INVALID_LENGTH);
    expect(status(pek, badOca)).toBe(SEV_STATUS.BAD_SIGNATURE);
    expect(status(csr, owner.oca)).toBe(SEV_STATUS.INVALID_CERTIFICATE);
    expect(status(owner.sign(foreign), owner.oca)).toBe(SEV_STATUS.INVALID_CERTIFICATE);
    expect(status(pek, pek)).toBe(SEV_STATUS.INVALID_CERTIFICATE);
    for (const at of [0x61d, 0x620]) {
      const halfSet = Uint8Array.from(pek);
      halfSet[at] = (halfSet[at] as number) ^ 2;
      expect(status(halfSet, owner.oca)).toBe(SEV_STATUS.BAD_SIGNATURE);
    }
    expect(status(pek, owner.oca)).toBe(SEV_STATUS.SUCCESS);
  });
});

describe('ASIDs', () => {
  test('need WBINVD on every core and DF_FLUSH after INIT and after a guest that ran, and not after one that did not', () => {
    const machine = createMachine({ cores: 2 });
    const { platform, guests, launch: commands } = machine.processor;
    must(platform.init());
    const { handle } = must(commands.start({ policy: 0 }));
    expect(guests.activate(handle, 7).status).toBe(SEV_STATUS.DF_FLUSH_REQUIRED);
    machine.processor.writeBack(0);
    expect(platform.dfFlush().status).toBe(SEV_STATUS.WBINVD_REQUIRED);
    machine.processor.writeBack(1);
    must(platform.dfFlush());
    must(guests.activate(handle, 7));
    must(guests.deactivate(handle));
    must(guests.activate(handle, 7));
    must(commands.measure(handle));
    must(commands.finish(handle));
    must(guests.deactivate(handle));
    expect(guests.activate(handle, 7).status).toBe(SEV_STATUS.DF_FLUSH_REQUIRED);
    expect(platform.dfFlush().status).toBe(SEV_STATUS.WBINVD_REQUIRED);
    machine.processor.writeBack();
    must(platform.dfFlush());
    must(guests.activate(handle, 7));
  });

  test('ACTIVATE refuses what it should, in its order', () => {
    const machine = createMachine();
    const first = launch(machine, 0, undefined, 5);
    const { guests, launch: commands } = machine.processor;
    const second = must(commands.start({ policy: 0 })).handle;
    const es = must(commands.start({ policy: 4 })).handle;
    const status = (handle: number, asid: number) => guests.activate(handle, asid).status;
    for (const asid of [0, 16, -1, 1.5, Number.NaN]) expect(status(second, asid)).toBe(SEV_STATUS.INVALID_ASID);
    expect(status(99, 0)).toBe(SEV_STATUS.INVALID_GUEST);
    expect(status(second, 5)).toBe(SEV_STATUS.ASID_OWNED);
    expect(status(first.handle, 6)).toBe(SEV_STATUS.ACTIVE);
    expect(status(es, 6)).toBe(SEV_STATUS.INVALID_ASID);
    expect(status(es, 4)).toBe(SEV_STATUS.SUCCESS);
  });

  test('DECOMMISSION needs DEACTIVATE first, and takes the handle away', () => {
    const machine = createMachine();
    const { handle, asid } = launch(machine, 0);
    const { guests } = machine.processor;
    expect(guests.decommission(handle).status).toBe(SEV_STATUS.ACTIVE);
    must(guests.deactivate(handle));
    expect(machine.memory.controller.hasKey(asid)).toBe(false);
    expect(guests.deactivate(handle).status).toBe(SEV_STATUS.INACTIVE);
    must(guests.decommission(handle));
    expect(guests.deactivate(handle).status).toBe(SEV_STATUS.INVALID_PLATFORM_STATE);
    expect(must(guests.status(handle))).toMatchObject({ state: 'UNINIT', stateNumber: 0, policy: 0 });
  });

  test('SHUTDOWN takes the keys of all guests out of the memory controller', () => {
    const machine = createMachine();
    const { asid } = launch(machine, 0);
    must(machine.processor.platform.shutdown());
    expect(machine.memory.controller.hasKey(asid)).toBe(false);
  });
});

test('the report of ATTESTATION is signed by the PEK over digest, policy and the nonce of the caller', () => {
  const machine = createMachine();
  const guest = launch(machine, 3);
  const { launch: commands } = machine.processor;
  const nonce = Buffer.alloc(16, 7);
  expect(commands.attestation(guest.handle, nonce).status).toBe(SEV_STATUS.INVALID_GUEST_STATE);
  must(commands.measure(guest.handle));
  const { report } = must(commands.attestation(guest.handle, nonce));
  expect(report.length).toBe(0xd0);
  expect(toHex(report.subarray(0, 16))).toBe(toHex(nonce));
  expect(toHex(report.subarray(0x30, 0x3c))).toBe('030000000210000002000000');
  expect(commands.attestation(guest.handle, nonce, 0xcf)).toEqual({ status: 4, requiredBytes: 0xd0 });
  expect(commands.attestation(guest.handle, new Uint8Array(15)).status).toBe(SEV_STATUS.INVALID_PARAM);
});

describe('the driver', () => {
  test('brings the firmware up once, with usable ASIDs', () => {
    const { driver, processor } = createMachine({ cores: 64 });
    expect([driver.init(), driver.init()]).toEqual([0, 0]);
    const reply = driver.launchStart(0);
    expect(reply).toEqual({ status: 0, handle: 1 });
    expect(driver.activate(1, 5)).toBe(SEV_STATUS.SUCCESS);
    expect(driver.guestCount).toBe(1);
    const blob = driver.launchMeasure(1);
    expect(blob?.length).toBe(48);
    expect(driver.launchMeasure(1)).toBe(blob);
    expect(processor.launch.measure(1).status).toBe(SEV_STATUS.INVALID_GUEST_STATE);
    expect([driver.launchFinish(1), driver.deactivate(1), driver.dfFlush(), driver.decommission(1)]).toEqual([
      0, 0, 0, 0,
    ]);
    expect([driver.guestCount, driver.launchMeasure(1)]).toEqual([0, undefined]);
    expect(must(driver.launchStart(0)).handle).toBe(1);
    expect(driver.launchMeasure(1)).not.toEqual(blob);
  });

  test('hands on why INIT failed', () => {
    const { driver } = createMachine({ isEncryptionEnabled: false });
    expect(driver.init()).toBe(SEV_STATUS.HARDWARE_PLATFORM);
    expect(driver.exportChain()).toEqual({ status: SEV_STATUS.HARDWARE_PLATFORM });
    expect(driver.launchStart(0)).toEqual({ status: SEV_STATUS.INVALID_PLATFORM_STATE });
  });
});
