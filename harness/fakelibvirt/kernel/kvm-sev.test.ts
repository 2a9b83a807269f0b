import { describe, expect, test } from 'vitest';
import { profiles } from '../profiles/index.ts';
import { BarePlatform } from './bare-platform.ts';
import { KvmSev, type KvmSevFaults, type SevVm } from './kvm-sev.ts';
import { SEV_STATUS } from './platform.ts';

function host(profile: keyof typeof profiles = 'naples', faults: KvmSevFaults = {}) {
  const platform = new BarePlatform({ apiMajor: 0, apiMinor: 17, build: 48 });
  return { platform, kvm: new KvmSev(profiles[profile], platform, faults) };
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
    const { kvm } = host();
    const begun = kvm.init('sev');
    if (!begun.ok) throw new Error('no ASID');
    expect(kvm.launchStart(begun.vm, 0x3 | (1 << 16)).status).toBe(SEV_STATUS.POLICY_FAILURE);
    expect(kvm.launchStart(begun.vm, 0x3 | (17 << 24)).status).toBe(SEV_STATUS.SUCCESS);
    const material = { dhCert: new Uint8Array(2084), session: new Uint8Array(127) };
    expect(kvm.launchStart(begun.vm, 0x3, material).status).toBe(SEV_STATUS.INVALID_LENGTH);
  });

  test('a launch is finished once it is active, and not for a guest that never started', () => {
    const { kvm } = host();
    expect(kvm.launchFinish(launched(kvm))).toBe(SEV_STATUS.SUCCESS);
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
    expect(platform.deactivate(first)).toBe(SEV_STATUS.SUCCESS);
    expect(platform.activate(second, 1)).toBe(SEV_STATUS.DFFLUSH_REQUIRED);
    expect(platform.dfFlush()).toBe(SEV_STATUS.SUCCESS);
    expect(platform.activate(second, 1)).toBe(SEV_STATUS.SUCCESS);
    expect(platform.activate(99, 2)).toBe(SEV_STATUS.INVALID_GUEST);
    expect(platform.activate(first, 0)).toBe(SEV_STATUS.INVALID_ASID);
  });
});
