import type { SecretPacket } from './launch-commands.ts';
import type { SecureProcessor } from './processor.ts';
import { type Refusal, type Reply, SEV_STATUS, type SevStatus } from './status.ts';

/**
 * The kernel's driver for the Secure Processor (drivers/crypto/ccp/sev-dev.c), as KVM calls it.
 *
 * It brings the firmware up when the first guest comes, and executes WBINVD on every core before each DF_FLUSH.
 */
export class SevDriver {
  readonly processor: SecureProcessor;
  readonly #wantsEs: boolean;
  readonly #measurements = new Map<number, Uint8Array>();

  /** `wantsEs` when kvm_amd has SEV-ES on: INIT then asks for it, with a trusted memory region. */
  constructor(processor: SecureProcessor, wantsEs: boolean) {
    this.processor = processor;
    this.#wantsEs = wantsEs;
  }

  get guestCount(): number {
    const reply = this.processor.platform.status();
    return reply.status === SEV_STATUS.SUCCESS ? reply.guestCount : 0;
  }

  /** INIT and the flush that makes the ASIDs usable; nothing when the firmware is up. */
  init(): SevStatus {
    const { platform } = this.processor;
    const current = platform.status();
    if (current.status === SEV_STATUS.SUCCESS && current.state !== 'UNINIT') return SEV_STATUS.SUCCESS;
    const { status } = platform.init(this.#wantsEs ? { es: { trustedRegion: 'allocated' } } : {});
    return status === SEV_STATUS.SUCCESS ? this.dfFlush() : status;
  }

  launchStart(
    policy: number,
    material?: { readonly dhCert: Uint8Array; readonly session: Uint8Array },
  ): Reply<{ readonly handle: number }> {
    return this.processor.launch.start({ policy, ...material });
  }

  activate(handle: number, asid: number): SevStatus {
    return this.processor.guests.activate(handle, asid).status;
  }

  /** What stands at a system physical address is measured and encrypted in place. */
  launchUpdateData(handle: number, address: number, length: number): SevStatus {
    return this.processor.launch.updateData(handle, address, length).status;
  }

  /** The same for the register page of one vCPU. */
  launchUpdateVmsa(handle: number, address: number): SevStatus {
    return this.processor.launch.updateVmsa(handle, address).status;
  }

  launchSecret(handle: number, packet: SecretPacket): SevStatus {
    return this.processor.launch.secret(handle, packet).status;
  }

  /** The 48 bytes of LAUNCH_MEASURE: asked of the firmware once and kept, as QEMU does. */
  launchMeasure(handle: number): Uint8Array | undefined {
    const known = this.#measurements.get(handle);
    if (known) return known;
    const reply = this.processor.launch.measure(handle);
    if (reply.status !== SEV_STATUS.SUCCESS) return undefined;
    this.#measurements.set(handle, reply.blob);
    return reply.blob;
  }

  launchFinish(handle: number): SevStatus {
    return this.processor.launch.finish(handle).status;
  }

  deactivate(handle: number): SevStatus {
    return this.processor.guests.deactivate(handle).status;
  }

  dfFlush(): SevStatus {
    this.processor.writeBack();
    return this.processor.platform.dfFlush().status;
  }

  decommission(handle: number): SevStatus {
    const { status } = this.processor.guests.decommission(handle);
    if (status === SEV_STATUS.SUCCESS) this.#measurements.delete(handle);
    return status;
  }

  /** SEV_PDH_CERT_EXPORT: brings the firmware up first, as the driver does. */
  exportChain(): ReturnType<SecureProcessor['platform']['pdhCertExport']> {
    const status = this.init();
    return status === SEV_STATUS.SUCCESS ? this.processor.platform.pdhCertExport() : ({ status } satisfies Refusal);
  }
}
