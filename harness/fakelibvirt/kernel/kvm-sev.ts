import type { SecretPacket } from '../firmware/launch-commands.ts';
import { ENCRYPTION_FEATURE, type Profile } from '../profiles/profile.ts';
import { AsidAllocator, type AsidCounters, type AsidPool } from './asid.ts';
import type { ErrnoName } from './errno.ts';
import { MiscCgroup } from './misc-cgroup.ts';
import { type LaunchMaterial, SEV_STATUS, type SevPlatform, type SevStatus } from './platform.ts';

/** How a guest's VM comes to its end; the faults tell these ends apart. */
export type SevTeardown = 'stopped' | 'failed-launch' | 'killed';

export interface KvmSevFaults {
  readonly leakOn?: Pick<ReadonlySet<SevTeardown>, 'has'>;
  readonly forgetFlush?: boolean;
  readonly shareRanges?: boolean;
  readonly esLimitError?: number;
  /** Guests without encryption take an ASID of the SEV range. */
  readonly chargePlainGuests?: boolean;
  /** Added to the highest ASID that KVM hands out. */
  readonly maxAsidError?: number;
}

/** One VM with an encryption context. */
export interface SevVm {
  readonly pool: AsidPool;
  readonly asid: number;
  readonly handle: number | undefined;
}

export type SevInitResult =
  | { readonly ok: true; readonly vm: SevVm }
  | { readonly ok: false; readonly errno: ErrnoName; readonly fwError: SevStatus };

/** The part of KVM that QEMU drives through KVM_MEMORY_ENCRYPT_OP (arch/x86/kvm/svm/sev.c). */
export class KvmSev {
  readonly misc: MiscCgroup;
  readonly allocator: AsidAllocator;
  readonly isSevEnabled: boolean;
  readonly isEsEnabled: boolean;
  readonly #platform: () => SevPlatform;
  readonly #faults: KvmSevFaults;

  /** `platform` is asked for when the first guest comes: making its keys takes time. */
  constructor(profile: Profile, platform: () => SevPlatform, faults: KvmSevFaults = {}) {
    const { maxAsid, minSevAsid, eax } = profile.memoryEncryption;
    const highest = maxAsid + (faults.maxAsidError ?? 0);
    const enabled = profile.kvmParameters.sev === 'Y';
    this.isSevEnabled = enabled && minSevAsid <= maxAsid;
    this.isEsEnabled = enabled && profile.kvmParameters.sevEs === 'Y' && (eax & ENCRYPTION_FEATURE.sevEs) !== 0;
    this.misc = new MiscCgroup({
      sev: enabled ? Math.max(0, highest - minSevAsid + 1) : 0,
      sev_es: this.isEsEnabled ? minSevAsid - 1 + (faults.esLimitError ?? 0) : 0,
    });
    this.#platform = platform;
    this.#faults = faults;
    this.allocator = new AsidAllocator(
      minSevAsid,
      highest,
      this.misc,
      () => this.#platform().dfFlush() === SEV_STATUS.SUCCESS,
      faults,
    );
  }

  get chargesPlainGuests(): boolean {
    return this.#faults.chargePlainGuests ?? false;
  }

  get counters(): AsidCounters {
    return this.allocator.counters;
  }

  /** KVM_SEV_INIT, KVM_SEV_ES_INIT: gives the VM its ASID and brings the firmware up. */
  init(pool: AsidPool): SevInitResult {
    const isOffered = pool === 'sev' ? this.isSevEnabled : this.isEsEnabled;
    if (!isOffered) return { ok: false, errno: 'ENOTTY', fwError: SEV_STATUS.SUCCESS };
    const allocated = this.allocator.allocate(pool);
    if (!allocated.ok) return { ...allocated, fwError: SEV_STATUS.SUCCESS };
    const vm = { pool, asid: allocated.asid, handle: undefined };
    const status = this.#platform().init();
    if (status === SEV_STATUS.SUCCESS) return { ok: true, vm };
    this.destroy(vm, 'failed-launch');
    return { ok: false, errno: 'EIO', fwError: status };
  }

  /** KVM_SEV_LAUNCH_START with the ACTIVATE that KVM does in the same call. On failure the VM keeps what it had. */
  launchStart(vm: SevVm, policy: number, material?: LaunchMaterial): { vm: SevVm; status: SevStatus } {
    const started = this.#platform().launchStart(policy, material);
    if (started.status !== SEV_STATUS.SUCCESS) return { vm, status: started.status };
    const status = this.#platform().activate(started.handle, vm.asid);
    if (status === SEV_STATUS.SUCCESS) return { vm: { ...vm, handle: started.handle }, status };
    this.#platform().decommission(started.handle);
    return { vm, status };
  }

  /** KVM_SEV_LAUNCH_UPDATE_DATA of pinned memory at a system physical address. */
  updateData(vm: SevVm, address: number, length: number): SevStatus {
    return onGuest(vm, (handle) => this.#platform().launchUpdateData(handle, address, length));
  }

  /** KVM_SEV_LAUNCH_UPDATE_VMSA, for one vCPU. */
  updateVmsa(vm: SevVm, address: number): SevStatus {
    return onGuest(vm, (handle) => this.#platform().launchUpdateVmsa(handle, address));
  }

  /** KVM_SEV_LAUNCH_MEASURE: 48 bytes; absent for a VM without a launch. */
  measure({ handle }: SevVm): Uint8Array | undefined {
    return handle === undefined ? undefined : this.#platform().launchMeasure(handle);
  }

  /** KVM_SEV_LAUNCH_SECRET. */
  secret(vm: SevVm, packet: SecretPacket): SevStatus {
    return onGuest(vm, (handle) => this.#platform().launchSecret(handle, packet));
  }

  /** KVM_SEV_LAUNCH_FINISH: from here on the guest may run. */
  launchFinish(vm: SevVm): SevStatus {
    return onGuest(vm, (handle) => this.#platform().launchFinish(handle));
  }

  /** The last reference to the VM is gone: DEACTIVATE, DECOMMISSION, and the ASID waits for the next flush. */
  destroy(vm: SevVm, how: SevTeardown): void {
    if (this.#faults.leakOn?.has(how)) return;
    if (vm.handle !== undefined) {
      this.#platform().deactivate(vm.handle);
      this.#platform().decommission(vm.handle);
    }
    this.allocator.free(vm.pool, vm.asid);
  }
}

function onGuest({ handle }: SevVm, run: (handle: number) => SevStatus): SevStatus {
  return handle === undefined ? SEV_STATUS.INVALID_GUEST : run(handle);
}
