import type { SnpLaunchDigest } from '../brands.ts';
import { attestationError } from '../errors.ts';
import { MAX_VCPUS } from './digest.ts';
import { parseOvmfTable } from './ovmf.ts';
import { integerInRange } from './range.ts';
import { SnpDigestChain } from './snp-chain.ts';
import { FOUR_GIB, measureSections } from './snp-digest.ts';
import { parseSnpMetadata } from './snp-metadata.ts';
import { buildSvsmVmsa, type VmsaForm } from './vmsa.ts';

/** A SEV-SNP guest whose vCPUs start in a Coconut SVSM image, not in the guest firmware. */
export interface SvsmLaunchInputs {
  readonly guestFirmware: Uint8Array;
  /** The SVSM image; it lies right below the variable store. */
  readonly svsm: Uint8Array;
  /** Size of the variable store, which lies between SVSM and guest firmware and is not measured. */
  readonly varsSizeBytes: number;
  readonly vcpuCount: number;
  readonly cpuSignature: number;
  /** sev-snp-measure 0.0.10 and later mixes both forms here, and predicts a digest that no host gives. */
  readonly form: VmsaForm;
}

/**
 * Launch digest of a guest with a Coconut SVSM, 48 bytes.
 *
 * Errors: `LAUNCH_INPUT_INVALID`, `OVMF_NO_TABLE`, `OVMF_MALFORMED`, `OVMF_NO_SNP_METADATA`.
 */
export function computeSvsmLaunchDigest(inputs: SvsmLaunchInputs): SnpLaunchDigest {
  const { guestFirmware, svsm, cpuSignature, form } = inputs;
  const varsSize = integerInRange('size of the variable store', inputs.varsSizeBytes, 0, FOUR_GIB);
  const count = integerInRange('number of vCPUs', inputs.vcpuCount, 1, MAX_VCPUS);
  const { svsmLaunchOffset } = parseOvmfTable(svsm);
  if (svsmLaunchOffset === undefined) {
    throw attestationError(
      'LAUNCH_INPUT_INVALID',
      'SVSM image must name its start in a table at its end, and does not',
    );
  }
  const svsmEnd = FOUR_GIB - guestFirmware.length - varsSize;
  const chain = new SnpDigestChain();
  chain.image(guestFirmware, FOUR_GIB);
  chain.image(svsm, svsmEnd);
  measureSections(chain, parseSnpMetadata(svsm));
  const page = buildSvsmVmsa({ resetEip: svsmEnd - svsm.length + svsmLaunchOffset, cpuSignature, form });
  for (let index = 0; index < count; index += 1) chain.vmsa(page);
  return chain.digest;
}
