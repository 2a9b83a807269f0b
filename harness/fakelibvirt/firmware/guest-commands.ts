import type { GuestState } from './commands.ts';
import { type FirmwareCore, guestStateNumber, isRefusal } from './core.ts';
import { fail, type Reply, succeed } from './status.ts';

export interface GuestStatus {
  readonly policy: number;
  readonly asid: number;
  readonly state: GuestState;
  readonly stateNumber: number;
}

/** Commands that bind guests to ASIDs and end them. */
export class GuestCommands {
  readonly #core: FirmwareCore;

  constructor(core: FirmwareCore) {
    this.#core = core;
  }

  /** ACTIVATE: the guest's memory key goes into the slot of the ASID. */
  activate(handle: number, asid: number): Reply {
    const guest = this.#core.find('ACTIVATE', handle);
    if (isRefusal(guest)) return guest;
    const { asids, options, memory } = this.#core;
    if (!asids.exists(asid)) return fail('INVALID_ASID');
    if (asids.isOwned(asid)) return fail('ASID_OWNED');
    if (guest.activation !== 'inactive') return fail('ACTIVE');
    if (guest.state === 'SENT') return fail('INVALID_GUEST_STATE');
    if (asids.isDirty(asid) && !this.#core.hasFault('flush-not-demanded')) return fail('DF_FLUSH_REQUIRED');
    if (this.#core.isEs(guest) && asid >= options.minSevAsid) return fail('INVALID_ASID');
    memory.loadKey(asid, guest.memoryKey);
    guest.asid = asid;
    const hasRun = guest.state === 'RUNNING' || guest.state === 'SUPDATE';
    guest.activation = hasRun ? 'active' : 'pending';
    if (hasRun) asids.use(asid);
    else asids.allocate(asid);
    return succeed({});
  }

  /** DEACTIVATE: the key leaves its slot; the ASID is dirty if the guest ran. */
  deactivate(handle: number): Reply {
    const guest = this.#core.find('DEACTIVATE', handle);
    if (isRefusal(guest)) return guest;
    if (guest.asid === undefined) return fail('INACTIVE');
    this.#core.memory.dropKey(guest.asid);
    this.#core.asids.release(guest.asid);
    guest.asid = undefined;
    guest.activation = 'inactive';
    return succeed({});
  }

  /** DECOMMISSION: the handle and the keys are gone. */
  decommission(handle: number): Reply {
    const guest = this.#core.find('DECOMMISSION', handle);
    if (isRefusal(guest)) return guest;
    if (guest.activation !== 'inactive') return fail('ACTIVE');
    this.#core.guests.delete(handle);
    if (this.#core.guests.size === 0) this.#core.platformState = 'INIT';
    return succeed({});
  }

  /** GUEST_STATUS: a handle that does not exist is a success with state 0. */
  status(handle: number): Reply<GuestStatus> {
    const refusal = this.#core.refuseOnPlatform('GUEST_STATUS');
    if (refusal) return refusal;
    const guest = this.#core.guests.get(handle);
    const stale = this.#core.hasFault('policy-readback-stale') ? this.#core.previousPolicy : undefined;
    return succeed({
      policy: guest ? (stale ?? guest.policy) : 0,
      asid: guest?.asid ?? 0,
      state: guest?.state ?? 'UNINIT',
      stateNumber: guestStateNumber(guest?.state),
    });
  }
}
