import { forEachPiece, isBlockAddress, isBlockLength } from './addresses.ts';
import { type FirmwareCore, isRefusal } from './core.ts';
import { POLICY } from './policy.ts';
import { fail, type Reply, succeed } from './status.ts';

/** DBG_DECRYPT and DBG_ENCRYPT: the host's access to a guest whose policy allows it. */
export class DebugCommands {
  readonly #core: FirmwareCore;

  constructor(core: FirmwareCore) {
    this.#core = core;
  }

  /** Reads `length` bytes of the guest at `source` and writes them in clear to `target`. */
  decrypt(handle: number, source: number, target: number, length: number): Reply {
    const asid = this.#check('DBG_DECRYPT', handle, source, target, length);
    if (typeof asid !== 'number') return asid;
    const { memory } = this.#core;
    forEachPiece(length, (offset, count) => {
      memory.write(target + offset, memory.readEncrypted(asid, source + offset, count));
    });
    return succeed({});
  }

  /** Reads `length` bytes in clear at `source` and writes them at `target` as memory of the guest. */
  encrypt(handle: number, source: number, target: number, length: number): Reply {
    const asid = this.#check('DBG_ENCRYPT', handle, source, target, length);
    if (typeof asid !== 'number') return asid;
    const { memory } = this.#core;
    forEachPiece(length, (offset, count) => {
      memory.writeEncrypted(asid, target + offset, memory.read(source + offset, count));
    });
    return succeed({});
  }

  #check(command: 'DBG_DECRYPT' | 'DBG_ENCRYPT', handle: number, source: number, target: number, length: number) {
    const refusal = this.#core.refuseOnPlatform(command);
    if (refusal) return refusal;
    for (const address of [source, target]) {
      if (!isBlockAddress(address)) return fail('INVALID_ADDRESS');
    }
    if (length !== 0 && !isBlockLength(length, Math.max(source, target))) return fail('INVALID_LENGTH');
    const guest = this.#core.find(command, handle);
    if (isRefusal(guest)) return guest;
    const isForbidden = (guest.policy & POLICY.NODBG) !== 0;
    const isRefused = isForbidden
      ? !this.#core.hasFault('debug-ignores-nodbg')
      : this.#core.hasFault('debug-always-refused');
    if (isRefused) return fail('POLICY_FAILURE');
    return guest.asid ?? fail('INACTIVE');
  }
}
