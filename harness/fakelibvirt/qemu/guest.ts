import type { KvmSev, SevVm } from '../kernel/kvm-sev.ts';
import type { SevStatus } from '../kernel/platform.ts';
import type { MemoryFaults } from '../memory/faults.ts';
import { GuestRam } from '../memory/guest-ram.ts';
import type { HostMemory } from '../memory/host-memory.ts';
import { type VerifierFaults, verifyBlobs } from './guest-firmware.ts';
import { answerLine, bootGuest, endsWhenDone, type PowerOffCause, powerOffLine } from './guest-kernel.ts';
import { ModelWorkloads } from './guest-workload.ts';
import type { BlobName, BootBlobs } from './kernel-hashes.ts';
import type { LaunchContent } from './launch-content.ts';
import { VMSA_BYTES } from './vmsa.ts';

/** Flash ends here, as x86 starts 16 bytes below. */
const FLASH_END = 2 ** 32;

export interface GuestParts {
  readonly memoryKiB: number;
  /** Has all of its memory from the start; that of an encrypted guest is pinned in any case. */
  readonly isPopulated: boolean;
  /** How many guests of its kind the host has had, this one included. */
  readonly nth: number;
  readonly content: LaunchContent;
  readonly sev: SevVm | undefined;
  readonly kvm: KvmSev;
  readonly memory: HostMemory;
  readonly faults: {
    readonly memory: MemoryFaults;
    readonly verifier: VerifierFaults;
    /** The host reads zeros where it could read plain text. */
    readonly readsZero: () => boolean;
    /** How many times slower than its kind the guest is. */
    readonly slowdown: () => number;
  };
}

/** A packet for LAUNCH_SECRET, and the guest address for its plain text. */
export interface InjectedSecret {
  readonly header: Uint8Array;
  readonly data: Uint8Array;
  readonly guestAddress: number;
}

/**
 * The machine that a QEMU emulates: RAM, flash, and what stands in them.
 *
 * A guest that nobody looks at is not loaded: hashing and encrypting a firmware image takes tens of milliseconds, and a
 * host starts guests by the thousand. The first look does what QEMU did at the start and the guest has done since, with
 * the contents of that moment; the handle and the slot are taken at the start in any case.
 */
export class GuestMachine implements Disposable {
  readonly #parts: GuestParts;
  #hasRun = false;
  #loaded: { readonly ram: GuestRam; readonly flash: GuestRam | undefined; readonly regions: GuestRam[] } | undefined;
  #measurement: Uint8Array | undefined;
  #swapped: Partial<BootBlobs> = {};
  #console = '';
  #workloads: ModelWorkloads | undefined;
  readonly #followers = new Set<(text: string) => void>();
  #isUp = false;
  #isGone = false;

  constructor(parts: GuestParts) {
    this.#parts = parts;
  }

