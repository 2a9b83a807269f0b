import { MemoryController, type MemoryControllerOptions } from './controller.ts';
import { Dram } from './dram.ts';

/** The memory of one emulated host: DRAM and the controller that encrypts what guests store in it. */
export class HostMemory {
  readonly dram = new Dram();
  readonly controller: MemoryController;

  constructor(options: MemoryControllerOptions) {
    this.controller = new MemoryController(options);
  }

  loadKey(asid: number, key: Uint8Array): void {
    this.controller.loadKey(asid, key);
  }

  dropKey(asid: number): void {
    this.controller.dropKey(asid);
  }

  /** The stored bytes, without any key. */
  read(address: number, length: number): Uint8Array {
    return this.dram.read(address, length);
  }

  write(address: number, bytes: Uint8Array): void {
    this.dram.write(address, bytes);
  }

  /** The stored bytes, decrypted with the key of an ASID. Address and length are multiples of 16. */
  readEncrypted(asid: number, address: number, length: number): Uint8Array {
    return this.controller.decrypt(asid, address, this.dram.read(address, length));
  }

  /** Stores bytes encrypted with the key of an ASID. Address and length are multiples of 16. */
  writeEncrypted(asid: number, address: number, plain: Uint8Array): void {
    this.dram.write(address, this.controller.encrypt(asid, address, plain));
  }
}
