import { toBase64, toHex } from '../../../core/bytes.ts';
import type { SevDriver } from '../firmware/driver.ts';
import type { HostMemory } from '../memory/host-memory.ts';
import { ERRNO } from './errno.ts';
import type { KvmSev, SevVm } from './kvm-sev.ts';
import { type LaunchMaterial, SEV_STATUS, type SevStatus } from './platform.ts';

/** A VM that a program makes with KVM's ioctls alone: no QEMU, no vCPUs. */
export interface BareLaunchRequest {
  readonly isEs: boolean;
  readonly policy: number;
  readonly material?: LaunchMaterial;
  readonly loads: readonly { readonly page: number; readonly fill: Uint8Array }[];
  readonly debugPage?: number;
  readonly isMeasured: boolean;
}

interface End {
  readonly errno: number;
  readonly status: number | null;
}

export interface BareLaunchAnswer {
  readonly init: End;
  readonly start?: End;
  readonly reportedPolicy?: number;
  readonly loads: readonly (End & { readonly seenHex: string })[];
  readonly debug?: End & { readonly seenHex: string };
  readonly measure?: End;
  readonly measurement?: string;
}

interface BareHost {
  readonly kvm: KvmSev;
  readonly memory: HostMemory;
  readonly sevDriver: SevDriver;
}

const PAGE_BYTES = 4096;
const PAGES = 4;
/** Where what DBG_DECRYPT reads is put. */
const TARGET_PAGE = 3;
const SEEN_BYTES = 16;
const DONE: End = { errno: 0, status: SEV_STATUS.SUCCESS };

/** Runs KVM_SEV_INIT (or _ES_INIT), LAUNCH_START, GUEST_STATUS, and what else is asked for; the VM is gone at the end. */
export function launchBareVm(host: BareHost, request: BareLaunchRequest): BareLaunchAnswer {
  const { kvm } = host;
  const begun = kvm.init(request.isEs ? 'sev_es' : 'sev');
  if (!begun.ok) {
    const isFirmware = begun.fwError !== SEV_STATUS.SUCCESS;
    return { init: { errno: ERRNO[begun.errno], status: isFirmware ? begun.fwError : null }, loads: [] };
  }
  const { vm, status } = kvm.launchStart(begun.vm, request.policy, request.material);
  try {
    if (status !== SEV_STATUS.SUCCESS) return { init: DONE, start: ended(status), loads: [] };
    return { init: DONE, start: DONE, ...inside(host, vm, request) };
  } finally {
    kvm.destroy(vm, status === SEV_STATUS.SUCCESS ? 'stopped' : 'failed-launch');
  }
}

function inside({ kvm, memory, sevDriver }: BareHost, vm: SevVm, request: BareLaunchRequest) {
  const handle = vm.handle ?? 0;
  const base = memory.dram.allocate(PAGES * PAGE_BYTES);
  const seen = (page: number) => toHex(memory.read(base + page * PAGE_BYTES, SEEN_BYTES));
  try {
    const told = sevDriver.processor.guests.status(handle);
    const loads = request.loads.map(({ page, fill }) => {
      assertPage(page);
      memory.write(base + page * PAGE_BYTES, Buffer.alloc(PAGE_BYTES, fill));
      const end = ended(kvm.updateData(vm, base + page * PAGE_BYTES, PAGE_BYTES));
      return { ...end, seenHex: seen(page) };
    });
    return {
      ...(told.status === SEV_STATUS.SUCCESS ? { reportedPolicy: told.policy } : {}),
      loads,
      ...(request.debugPage === undefined ? {} : { debug: debugRead(request.debugPage) }),
      ...(request.isMeasured ? measured() : {}),
    };
  } finally {
    memory.dram.release(base, PAGES * PAGE_BYTES);
  }

  function debugRead(page: number) {
    assertPage(page);
    const [source, target] = [page, TARGET_PAGE].map((one) => base + one * PAGE_BYTES) as [number, number];
    const { status } = sevDriver.processor.debug.decrypt(handle, source, target, SEEN_BYTES);
    return { ...ended(status), seenHex: seen(TARGET_PAGE) };
  }

  function measured() {
    const blob = kvm.measure(vm);
    return blob
      ? { measure: DONE, measurement: toBase64(blob) }
      : { measure: { errno: ERRNO.EIO, status: SEV_STATUS.INVALID_GUEST_STATE } };
  }
}

/** A program that writes elsewhere gets a signal. */
function assertPage(page: number): void {
  if (!Number.isInteger(page) || page < 0 || page >= TARGET_PAGE) throw new RangeError(`page ${page} of the program`);
}

function ended(status: SevStatus): End {
  return status === SEV_STATUS.SUCCESS ? DONE : { errno: ERRNO.EIO, status };
}