  /** LAUNCH_MEASURE, taken when the machine was ready: 48 bytes; absent without an encrypted launch. */
  get measurement(): Uint8Array | undefined {
    if (this.#parts.sev?.handle === undefined) return undefined;
    this.#load();
    return this.#measurement;
  }

  get hasRun(): boolean {
    return this.#hasRun;
  }

  /** What the guest has printed on its serial port. */
  get console(): string {
    if (this.#hasRun) this.#load();
    return this.#console;
  }

  /** The address that the firmware names for a secret; absent when it names none. */
  get secretAddress(): number | undefined {
    return this.#parts.content.secretArea?.base;
  }

  /** The vCPUs run for the first time: the launch is finished and the guest boots. Later calls do nothing. */
  run(): void {
    if (this.#hasRun) return;
    this.#hasRun = true;
    if (this.#loaded) this.#boot(this.#loaded.ram);
    if (this.#followers.size > 0) this.#tell(this.console);
  }

  /** What runs in it boots again; one that nobody has looked at will have booted once when somebody does. */
  reset(): void {
    if (this.#hasRun && this.#loaded) this.#print(this.#start(this.#loaded.ram));
  }

  /** Whether it has booted with the order to power itself off then. */
  get powersOffWhenDone(): boolean {
    if (!endsWhenDone(this.#cmdline)) return false;
    this.#load();
    return this.#isUp;
  }

  /** It powers itself off, and says so. */
  sayPowerOff(because: PowerOffCause): void {
    if (this.#hasRun && this.#loaded) this.#print(powerOffLine(because));
  }

  /** Calls back with what the guest prints from now on. Returns a function that forgets it. */
  follow(tell: (text: string) => void): () => void {
    this.#followers.add(tell);
    return () => this.#followers.delete(tell);
  }

  /** What the guest prints when this line is typed on its serial port. */
  answer(line: string): string {
    return this.#loaded === undefined ? '' : answerLine(this.#modelled(), line);
  }

  /** Other bytes for the guest firmware to fetch than those that were hashed at the start; false without a direct boot. */
  swapBlob(name: BlobName, bytes: Uint8Array): boolean {
    if (this.#parts.content.boot === undefined || this.#hasRun) return false;
    this.#swapped = { ...this.#swapped, [name]: bytes };
    return true;
  }

  /** LAUNCH_SECRET; absent where the address is not in RAM. */
  injectSecret({ header, data, guestAddress }: InjectedSecret): SevStatus | undefined {
    const { sev, kvm, memoryKiB } = this.#parts;
    if (sev === undefined || guestAddress + data.length > memoryKiB * 1024) return undefined;
    const { ram } = this.#load();
    return kvm.secret(sev, { header, data, address: ram.systemAddress + guestAddress });
  }

  get isEncrypted(): boolean {
    return this.#parts.sev?.handle !== undefined;
  }

  get ramBytes(): number {
    return this.#parts.memoryKiB * 1024;
  }

  /** Addresses of the pages of RAM that hold something, ascending; the others read as zeros. */
  *touchedPages(): Generator<number> {
    for (const { guestAddress } of this.#load().ram.hostPages()) yield guestAddress;
  }

  /** What its pages of RAM hold, as it lies in DRAM. */
  *storedPages(): Generator<Uint8Array> {
    for (const { bytes } of this.#load().ram.hostPages()) yield bytes;
  }

  /** Guest-physical memory as the host sees it; zeros where there is neither RAM nor flash. */
  hostRead(address: number, length: number): Uint8Array {
    if (!this.isEncrypted && this.#parts.faults.readsZero()) return new Uint8Array(length);
    return this.#read(address, length, (region, at, count) => region.hostRead(at, count));
  }

  /** The same memory as the guest itself sees it: what no host gets, except through a fault. */
  clearRead(address: number, length: number): Uint8Array {
    return this.#read(address, length, (region, at, count) => region.read(at, count));
  }

  [Symbol.dispose](): void {
    this.#isGone = true;
    for (const region of this.#loaded?.regions ?? []) region[Symbol.dispose]();
    this.#loaded = undefined;
  }

  #read(
    address: number,
    length: number,
    readRegion: (region: GuestRam, at: number, count: number) => Uint8Array,
  ): Uint8Array {
    const { ram, flash } = this.#load();
    // Nearly every reading, and the large ones.
    if (address + length <= ram.sizeBytes) return readRegion(ram, address, length);
    const whole = new Uint8Array(length);
    const copy = (region: GuestRam, base: number) => {
      const from = Math.max(address, base);
      const to = Math.min(address + length, base + region.sizeBytes);
      if (from < to) whole.set(readRegion(region, from - base, to - from), from - address);
    };
    copy(ram, 0);
    if (flash) copy(flash, FLASH_END - flash.sizeBytes);
    return whole;
  }

  #load() {
    if (this.#loaded) return this.#loaded;
    const { memoryKiB, content, sev, kvm } = this.#parts;
    const ram = this.#region(memoryKiB * 1024);
    const flash = content.flash && this.#region(content.flash.length);
    const vmsas = content.vmsas.length > 0 ? this.#region(content.vmsas.length * VMSA_BYTES) : undefined;
    const regions = [ram, flash, vmsas].filter((region) => region !== undefined);
    this.#loaded = { ram, flash, regions };
    if (content.flash) flash?.hostWrite(0, content.flash);
    if (content.hashes) ram.hostWrite(content.hashes.address, content.hashes.bytes);
    for (const [vcpu, page] of content.vmsas.entries()) vmsas?.hostWrite(vcpu * VMSA_BYTES, page);
    if (sev?.handle !== undefined && !this.#isGone) {
      if (flash) kvm.updateData(sev, flash.systemAddress, flash.sizeBytes);
      if (content.hashes) {
        kvm.updateData(sev, ram.systemAddress + content.hashes.address, content.hashes.bytes.length);
      }
      for (const vcpu of content.vmsas.keys()) kvm.updateVmsa(sev, (vmsas?.systemAddress ?? 0) + vcpu * VMSA_BYTES);
      this.#measurement = kvm.measure(sev);
    }
    if (this.#hasRun) this.#boot(ram);
    return this.#loaded;
  }

  #region(sizeBytes: number): GuestRam {
    const { memory, sev, isPopulated, faults } = this.#parts;
    const encrypted = sev?.handle === undefined ? { isPopulated } : { asid: sev.asid };
    return new GuestRam({ memory, sizeBytes, ...encrypted, faults: faults.memory });
  }

  #modelled(): ModelWorkloads {
    const { slowdown } = this.#parts.faults;
    this.#workloads ??= new ModelWorkloads({
      isEncrypted: this.isEncrypted,
      seed: `${this.isEncrypted} ${this.#parts.nth}`,
      slowdown,
    });
    return this.#workloads;
  }

  #boot(ram: GuestRam): void {
    const { sev, kvm } = this.#parts;
    if (sev?.handle !== undefined) kvm.launchFinish(sev);
    this.#console += this.#start(ram);
  }

  /** What guest firmware and kernel print. */
  #start(ram: GuestRam): string {
    const { content, faults } = this.#parts;
    const blobs = this.#blobs;
    const { lines, boots } = blobs
      ? verifyBlobs(ram, content.hashesArea, blobs, faults.verifier)
      : { lines: [], boots: true };
    const booted = boots ? bootGuest(ram, { ...content, cmdline: this.#cmdline }, this.#modelled()) : '';
    this.#isUp = booted !== '';
    return lines.map((line) => `${line}\r\n`).join('') + booted;
  }

  /** What the guest firmware fetches of a direct boot. */
  get #blobs(): BootBlobs | undefined {
    const { boot } = this.#parts.content;
    return boot && { ...boot, ...this.#swapped };
  }

  get #cmdline(): string {
    const blobs = this.#blobs;
    return blobs ? new TextDecoder().decode(blobs.cmdline.subarray(0, -1)) : this.#parts.content.cmdline;
  }

  #print(text: string): void {
    this.#console += text;
    this.#tell(text);
  }

  #tell(text: string): void {
    for (const tell of [...this.#followers]) tell(text);
  }
}
