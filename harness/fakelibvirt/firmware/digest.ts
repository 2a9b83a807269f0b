import { createHash, type Hash } from 'node:crypto';
import type { FirmwareFaults } from './faults.ts';

const PAGE_BYTES = 4096;

/** SHA-256 over what is loaded into a guest, in the order in which it is loaded. */
export class LaunchDigest {
  readonly #faults: FirmwareFaults;
  readonly #hash: Hash = createHash('sha256');
  readonly #reversed: Uint8Array[] = [];
  #areRegistersSkipped: boolean;

  constructor(faults: FirmwareFaults) {
    this.#faults = faults;
    this.#areRegistersSkipped = faults.has('vmsa-not-measured');
  }

  /** `offset` is where the bytes lie in the region that one command loads. */
  addData(bytes: Uint8Array, offset: number): void {
    if (this.#faults.size === 0) {
      this.#add(bytes);
      return;
    }
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) {
      if (offset + at === PAGE_BYTES && this.#faults.has('digest-skips-page')) continue;
      this.#add(bytes.subarray(at, at + PAGE_BYTES));
    }
  }

  /** The register state of one vCPU, 4096 bytes. */
  addRegisters(page: Uint8Array): void {
    const isSkipped = this.#areRegistersSkipped;
    this.#areRegistersSkipped = false;
    if (!isSkipped) this.#add(page);
  }

  finish(): Uint8Array {
    for (const page of this.#reversed.reverse()) this.#hash.update(page);
    return new Uint8Array(this.#hash.digest());
  }

  #add(bytes: Uint8Array): void {
    if (this.#faults.has('digest-reversed')) this.#reversed.push(Uint8Array.from(bytes));
    else this.#hash.update(bytes);
  }
}
