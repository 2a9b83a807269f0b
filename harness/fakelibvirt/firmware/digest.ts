import { createHash, type Hash } from 'node:crypto';
import type { FirmwareFaults } from './faults.ts';

const PAGE_BYTES = 4096;

/** SHA-256 over what is loaded into a guest, in the order in which it is loaded. */
export class LaunchDigest {
  readonly #faults: FirmwareFaults;
  readonly #hash: Hash = createHash('sha256');
  readonly #reversed: Uint8Array[] = [];
  #hasRegisters = false;

  constructor(faults: FirmwareFaults) {
    this.#faults = faults;
  }

  /** `offset` is where the bytes lie in the region that one command loads. */
  addData(bytes: Uint8Array, offset: number): void {
    const second = PAGE_BYTES - offset;
    const hasSecond = second >= 0 && second % PAGE_BYTES === 0 && second < bytes.length;
    if (hasSecond && this.#faults.has('digest-skips-page')) {
      this.#add(bytes.subarray(0, second));
      this.#add(bytes.subarray(second + PAGE_BYTES));
    } else this.#add(bytes);
  }

  /** The register state of one vCPU, 4096 bytes. */
  addRegisters(page: Uint8Array): void {
    const isSkipped = !this.#hasRegisters && this.#faults.has('vmsa-not-measured');
    this.#hasRegisters = true;
    if (!isSkipped) this.#add(page);
  }

  finish(): Uint8Array {
    for (const page of this.#reversed.reverse()) this.#hash.update(page);
    return new Uint8Array(this.#hash.digest());
  }

  #add(bytes: Uint8Array): void {
    if (!this.#faults.has('digest-reversed')) {
      this.#hash.update(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += PAGE_BYTES)
      this.#reversed.push(Uint8Array.from(bytes.subarray(at, at + PAGE_BYTES)));
  }
}
