import { describe, expect, test } from 'vitest';
import { createMachine, createOwner, pdhOf } from '../firmware/test-kit.ts';
import { profiles } from '../profiles/index.ts';
import { KvmSev, type KvmSevFaults, type SevVm } from './kvm-sev.ts';
import { SEV_STATUS } from './platform.ts';

function host(profile: keyof typeof profiles = 'naples', faults: KvmSevFaults = {}) {
  const { sevFirmware: version, memoryEncryption, kvmParameters } = profiles[profile];
  const { maxAsid, minSevAsid } = memoryEncryption;
  const machine = createMachine({
    ...(version ? { version } : {}),
    maxAsid,
    minSevAsid,
    isEsCapable: kvmParameters.sevEs === 'Y',
  });
  const platform = machine.driver;
  return { machine, platform, kvm: new KvmSev(profiles[profile], () => platform, faults) };
}

function launched(kvm: KvmSev): SevVm {
  const begun = kvm.init('sev');
  if (!begun.ok) throw new Error(begun.errno);
  const { vm, status } = kvm.launchStart(begun.vm, 0x3);
  expect(status).toBe(SEV_STATUS.SUCCESS);
  return vm;
}

describe('KVM and the firmware', () => {
  test('survive more launches than there are ASIDs: no ASID is used again without DF_FLUSH', () => {
    const { kvm, platform } = host();
    for (let round = 0; round < 100; round++) kvm.destroy(launched(kvm), 'stopped');
    expect(kvm.counters).toEqual({ allocations: 100, frees: 100, flushes: 6, refusals: 0 });
    expect(platform.guestCount).toBe(0);
  });

  test('refuse SEV-ES with ENOTTY where no ASID is set apart for it', () => {
    expect(host('naples').kvm.init('sev_es')).toMatchObject({ ok: false, errno: 'ENOTTY' });
    expect(host('naples-es').kvm.init('sev_es')).toMatchObject({ ok: true });
  });

  test('refuse everything with ENOTTY where kvm_amd.sev is off', () => {
    expect(host('sev-off-in-kernel').kvm.init('sev')).toMatchObject({ ok: false, errno: 'ENOTTY' });
  });

  test('refuse a policy that demands newer firmware, and a buffer of the wrong size', () => {
    const { kvm, machine } = host();
    const begun = kvm.init('sev');
    if (!begun.ok) throw new Error('no ASID');
    const owner = createOwner(pdhOf(machine));
    const start = (policy: number) =>
      kvm.launchStart(begun.vm, policy, { dhCert: owner.dhCert, session: owner.session(policy) }).status;
    expect(start(0x3 | (1 << 16))).toBe(SEV_STATUS.POLICY_FAILURE);
    expect(start(0x3 | (17 << 24))).toBe(SEV_STATUS.SUCCESS);
    const material = { dhCert: new Uint8Array(2084), session: new Uint8Array(127) };
    expect(kvm.launchStart(begun.vm, 0x3, material).status).toBe(SEV_STATUS.INVALID_LENGTH);
  });

  test('a launch is finished once it is measured, and not for a guest that never started', () => {
    const { kvm } = host();
    const vm = launched(kvm);
    expect(kvm.launchFinish(vm)).toBe(SEV_STATUS.INVALID_GUEST_STATE);
    expect(kvm.measure(vm)).toHaveLength(48);
    expect(kvm.launchFinish(vm)).toBe(SEV_STATUS.SUCCESS);
    expect(kvm.launchFinish({ pool: 'sev', asid: 9, handle: undefined })).toBe(SEV_STATUS.INVALID_GUEST);
  });
});

describe('the firmware', () => {
  test('refuses ACTIVATE of an owned ASID, and of one that is not flushed', () => {
    const { platform } = host();
    platform.init();
    const start = () => {
      const result = platform.launchStart(0x3, undefined);
      return result.status === SEV_STATUS.SUCCESS ? result.handle : -1;
    };
    const first = start();
    const second = start();
    expect(platform.activate(first, 1)).toBe(SEV_STATUS.SUCCESS);
    expect(platform.activate(second, 1)).toBe(SEV_STATUS.ASID_OWNED);
    expect(platform.decommission(first)).toBe(SEV_STATUS.ACTIVE);
    platform.launchMeasure(first);
    expect(platform.launchFinish(first)).toBe(SEV_STATUS.SUCCESS);
    expect(platform.deactivate(first)).toBe(SEV_STATUS.SUCCESS);
    expect(platform.activate(second, 1)).toBe(SEV_STATUS.DF_FLUSH_REQUIRED);
    expect(platform.dfFlush()).toBe(SEV_STATUS.SUCCESS);
    expect(platform.activate(second, 1)).toBe(SEV_STATUS.SUCCESS);
    expect(platform.activate(99, 2)).toBe(SEV_STATUS.INVALID_GUEST);
    expect(platform.activate(first, 0)).toBe(SEV_STATUS.INVALID_ASID);
  });
});
