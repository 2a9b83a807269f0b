import { harnessError } from '../errors.ts';
import { type Domain, isRemoteError } from '../libvirt/index.ts';

/** libvirt's words when the kernel does not let it raise a limit: about the machine, not about the guest. */
export const MAY_NOT_LOCK = /cannot limit locked memory of process/;

/** Starts a defined guest. Throws `HOST_LOCKED_MEMORY` where libvirtd itself may not do what that takes, and what `start` throws. */
export async function startDefined(domain: Domain): Promise<void> {
  try {
    await domain.start();
  } catch (error) {
    if (!isRemoteError(error) || !MAY_NOT_LOCK.test(error.remote.message ?? '')) throw error;
    throw harnessError('HOST_LOCKED_MEMORY', `libvirtd may not let a guest lock its memory: ${error.remote.message}`, {
      hint: 'Run libvirtd with CAP_SYS_RESOURCE, or with a limit on locked memory (ulimit -l) that is high enough.',
      cause: error,
    });
  }
}
